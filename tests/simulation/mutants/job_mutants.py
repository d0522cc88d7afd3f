"""The rules of jobs, each switched off in turn."""

from __future__ import annotations

from functools import partial

from fhirstore.jobs import lease, progress, queue, removal, state
from fhirstore.upkeep.sweep import jobs as sweep
from tests.simulation.mutants.mutation import Mutant
from tests.simulation.plots import ABOUT_JOBS

_mutant = partial(Mutant, plot=ABOUT_JOBS)

JOB_MUTANTS: tuple[Mutant, ...] = (
    _mutant("job claimed without compare-and-set", lease._claim, "else IfMatch(reply.etag)", "else None"),
    _mutant("job claimed without a new epoch", state.claimed, "state.epoch + 1", "state.epoch"),
    _mutant("job taken over before its lease expires", state.claimed, "now <= state.expires", "False"),
    _mutant("complete ignores cancel", lease._step, "IfMatch(lease.etag)", "None"),
    _mutant("cancel ignores complete", lease.change, "IfMatch(reply.etag)", "None"),
    _mutant(
        "removal deletes the state first",
        removal.remove,
        "    yield from emptied(job)\n    yield from removed(job.state)",
        "    yield from removed(job.state)\n    yield from emptied(job)",
    ),
    _mutant(
        "removal does not wait for late requests", state.outgoing, "now + settled", "now", begin=5_900, within=8_000
    ),
    _mutant(
        "entry removed before the end",
        removal.finish,
        "ended = yield from",
        "yield from removed(keys.queued_job(replace(entry.name, due=None)))\n    ended = yield from",
    ),
    _mutant(
        "live entry removed before the ended one is there",
        queue.file_away,
        "yield from stored(",
        "yield from removed(keys.queued_job(replace(name, due=None)))\n    yield from stored(",
    ),
    _mutant(
        "removal is not announced",
        removal.let_go,
        "yield from stored(keys.queued_job(soon), entry_body(keys, job))",
        "soon",
        within=4_000,
    ),
    _mutant("every job is admitted", queue.admission, "len(ids) <= most", "True"),
    _mutant("admitted by rank alone", queue.admission, "len(ids) <= most", "ids.index((name.id, name.kind)) < most"),
    _mutant("creation without a window", queue.create, "IF_ABSENT, window=window", "IF_ABSENT", within=4_000),
    _mutant(
        "second try with the same id",
        queue._announced,
        "metadata = msgspec.structs.replace(",
        "metadata = wanted = wanted if wanted.id else msgspec.structs.replace(",
        within=8_000,
    ),
    _mutant(
        "dead creation taken for dead at once",
        removal.tidied,
        "seen.entry.modified + context.limits.settled >= seen.date",
        "False",
    ),
    _mutant("progress overwritten", progress.put, "IfMatch(progress.etag)", "None", within=4_000),
    _mutant("what a zombie wrote stays", sweep._without_entry, "if not objects or", "if True or", within=4_000),
    _mutant("entries of removed jobs stay", sweep._without_job, "seen.job is None or", "True or", within=4_000),
)
