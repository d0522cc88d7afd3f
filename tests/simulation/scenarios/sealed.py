"""What clients do with sealed runs: write, read, list and delete them, while the sweeper passes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from fhirstore.commit.idempotent import removed
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, Pause, Protocol
from fhirstore.commit.reading import ask
from fhirstore.errors import (
    Contention,
    FhirStoreError,
    ObjectDamaged,
    RunNotFound,
    RunSealed,
    RunTimedOut,
    StoreFull,
    Unavailable,
    WriteOutcomeUnknown,
)
from fhirstore.format.runs import RunKeys, Seal, SealedFile, run_keys, stored_as
from fhirstore.runs.listing import level
from fhirstore.runs.sealing import claim, delete, look, seal
from fhirstore.upkeep.sweep.runs import RunPace, sweep_runs
from fhirstore.upkeep.sweep.uploads import sweep_uploads
from tests.simulation.model.process import Process
from tests.simulation.model.task import Call
from tests.simulation.model.truth import KEYS, Truth
from tests.simulation.model.uploads import upload

DATASET = "d"


def keys_of(run_id: str) -> RunKeys:
    """The keys of a run of the one dataset."""
    return run_keys(KEYS, DATASET, {}, run_id)


@dataclass(frozen=True, slots=True)
class WriteRun:
    """Write a run of so many files. `slow`: ms before each file, and before the seal. `last`: without faults."""

    run_id: str
    files: int = 1
    slow: tuple[float, float] = (0.0, 0.0)
    last: bool = False

    def start(self, process: Process, context: Context, call: Call) -> Protocol[Seal]:
        keys = keys_of(self.run_id)
        claimed = yield from claim(keys, context=context)
        files: list[SealedFile] = []
        try:
            for number in range(self.files):
                object_ = stored_as(f"f{number}.x", attempt=None if claimed.owner else claimed.attempt, suffix="")
                parts = (b"call %d " % call.number, b"file %d" % number)
                yield Pause(self.slow[0] / 1000)
                yield from upload(keys.file(object_), parts)
                files.append(_file(f"f{number}.x", object_, b"".join(parts)))
            yield Pause(self.slow[1] / 1000)
            sealed = Seal(
                run_id=self.run_id,
                dataset=DATASET,
                partition={},
                attempt=claimed.attempt,
                created=context.now(),
                files=tuple(files),
            )
            yield from seal(keys, claimed, sealed, context=context)
        except WriteOutcomeUnknown:
            raise
        except FhirStoreError:
            yield from _remove(keys, files)
            raise
        return sealed

    def judge(self, call: Call, truth: Truth) -> list[str]:
        run = truth.sealed_runs.run(keys_of(self.run_id))
        mine = not truth.sealed_runs.attempts.isdisjoint(call.tokens)
        if call.ended is None or (isinstance(call.outcome, WriteOutcomeUnknown) and not self.last):
            return []
        if isinstance(call.outcome, Seal):
            right = mine and run.seal == call.outcome and call.began <= run.sealed <= call.ended
            return [] if right else ["was told that it sealed the run, which it did not"]
        if mine:
            return [f"was told {call.outcome!r}, but it has sealed the run"]
        if isinstance(call.outcome, RunSealed):
            return [] if run.sealed <= call.ended else ["was told that another one has sealed the run"]
        if isinstance(call.outcome, RunTimedOut | Unavailable | StoreFull) and not self.last:
            return []
        return [f"ended with {call.outcome!r}"]


def _file(name: str, object: str, body: bytes) -> SealedFile:
    digest = hashlib.sha256(body).hexdigest()
    return SealedFile(name=name, object=object, size=len(body), sha256=digest, count=0, raw_size=len(body))


def _remove(keys: RunKeys, files: list[SealedFile]) -> Protocol[None]:
    """Removes what was written, as far as the store lets it."""
    if files:
        try:
            yield from removed(*(keys.file(file.object) for file in files))
        except Unavailable:
            return


@dataclass(frozen=True, slots=True)
class ReadRun:
    """Open a run and read its files. `last`: without faults."""

    run_id: str
    last: bool = False

    def start(self, process: Process, context: Context, call: Call) -> Protocol[Seal]:
        keys = keys_of(self.run_id)
        seal = yield from look(keys)
        for file in seal.files:
            (found,) = yield from ask(Get(keys.file(file.object)))
            if isinstance(found, Absent):
                yield from look(keys)
                raise ObjectDamaged(keys.file(file.object))
            if hashlib.sha256(found.body).hexdigest() != file.sha256:
                raise ObjectDamaged(keys.file(file.object))
        return seal

    def judge(self, call: Call, truth: Truth) -> list[str]:
        run = truth.sealed_runs.run(keys_of(self.run_id))
        if call.ended is None or (isinstance(call.outcome, Unavailable) and not self.last):
            return []
        if isinstance(call.outcome, RunNotFound):
            return [] if run.lacked(call.began, call.ended) else ["found no run, though it was there all the time"]
        if isinstance(call.outcome, Seal):
            right = call.outcome == run.seal and run.stood(call.began, call.ended)
            return [] if right else ["read a run that was not there"]
        return [f"ended with {call.outcome!r}"]


@dataclass(frozen=True, slots=True)
class ListRuns:
    """List all runs, in small pages."""

    def start(self, process: Process, context: Context, call: Call) -> Protocol[dict[str, Seal]]:
        found: dict[str, Seal] = {}
        cursor: str | None = None
        while True:
            page = yield from level(KEYS, DATASET, {}, cursor=cursor, limit=2, with_runs=True)
            found |= {keys.folder: seal for keys, seal in page.runs}
            cursor = page.cursor
            if cursor is None:
                return found

    def judge(self, call: Call, truth: Truth) -> list[str]:
        if call.ended is None or not isinstance(call.outcome, dict):
            return [] if call.ended is None or isinstance(call.outcome, Unavailable) else [f"was told {call.outcome!r}"]
        wrong: list[str] = []
        for folder, run in truth.sealed_runs.runs.items():
            listed = folder in call.outcome
            if listed and not run.stood(call.began, call.ended):
                wrong.append(f"listed {run.keys.run_id}, which was not there")
            if not listed and not run.lacked(call.began, call.ended):
                wrong.append(f"did not list {run.keys.run_id}, though it was there all the time")
        return wrong


@dataclass(frozen=True, slots=True)
class DeleteRun:
    """Delete a run."""

    run_id: str

    def start(self, process: Process, context: Context, call: Call) -> Protocol[None]:
        return delete(keys_of(self.run_id), context=context)

    def judge(self, call: Call, truth: Truth) -> list[str]:
        run = truth.sealed_runs.run(keys_of(self.run_id))
        if call.ended is None or isinstance(call.outcome, Contention | Unavailable):
            return []
        if isinstance(call.outcome, RunNotFound):
            return [] if run.lacked(call.began, call.ended) else ["found no run, though it was there all the time"]
        if call.outcome is None:
            return [] if run.deleted <= call.ended else ["said that it deleted the run, which is there"]
        return [f"ended with {call.outcome!r}"]


@dataclass(frozen=True, slots=True)
class SweepRuns:
    """One pass over runs and uploads. `pages`: how far it goes, `page`: objects on one."""

    pages: int = 2
    page: int = 3

    def start(self, process: Process, context: Context, call: Call) -> Protocol[int]:
        pace = RunPace(pages=self.pages, page=self.page, at_once=2, margin=100)
        count = yield from sweep_runs(KEYS, context=context, pace=pace)
        return count + (yield from sweep_uploads(KEYS, context=context, margin=100))

    def judge(self, call: Call, truth: Truth) -> list[str]:
        told = call.ended is None or isinstance(call.outcome, int | Unavailable)
        return [] if told else [f"ended with {call.outcome!r}"]
