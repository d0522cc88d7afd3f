"""The rules of transactions, each switched off in turn.

Not needed by what clients are promised, and so without a mutant: the window of an aborted record (its date is the
store's own), the pace at which others wait, that a transaction which starts over keeps its age (it would get its turn
by chance), the second look at the age of a record that is to go, and that the sweeper looks into intents before it
takes an event for an orphan (it looks again before it removes anything).
"""

from __future__ import annotations

from fhirstore.commit import announcing, fence, finishing, intents, reading, transaction
from fhirstore.commit.change import Change
from fhirstore.commit.limits import Limits
from fhirstore.history import records
from fhirstore.history.counting import Counting
from fhirstore.upkeep.sweep import removal, transactions
from tests.simulation.mutants.mutation import Mutant, getter

_ANNOUNCING = (
    Mutant("intent without If-Match", Change.intent_put, "self.base.unchanged", "None"),
    Mutant(
        "intent without a window", Change.intent_put, "self.base.unchanged, plan.expires", "self.base.unchanged, None"
    ),
    Mutant("intent not in the body", Change.intent_put, "replace(old, intent=intent)", "old"),
    Mutant("slot of a part without If-None-Match", Change.puts, "IF_ABSENT", "None"),
    Mutant("slot of a part without a window", Change.slot_put, "condition, self.plan.expires", "condition, None"),
    Mutant("events of a part without a window", Change.missing_puts, "expires=self.plan.expires", "expires=None"),
    Mutant(
        "commit without everything announced",
        transaction.transact,
        "(yield from announce(changes, context)) and",
        "((yield from announce(changes, context)) or True) and",
    ),
    Mutant("no commit point", transaction.transact, "and (yield from _commit(changes, context))", "and True"),
    Mutant(
        "announced under a hold", announcing._place, "base.record.hold >= date", "False", within=4_000, shape="kept"
    ),
    Mutant("commit without the intent acknowledged", getter(Change.announced), "self.placed is not None and ", ""),
    Mutant("commit without the slots acknowledged", getter(Change.announced), " and self.reserved", ""),
    Mutant("commit without all events acknowledged", getter(Change.announced), " and not self.missing", ""),
    Mutant("no R2", announcing._reserve, "if base.etag != change.placed:\n            return False  # R2", "pass"),
    Mutant(
        "slot of a part written over without If-Match",
        announcing._reserve,
        "IfMatch(found.etag)",
        "None",
        within=1_000,
        shape="crossing",
    ),
    Mutant("announced anew over another version", announcing._same_version, "return (\n", "return True or (\n"),
    Mutant(
        "announced anew under the old slot",
        Change.build_on,
        "self.placed, self.reserved = None, False",
        "self.placed = None",
    ),
    Mutant(
        "t of a transaction from the clock alone",
        transaction._changes,
        "max([now, *(base.record.t + 1 for",
        "max([now, *(0 for",
    ),
)

_DECIDING = (
    Mutant("record without If-None-Match", transaction._commit, "IF_ABSENT, plan.expires", "None, plan.expires"),
    Mutant(
        "record without a window",
        transaction._commit,
        "IF_ABSENT, plan.expires",
        "IF_ABSENT, None",
        within=1_000,
        shape="slowed",
    ),
    Mutant(
        "unknown record taken for aborted",
        transaction._commit,
        "return True\n",
        "return True\n            if type(reply).__name__ == 'Unknown':\n                return False\n",
    ),
    Mutant(
        "refused record taken for aborted",
        transaction._commit,
        "return True\n",
        "return True\n            if type(reply).__name__ == 'Refused':\n                return False\n",
    ),
    Mutant(
        "absent record taken for aborted",
        transaction._commit,
        "found.date > plan.expires + context.limits.apply",
        "True",
    ),
    Mutant(
        "no time to apply a record",
        transaction._commit,
        "plan.expires + context.limits.apply",
        "plan.expires",
        begin=600,
        within=1_000,
        shape="slowed",
    ),
    Mutant(
        "record that is gone taken for aborted",
        transaction._commit,
        "return (yield from _was_committed(changes[0], context))",
        "return False",
        within=500,
        shape="kept",
    ),
    Mutant("younger wins", intents.decided, "age is not None and age < intent.age", "age is not None"),
    Mutant("nobody waits", intents.decided, "waited >= patience", "True"),
    Mutant("the abandoned are waited for", intents.decided, "if older or over or waited >= patience:", "if older:"),
    Mutant("aborted without If-None-Match", intents.decided, "IF_ABSENT, found.date", "None, found.date"),
    Mutant(
        "rolled back undecided",
        intents.decided,
        "            (reply,) = yield (Put(",
        "            return aborted\n            (reply,) = yield (Put(",
    ),
)

_CLEARING = (
    Mutant("built on an intent", intents.firm, "if base.intent is None:", "if True:"),
    Mutant("aborted and made final", intents.clear, "if decision.committed:", "if True:"),
    Mutant("committed and rolled back", intents.clear, "if decision.committed:", "if False:"),
    Mutant("cleared without If-Match", intents.clear, "final, base.unchanged", "final, None"),
    Mutant("rolled back to what was there", fence.rolled_back, ".fenced(context.ids.new())", ""),
    Mutant("made final without If-Match", finishing._over_intent, "IfMatch(change.placed)", "None"),
    Mutant("another's intent rolled back", finishing._roll_back, "base.intent.tx != change.plan.tx", "False"),
)

_READING = (
    Mutant(
        "intents believed", reading.resolve, "if not decode_decision(found.body, record_key).committed:", "if False:"
    ),
    Mutant(
        "undecided taken for committed",
        reading.resolve,
        "        (again,) = yield from ask(Get(keys.current))\n        return current",
        "        return _made(slot, slot_key, intent)\n        return current",
    ),
    Mutant("intents not looked into", reading.look, "base.record.intent is None", "True"),
    Mutant("vread does not look into intents", reading.vread, "if current.intent is not None:", "if False:"),
    Mutant(
        "absent record believed at once",
        reading.resolve,
        "if _etag(again) == etag else None",
        "if True else None",
        within=4_000,
        shape="kept",
    ),
    Mutant("slot of another believed", reading._made, "record.op == intent.tx", "True", within=1_000, shape="slowed"),
    Mutant(
        "history does not look into intents",
        records.currents_at,
        "if record.intent is None:",
        "if True:",
    ),
    Mutant("history shows what is torn", Counting._torn, "if not young:", "if True:", within=1_000, shape="slowed"),
)

_SWEEPING = (
    Mutant(
        "transactions settle as single writes do",
        getter(Limits.settled),
        "max(self.window, self.transaction_window)",
        "self.window",
    ),
    Mutant(
        "records removed early", transactions.remove_transactions, "date - context.limits.keep_transactions", "date"
    ),
    Mutant(
        "records removed before all is final",
        transactions.needless,
        "if not all(done):",
        "if False:",
        within=2_500,
        shape="kept",
        begin=1_900,
    ),
    Mutant(
        "made final and not looked at again",
        transactions._final,
        "return base.version >= version",
        "return True",
        within=2_500,
        shape="kept",
        begin=1_900,
    ),
    Mutant("slot removed under an intent", removal.remove_slot, "if base.intent is not None:", "if False:"),
)

TRANSACTION_MUTANTS: tuple[Mutant, ...] = (*_ANNOUNCING, *_DECIDING, *_CLEARING, *_READING, *_SWEEPING)
