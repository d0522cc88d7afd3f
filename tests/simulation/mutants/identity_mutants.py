"""The rules about identifiers, each switched off in turn. See `mutants`.

Not needed by what clients are promised, and so without a mutant: the window of a claim, the release of a claim (others
would wait for a second), the second look of whoever found a claim held.
"""

from __future__ import annotations

from fhirstore.bundles.guard import Exclusive
from fhirstore.commit import attempt, claim, fence, transaction
from fhirstore.index import dead as dead_entries
from fhirstore.index import names as identifiers
from fhirstore.interactions import conditional
from fhirstore.search.conditional.candidates import Candidates, find_or_be_sure
from tests.simulation.mutants.mutation import Mutant

IDENTITY_MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "nothing found at the first look",
        find_or_be_sure,
        "if found or unchanged or not others or criteria.ids",
        "if True",
        begin=4_700,
        within=6_000,
        shape="moved",
    ),
    Mutant("claim without If-None-Match", claim.take, "over: Condition = IF_ABSENT", "over = None", shape="claimed"),
    Mutant("claim taken over without If-Match", claim.take, "IfMatch(found.etag)", "None", shape="claimed"),
    Mutant("another's claim taken for ours", claim.take, "theirs.op == wanted.op", "True", shape="claimed"),
    Mutant(
        "claim taken over from the living",
        claim.take,
        "yield from _see_through(rival, wanted, context)",
        "(yield from ()) or False",
        shape="claimed",
    ),
    Mutant(
        "claim taken over without a fence",
        claim._see_through,
        "yield (fence(resource, base, context),)",
        "return True",
        within=300,
        shape="unclaimed",
    ),
    Mutant(
        "fence of a creation without If-Match",
        fence.fence,
        "base.unchanged",
        "None",
        within=1_500,
        shape="unclaimed",
    ),
    Mutant("release without If-Match", claim.release, "IfMatch(held.etag)", "None", within=800, shape="claimed"),
    Mutant(
        "looked before the claim only",
        conditional._create,
        "if held and (yield from find(keys, criteria, most=1)):",
        "if False:",
        shape="claimed",
    ),
    Mutant(
        "several attempts on one claim",
        conditional._create,
        "attempts=1",
        "attempts=16",
        within=300,
        shape="unclaimed",
    ),
    Mutant(
        "another base than claimed",
        conditional._create,
        "remembered=base",
        "remembered=None",
        within=300,
        shape="unclaimed",
    ),
    Mutant(
        "changed whatever matched before",
        conditional._change,
        "if not criteria.match(keys.type, keys.id, current):",
        "if False:",
        within=300,
        shape="moved",
    ),
    Mutant(
        "candidates not verified",
        Candidates.matching,
        "self.criteria.match(type_, keys.id, base.shown)",
        "base.shown is not None",
        shape="moved",
    ),
    Mutant("no index entries", attempt.keys_beside, ", *entries)", ")", shape="moved"),
    Mutant(
        "no index entries for systems",
        identifiers.names,
        "for system in systems if system is not None",
        "for system in ()",
        shape="moved",
    ),
    Mutant(
        "entries not told from those of the version before",
        attempt.keys_beside,
        "None if base.record is None else base.record.resource",
        "record.resource",
        shape="moved",
    ),
    Mutant(
        "entry of a write under way taken away",
        dead_entries.dead_entries,
        "if entry.version <= version",
        "if True",
        within=300,
        shape="moved",
    ),
    Mutant("living entry taken away", dead_entries.dead_entries, "entry.name not in carried", "True", shape="moved"),
    Mutant(
        "newest entry taken away",
        dead_entries.dead_entries,
        "entry.version < newest[entry.name]",
        "entry.version <= newest[entry.name]",
        shape="moved",
    ),
    Mutant(
        "transaction without its claims",
        transaction.transact,
        "yield from guard(Intent(tx, 0, context.now(), age, len(parts)))",
        "pass",
        shape="bundled_claims",
    ),
    Mutant(
        "transaction looked before its claims only",
        Exclusive.__call__,
        "if any(match.keys.id not in one.besides for match in matches):",
        "if False:",
        shape="bundled_claims",
    ),
    Mutant(
        "claim taken over from a living transaction",
        claim._see_transaction_through,
        "decision = yield from decided(intent, stands, context, age)",
        "decision = None",
        shape="bundled_claims",
    ),
)
