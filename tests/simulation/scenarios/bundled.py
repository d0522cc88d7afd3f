"""Transactions: what clients want of several resources at once, and what they may be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Protocol
from fhirstore.commit.single import WriteResult
from fhirstore.commit.transaction import Part, transact
from fhirstore.errors import Contention, Unavailable, VersionConflict, WriteOutcomeUnknown
from tests.simulation.model.process import Process
from tests.simulation.model.task import Call
from tests.simulation.model.truth import KEYS, TYPE, Truth
from tests.simulation.scenarios.operations import Write, remembered, tell

Told = list[tuple[Write, WriteResult, int | None]]


@dataclass(frozen=True, slots=True)
class Transact:
    """POST of a transaction Bundle. `writes`: its entries, each of another resource; `kind` create: a fresh id."""

    writes: tuple[Write, ...]

    def start(self, process: Process, context: Context, call: Call) -> Protocol[Told]:
        expected = [write.expected(process) for write in self.writes]
        parts = [
            Part(KEYS.resource(TYPE, write.id), write.decide(call, version), fresh=write.kind in ("create", "once"))
            for write, version in zip(self.writes, expected, strict=True)
        ]
        done = yield from transact(parts, context=context)
        call.rest = done.finish
        for write, part, outcome in zip(self.writes, parts, done.results, strict=True):
            remembered(process).forget("", part.keys.current)
            tell(process, write.id, outcome.record)
        return list(zip(self.writes, done.results, expected, strict=True))

    def judge(self, call: Call, truth: Truth) -> list[str]:
        mine = [decided for token in call.tokens if (decided := truth.transactions.committed(token)) is not None]
        wrong = [f"was committed {len(mine)} times"] if len(mine) > 1 else []
        unknown = call.ended is None or isinstance(call.outcome, WriteOutcomeUnknown)
        for decided in mine:
            if not call.began <= decided.at or (not unknown and decided.at > (call.ended or 0.0)):
                wrong.append("was committed outside its call")
        for write in self.writes:
            wrong += write.judge_made(call, truth)
        if call.ended is None or unknown:
            return wrong
        if isinstance(call.outcome, list):
            told: Told = call.outcome
            for write, outcome, expected in told:
                wrong += write.judge_told(call, call.ended, outcome, expected, truth.history(write.id))
            applied = {outcome.record.op for _, outcome, _ in told if outcome.applied and outcome.record is not None}
            if len(applied) != len(mine) or len(applied) > 1:
                wrong.append(f"was told of {len(applied)} transactions; {len(mine)} were committed")
            return wrong
        if mine:
            wrong.append(f"was told {type(call.outcome).__name__}, but it is committed")
        if isinstance(call.outcome, VersionConflict):
            current, began, ended = call.outcome.current, call.began, call.ended
            if not any(truth.history(write.id).shows(current, began, ended) for write in self.writes if write.if_match):
                wrong.append(f"was told of current version {current}, which was not current then")
        elif not isinstance(call.outcome, Contention | Unavailable):
            wrong.append(f"ended with {call.outcome!r}")
        return wrong


def all_of(ids: Sequence[str]) -> Transact:
    """One over all of them."""
    return Transact(tuple(Write(id_, "patch") for id_ in ids))
