"""What an administrator and the sweeper do while clients are at work: purge a resource, sweep the orphans away."""

from __future__ import annotations

from dataclasses import dataclass

from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Protocol
from fhirstore.commit.purge import Purged, purge
from fhirstore.errors import Contention, Unavailable, WriteOutcomeUnknown
from fhirstore.upkeep.sweep.run import Pace, SweepReport, sweep
from tests.simulation.model.process import Process
from tests.simulation.model.task import Call
from tests.simulation.model.truth import KEYS, TYPE, Truth


@dataclass(frozen=True, slots=True)
class Purge:
    """Remove a resource with its history."""

    id: str

    def start(self, process: Process, context: Context, call: Call) -> Protocol[Purged]:
        return purge(KEYS.resource(TYPE, self.id), by="sim", context=context)

    def judge(self, call: Call, truth: Truth) -> list[str]:
        history = truth.history(self.id)
        mine = [token for token in call.tokens if token in truth.purges]
        wrong = [f"purged {len(mine)} times"] if len(mine) > 1 else []
        if call.ended is None or isinstance(call.outcome, WriteOutcomeUnknown | Unavailable):
            return wrong
        if isinstance(call.outcome, Purged):
            if not history.shows(0, call.began, call.ended):
                wrong.append("said that it purged, but the resource was there all the time")
            if call.outcome.versions and not any(call.began <= at <= call.ended for at in truth.purges.values()):
                wrong.append("counts versions that nobody purged")
        elif not isinstance(call.outcome, Contention):
            wrong.append(f"ended with {call.outcome!r}")
        elif mine:
            wrong.append("said that nothing was purged, but it was")
        return wrong


@dataclass(frozen=True, slots=True)
class Sweep:
    """One pass. `last`: nobody writes any more, so nothing may be left after it."""

    last: bool = False

    def start(self, process: Process, context: Context, call: Call) -> Protocol[SweepReport]:
        return sweep(KEYS, context=context, pace=Pace(margin=100, lease=3 * context.limits.window, page=3, at_once=3))

    def judge(self, call: Call, truth: Truth) -> list[str]:
        if call.ended is None:
            return []
        if isinstance(call.outcome, SweepReport):
            if self.last and (call.outcome.outcome != "swept" or call.outcome.left or call.outcome.unclear):
                return [f"the last sweep came to {call.outcome}"]
            return []
        return [] if isinstance(call.outcome, Unavailable) and not self.last else [f"ended with {call.outcome!r}"]
