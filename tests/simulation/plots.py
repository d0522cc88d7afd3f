"""What schedules can be about: every plot by its name, and how many of its schedules `python -m tests.simulation` runs.

A plot is a function from a seed to a verdict. `resources` is about interactions on resources; the others are about one
machine each, with the same weather.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from tests.simulation.exports.schedule import SHAPES as EXPORT_SHAPES
from tests.simulation.exports.schedule import simulate_exports
from tests.simulation.jobs.schedule import simulate_jobs
from tests.simulation.scenarios.querying import QUERIES
from tests.simulation.scenarios.scenario import RESOURCES
from tests.simulation.scenarios.sealing import RUNS
from tests.simulation.scenarios.storing import PAYLOADS
from tests.simulation.schedule import Verdict, simulate
from tests.simulation.searches.schedule import simulate_searches
from tests.simulation.searches.scripts import SHAPES as SEARCH_SHAPES
from tests.simulation.submissions.schedule import simulate_submissions


class Simulate(Protocol):
    """Runs the schedule of a seed. `trace` gets lines that tell what happens."""

    def __call__(self, seed: int, trace: list[str] | None = None) -> Verdict: ...


@dataclass(frozen=True, slots=True)
class Plot:
    """`share`: of the schedules asked for, the part that are about this. `shapes`: its kinds of scenario, in turn."""

    name: str
    simulate: Simulate
    share: float = 0.25
    shapes: tuple[str, ...] = ()


def _names(shapes: Iterable[Callable[..., object]]) -> tuple[str, ...]:
    return tuple(shape.__name__.strip("_") for shape in shapes)


def _simulate_runs(seed: int, trace: list[str] | None = None) -> Verdict:
    return simulate(seed, trace, plot=RUNS)


def _simulate_queries(seed: int, trace: list[str] | None = None) -> Verdict:
    return simulate(seed, trace, plot=QUERIES)


def _simulate_payloads(seed: int, trace: list[str] | None = None) -> Verdict:
    return simulate(seed, trace, plot=PAYLOADS)


ABOUT_RESOURCES = Plot("resources", simulate, 1.0, _names(RESOURCES.shapes))
ABOUT_RUNS = Plot("runs", _simulate_runs, shapes=_names(RUNS.shapes))
ABOUT_QUERIES = Plot("queries", _simulate_queries, shapes=_names(QUERIES.shapes))
ABOUT_PAYLOADS = Plot("payloads", _simulate_payloads, shapes=_names(PAYLOADS.shapes))
ABOUT_JOBS = Plot("jobs", simulate_jobs)
ABOUT_EXPORTS = Plot("exports", simulate_exports, 0.1, _names(EXPORT_SHAPES))
ABOUT_SUBMISSIONS = Plot("submissions", simulate_submissions)
ABOUT_SEARCHES = Plot("searches", simulate_searches, 0.1, _names(SEARCH_SHAPES))

PLOTS: Mapping[str, Plot] = {
    plot.name: plot
    for plot in (
        ABOUT_RESOURCES,
        ABOUT_QUERIES,
        ABOUT_RUNS,
        ABOUT_PAYLOADS,
        ABOUT_JOBS,
        ABOUT_EXPORTS,
        ABOUT_SUBMISSIONS,
        ABOUT_SEARCHES,
    )
}
