"""The rules of sealed runs, each switched off in turn: the simulator must notice every time."""

from __future__ import annotations

from functools import partial

from fhirstore.runs import listing, sealing
from fhirstore.upkeep.sweep import runs, uploads
from tests.simulation.mutants.mutation import Mutant, getter
from tests.simulation.plots import ABOUT_RUNS
from tests.simulation.scenarios import sealed

_mutant = partial(Mutant, plot=ABOUT_RUNS)

_WRITING = (
    _mutant(
        "sealed first, uploaded then",
        sealed.WriteRun.start,
        "yield from upload(keys.file(object_), parts)",
        "pending = upload(keys.file(object_), parts)",
    ),
    _mutant("plain names without the claim", sealing.claim, "held.body == body", "True"),
    _mutant("the claim overwritten", sealing.claim, "IF_ABSENT", "None"),
    _mutant(
        "what became of the claim not read",
        sealing.claim,
        "(held,) = yield from ask(Get(keys.claim))",
        "return Claim(attempt, True, found.date)",
    ),
    _mutant("the seal overwritten", sealing.seal, "IF_ABSENT", "None"),
    _mutant("the seal without a deadline", sealing.seal, "IF_ABSENT, deadline", "IF_ABSENT, None"),
    _mutant(
        "own 412 taken for another's seal",
        sealing._whose,
        "found.attempt != attempt",
        "True",
    ),
    _mutant("another's seal taken for ours", sealing._whose, "found.attempt != attempt", "False"),
    _mutant(
        "an unknown seal taken for nothing sealed",
        sealing.seal,
        "found = yield from _found(keys)",
        "found = Absent(deadline + context.limits.apply + 1)",
    ),
    _mutant(
        "timed out as soon as the deadline is over",
        sealing.seal,
        "found.date > deadline + context.limits.apply",
        "found.date > deadline",
        within=1_500,
        shape="hurried",
    ),
)

_READING = (
    _mutant(
        "read without the seal",
        sealing.look,
        "raise RunNotFound(",
        "return Seal(run_id=keys.run_id, dataset=keys.dataset, partition={}, attempt='', created=0, files=()) or (",
    ),
    _mutant("a deleted run listed", listing.level, "isinstance(seal, Seal)", "seal is not None"),
    _mutant(
        "deleted without a tombstone",
        sealing.delete,
        "(reply,) = yield (Put(keys.seal, tombstone, IfMatch(found.etag)),)",
        "yield from removed_below(keys.seal, but=''); reply = Written('', 0)",
    ),
    _mutant(
        "files removed before the seal",
        sealing.delete,
        "tombstone = ",
        "yield from removed_below(keys.folder, but=keys.seal); tombstone = ",
    ),
    _mutant("the tombstone written unconditionally", sealing.delete, "IfMatch(found.etag)", "None"),
)

_SWEEPING = (
    _mutant(
        "swept whatever its age", runs.is_old, "item.modified + context.limits.run + context.limits.apply + margin", "0"
    ),
    _mutant(
        "swept at half its age",
        runs.is_old,
        "context.limits.run +",
        "context.limits.run // 2 +",
        within=500,
        shape="hurried",
    ),
    _mutant(
        "no time for a seal to be applied",
        runs.is_old,
        "context.limits.apply + margin",
        "0",
        within=500,
        shape="hurried",
    ),
    _mutant("swept though sealed", runs.leftovers, "isinstance(seal, Seal)", "False"),
    _mutant("claims swept", runs.leftovers, "if not isinstance(seal, Tombstone):", "if False:"),
    _mutant("what is sealed is in order", getter(runs.RunFolder.in_order), "len(self.files) == 1", "True"),
    _mutant(
        "a part taken for the whole",
        runs.folders_of,
        "folders[0].whole = folders[-1].whole = False",
        "pass",
        begin=700,
        within=1_000,
        shape="contended",
    ),
    _mutant("the walk never goes on", runs.sweep_runs, "cursor, begun.condition", "None, begun.condition"),
    _mutant("abort forgotten", uploads._sweep, "upload.started < before", "False"),
    _mutant("uploads aborted whatever their age", uploads._sweep, "upload.started < before", "True"),
)

RUN_MUTANTS: tuple[Mutant, ...] = (*_WRITING, *_READING, *_SWEEPING)
