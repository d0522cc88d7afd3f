"""The rules of the commit protocol, each switched off in turn: the simulator must notice every time.

A mutant that survives means that the simulator is too kind, or that the rule is not needed. Not needed by what clients
are promised, and so without a mutant: the window of a fence, the nonce of a hold, the second look at `current` and at
`t` that a removal takes (a sweep has judged both before), the exclusiveness of a sweeper's lease.
"""

from __future__ import annotations

from fhirstore.commit import abandoned, attempt, backoff, fence, intents, purge, reading, single, verdict
from fhirstore.commit.attempt import Attempt
from fhirstore.commit.limits import Limits
from fhirstore.format.record import Record
from fhirstore.history import counting, instance
from fhirstore.upkeep.sweep import event_status, removal, run
from tests.simulation.model.bucket import Bucket
from tests.simulation.model.network import Network
from tests.simulation.mutants.export_mutants import EXPORT_MUTANTS
from tests.simulation.mutants.identity_mutants import IDENTITY_MUTANTS
from tests.simulation.mutants.job_mutants import JOB_MUTANTS
from tests.simulation.mutants.mutation import Mutant, getter
from tests.simulation.mutants.payload_mutants import PAYLOAD_MUTANTS
from tests.simulation.mutants.query_mutants import QUERY_MUTANTS
from tests.simulation.mutants.run_mutants import RUN_MUTANTS
from tests.simulation.mutants.search_mutants import SEARCH_MUTANTS
from tests.simulation.mutants.submission_mutants import SUBMISSION_MUTANTS
from tests.simulation.mutants.transaction_mutants import TRANSACTION_MUTANTS

_RESERVATION = (
    Mutant("slot taken without If-None-Match", single._carry_out, "slot_put(IF_ABSENT)", "slot_put(None)"),
    Mutant("slot without a window", Attempt.slot_put, "condition, self.expires", "condition, None"),
    Mutant("events without a window", single._carry_out, "body, expires=attempt.expires", "body, expires=None"),
    Mutant(
        "commit without the slot acknowledged",
        single._carry_out,
        "if not isinstance(slot, Written) and not (yield from take_over(attempt, context)):",
        "if False:",
    ),
    Mutant(
        "commit without the events acknowledged",
        single._completed,
        "missing = tuple(put for put, reply in zip(beside, rest, strict=True) if not isinstance(reply, Written))",
        "missing = ()",
    ),
    Mutant("t may repeat or go back", single._attempt, "max(now, base.record.t + 1)", "now"),
    Mutant("t from the version before alone", single._attempt, "max(now, base.record.t + 1)", "base.record.t + 1"),
    Mutant(
        "prior forgotten",
        attempt.next_record,
        "base.record.op if base.record is not None and base.version",
        "None if 1",
    ),
    Mutant(
        "conflict judged by memory",
        single.write,
        "if base.whole:\n                raise",
        "if True:\n                raise",
        within=2_000,
    ),
    Mutant(
        "nothing to do, by memory",
        single.write,
        "if base.whole:\n                return",
        "if True:\n                return",
        begin=1_200,
        within=10_000,
    ),
)

_TAKING_OVER = (
    Mutant("no R1", abandoned.take_over, "if (yield from _moved(attempt)):\n        return False  # R1", "pass"),
    Mutant("no fence", abandoned.take_over, "owner.base == attempt.base.etag", "False"),
    Mutant("absent slot taken for ours", abandoned.take_over, "return False  # the res", "return True  # the res"),
    Mutant("slot taken over without If-Match", abandoned.take_over, "IfMatch(etag)", "None", within=2_000),
    Mutant(
        "slot not read back after a silent take-over",
        abandoned.take_over,
        "return found is not None and found[0].op == attempt.record.op",
        "return True",
        within=2_000,
    ),
    Mutant(
        "fencing with a remembered base",
        abandoned.take_over,
        "not attempt.base.whole",
        "False",
        begin=800,
        within=2_000,
    ),
    Mutant("fence without a nonce", fence.fence, "record.fenced(nonce).encode()", "record.encode()"),
    Mutant("fence without If-Match", fence.fence, "base.unchanged", "None", within=4_000),
    Mutant("the dead are waited for", abandoned._outwait_or_fence, "yield (fence(", "return\n    yield (fence("),
)

_COMMIT = (
    Mutant("commit without If-Match", getter(Attempt.commit_put), "self.base.unchanged", "None"),
    Mutant("commit without a window", getter(Attempt.commit_put), "self.expires", "None"),
    Mutant("commit does not wait for what it follows", getter(Attempt.commit_put), "follows=True", "follows=False"),
    Mutant(
        "commit under way forgotten", single._carry_out, "not isinstance(told, NotSent)", "isinstance(told, Written)"
    ),
    Mutant("commit sent again on no reservation", single._carry_out, "again=reserved", "again=True"),
    Mutant(
        "unknown outcome taken for failure",
        verdict.commit,
        "return Committed(told.etag)",
        "return Committed(told.etag)\n            if type(told).__name__ == 'Unknown':\n                return None",
    ),
    Mutant(
        "own 412 taken for another's",
        verdict.commit,
        "return Committed(told.etag)",
        "return Committed(told.etag)\n            if type(told).__name__ == 'Refused':\n                return None",
    ),
    Mutant("commit given up for want of a retry budget", backoff.settling, "settling=True", "settling=False"),
    Mutant(
        "full at a second try taken for nothing written",
        verdict.send,
        "if not again:",
        "if True:",
        within=2_000,
    ),
    Mutant(
        "still at the base taken for failure",
        verdict._verdict,
        "reply.date > attempt.expires + context.limits.apply",
        "True",
    ),
    Mutant(
        "no time to apply",
        verdict._verdict,
        "attempt.expires + context.limits.apply",
        "attempt.expires",
        within=500,
        shape="zombie",
    ),
    Mutant(
        "current judged by version alone",
        verdict._verdict,
        "return op == attempt.record.op",
        "return current.version == attempt.record.version or op == attempt.record.op",
    ),
    Mutant(
        "built upon taken for ours",
        verdict._verdict,
        "return op == attempt.record.op",
        "return True",
        within=2_000,
    ),
    Mutant(
        "built upon taken for lost",
        verdict._verdict,
        "return op == attempt.record.op",
        "return False",
    ),
)

_READING = (
    Mutant("vread without current", reading.vread, "< version <= current.version", "< version"),
    Mutant(
        "vread of the current version without its op",
        reading.vread,
        "slot is not None and slot.op == current.op",
        "slot is not None",
        within=1_200,
        shape="watched",
    ),
    Mutant(
        "vread never looks twice",
        reading.vread,
        "if slot is None or limits.may_follow(current, slot_reply.date)",
        "if False",
        within=1_200,
        shape="watched",
    ),
    Mutant("vread forgets prior", reading.vread, " and current.prior == slot.op", "", within=1_200, shape="watched"),
    Mutant(
        "nothing settles",
        Limits.may_follow,
        "record.t + self.settled_for(record)",
        "record.t",
        within=2_300,
        shape="watched",
    ),
    Mutant("any version names any other", reading.reached, "current.version == version + 1 and ", ""),
    Mutant("stubs are shown", getter(Record.exists), "self.version > self.floor", "True"),
)

_UPKEEP = (
    Mutant("hold ignored", intents.base_for, "hold < date", "True", within=1_200, shape="swept"),
    Mutant("remembered hold ignored", single.write, " and not guess.held", "", within=3_400, shape="swept"),
    Mutant(
        "orphan deleted without a window",
        removal._hold_and_delete,
        "held.hold - context.limits.apply",
        "None",
        within=1_200,
        shape="swept",
    ),
    Mutant(
        "orphan deleted until the hold ends",
        removal._hold_and_delete,
        "held.hold - context.limits.apply",
        "held.hold",
        within=1_200,
        shape="swept",
    ),
    Mutant("hold without If-Match", removal._hold_and_delete, "base.unchanged", "None", within=2_300, shape="swept"),
    Mutant(
        "hold not read back",
        removal._hold_and_delete,
        "now.record is None or now.record.fence != nonce",
        "False",
        within=2_300,
        shape="swept",
    ),
    Mutant("slot deleted whosever it is", removal.remove_slot, "slot.op != op", "False"),
    Mutant("swept before it is settled", run.sweep, "date - context.limits.settled - pace.margin", "date"),
    Mutant("event judged by version alone", event_status._status, "record.op == event.op", "True"),
    Mutant("purge forgets the hold", purge._attempt, "hold=record.hold", "hold=0", within=6_700, shape="swept"),
    Mutant("purge does not wait", purge._let_settle, "date <= until", "False", within=1_200, shape="purged"),
    Mutant("purge reuses numbers", purge._attempt, "version=record.version", "version=0"),
    Mutant("what was purged is shown", getter(Record.exists), "self.version > self.floor", "self.version > 0"),
    Mutant(
        "vread below the floor",
        reading.vread,
        "not current.floor < version",
        "not 0 < version",
        within=500,
        shape="purged",
    ),
    Mutant(
        "what follows a purge taken for the version",
        reading.stands,
        "now.record is not None and now.record.floor < slot.version",
        "True",
        within=500,
        shape="purged",
    ),
    Mutant(
        "what follows a purge taken for who won",
        reading.reached,
        "if (yield from stands(keys, slot, since=since, limits=limits)) else None",
        "",
        within=1_000,
        shape="purged",
    ),
    Mutant(
        "what follows a purge among a resource's versions",
        instance._Versions._purged_since,
        "if not any(",
        "if True or not any(",
        within=500,
        shape="purged",
    ),
    Mutant(
        "what follows a purge on a page of events",
        counting.Counting._purged_since,
        "if not _is_named(",
        "if False and not _is_named(",
        begin=5_900,
        within=8_000,
        shape="purged",
    ),
    Mutant("floor forgotten", attempt.next_record, "base.record.floor if base.record is not None else 0", "0"),
    Mutant(
        "purged on the way taken for lost",
        verdict._verdict,
        "if op is None:\n        raise WriteOutcomeUnknown(_PURGED)",
        "if op is None:\n        return False",
        within=6_700,
        shape="purged",
    ),
    Mutant(
        "purged taken for lost",
        reading.reached,
        "current.floor >= version",
        "False",
        within=1_700,
        shape="purged",
    ),
)

_STORE = (
    Mutant("windows are not enforced", Network._deliver, "arrives > expires", "False"),
    Mutant(
        "dates are of the answer, not of the reading",
        Bucket._date,
        "self._world.time //",
        "(self._world.time + 300) //",
        within=4_500,
        shape="zombie",
    ),
)
"""What the protocol needs of a store: it must notice a store that does not keep it."""

MUTANTS: tuple[Mutant, ...] = (
    *_RESERVATION,
    *_TAKING_OVER,
    *_COMMIT,
    *_READING,
    *_UPKEEP,
    *_STORE,
    *TRANSACTION_MUTANTS,
    *IDENTITY_MUTANTS,
    *QUERY_MUTANTS,
    *JOB_MUTANTS,
    *RUN_MUTANTS,
    *PAYLOAD_MUTANTS,
    *EXPORT_MUTANTS,
    *SUBMISSION_MUTANTS,
    *SEARCH_MUTANTS,
)
