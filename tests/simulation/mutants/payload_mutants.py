"""The rules of payloads, each switched off in turn: the simulator must notice every time.

Not needed by what clients are promised, and so without a mutant: that a loser deletes its own object (the sweeper
would); that references are looked for where the listing showed none (the listing is a look, if it is in order); that
an upload which was given up does not go live (it cannot be completed); that the sweeper judges an entry only as it was
listed.
"""

from __future__ import annotations

from functools import partial

from fhirstore.commit import attempt, placing, purge, referring, single, transaction
from fhirstore.format import payload
from fhirstore.upkeep.sweep import payloads, removal
from tests.simulation.mutants.mutation import Mutant
from tests.simulation.plots import ABOUT_PAYLOADS
from tests.simulation.scenarios import stored

_mutant = partial(Mutant, plot=ABOUT_PAYLOADS)

_PLACING = (
    _mutant(
        "objects named by their content",
        placing.place,
        "payload_object(context.ids.new())",
        "payload_object(sha256(content)[:26])",
    ),
    _mutant(
        "uploads named by their content",
        stored.Upload._received,
        "payload_object(context.ids.new())",
        "payload_object(hashlib.sha256(body).hexdigest()[:26])",
    ),
    _mutant(
        "stored before an entry names it",
        placing.place,
        "arriving = yield from arrive(",
        "yield from stored_once(keys.prefix + payload.object, content, facts, expires=context.now() + 5_000)\n"
        "    arriving = yield from arrive(",
    ),
    _mutant(
        "the object without a window", placing.place, "facts, expires=expires)", "facts, expires=expires + 1_000_000)"
    ),
    _mutant("another's entry overwritten", placing.arrive, "condition: Condition = IF_ABSENT", "condition = None"),
    _mutant("an entry changed unconditionally", placing.arrive, "IfMatch(found.etag)", "None"),
    _mutant("a rival forgotten", payload.arrived, "(*entry.others, entry.object) if", "entry.others if"),
    _mutant("live without compare-and-set", placing.complete, "IfMatch(etag)", "None"),
    _mutant(
        "the loser forgets its object",
        placing.complete,
        "(reply,) = yield (Put(key",
        "wanted = wanted if wanted.object == payload.object else type(wanted)("
        "'live', wanted.sha256, wanted.size, wanted.object, wanted.nonce)\n"
        "        (reply,) = yield (Put(key",
    ),
)

_REFERRING = (
    _mutant(
        "the entry looked at before the reference is there",
        single._carry_out_with,
        "slot, *rest, told = yield (*first, reference)",
        "slot, *rest = yield first\n"
        "    if not (yield from held(attempt.keys, payload, context)):\n"
        "        return None\n"
        "    (told,) = yield (reference,)\n"
        "    if isinstance(slot, Written) and (yield from _completed(first[1:], rest)):\n"
        "        return (yield from commit(attempt, context))",
    ),
    _mutant(
        "the entry not looked at",
        single._carry_out_with,
        " or not (yield from held(attempt.keys, payload, context))",
        "",
        shape="condemned",
    ),
    _mutant(
        "a condemned content committed as it is",
        referring.held,
        'entry.state == "live"',
        "True",
        shape="condemned",
    ),
    _mutant(
        "made live again unconditionally", referring.held, "IfMatch(found.etag)", "None", begin=700, shape="condemned"
    ),
    _mutant(
        "the reference before the events",
        single._carry_out_with,
        "slot, *rest, told = yield (*first, reference)",
        "(told,) = yield (reference,)\n    slot, *rest = yield first",
    ),
    _mutant("the reference without a window", referring.reference_put, "expires=expires", "expires=None"),
    _mutant("a reference not waited for", referring.referred, "if isinstance(told, Written):", "if True:"),
    _mutant(
        "a transaction that does not look at the entries",
        transaction._refer,
        "if not (yield from all_held([(change.keys, payload) for change, payload in some], context)):",
        "if False:",
        shape="condemned",
    ),
    _mutant(
        "a transaction without references", transaction._refer, "if not (yield from all_referred(puts)):", "if False:"
    ),
    _mutant("events without the hash", attempt.body_beside, "record.payload.sha256.encode()", 'b""'),
)

_SWEEPING = (
    _mutant(
        "the reference of an orphan forgotten", removal.remove_orphan, "*(yield from _references(keys, event)), ", ""
    ),
    _mutant("purged without its reference", purge._beside, "[] if payload is None else", "[] if True else"),
    _mutant("gone without having been condemned", payload.unused, 'if state == "condemned":', "if False:", begin=550),
    _mutant("gone without compare-and-set", payloads.judge, "IfMatch(found.etag)", "None"),
    _mutant(
        "deleted before it is waste",
        payloads.judge,
        "(reply,) = yield (Put(key",
        "yield from removed(*(keys.prefix + name for name in wanted.waste))\n    (reply,) = yield (Put(key",
    ),
    _mutant(
        "condemned whatever its age", payloads.judge, "content.entry.modified + limits.unused + margin < date", "True"
    ),
    _mutant(
        "uploads that died forgotten",
        payloads.judge,
        "unused(entry, nonce) if a_day_old else None",
        "None",
    ),
    _mutant(
        "rivals that died forgotten",
        payloads.judge,
        "wanted = rivals_over(entry, nonce) if a_day_old",
        "wanted = None if a_day_old",
    ),
    _mutant("waste forgotten", payloads.judge, "if entry.waste:", "if False:"),
    _mutant("sleeping uploads of waste go on", payloads._emptied, "for upload in page.uploads:", "for upload in ():"),
    _mutant(
        "waste taken out first",
        payloads._emptied,
        "for name in entry.waste:",
        "after = without(entry, entry.waste, entry.nonce)\n"
        "    yield (Put(keys.payload_entry(entry.sha256), after.encode(), IfMatch(etag)),)\n"
        "    for name in entry.waste:",
    ),
    _mutant("large entries not looked at", payloads._suspect, "size > LONGEST_PLAIN or ", ""),
    _mutant(
        "the walk over contents never goes on",
        payloads.sweep_payloads,
        "cursor, begun.condition",
        "None, begun.condition",
    ),
    _mutant("the end of a page forgotten", payloads.contents_of, "[] if last is None else [last]", "[]"),
)

PAYLOAD_MUTANTS: tuple[Mutant, ...] = (*_PLACING, *_REFERRING, *_SWEEPING)
