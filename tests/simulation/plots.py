"""What schedules can be about: every plot by its name, and how many of its schedules `python -m tests.simulation` runs.

A plot is a function from a seed to a verdict. `resources` is about interactions on resources; the others are about one
machine each, with the same weather.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tests.simulation.jobs.schedule import simulate_jobs
from tests.simulation.scenarios.scenario import RESOURCES
from tests.simulation.scenarios.scenario import Plot as Scenarios
from tests.simulation.scenarios.sealing import RUNS
from tests.simulation.schedule import Verdict, simulate


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


def _shapes(scenarios: Scenarios) -> tuple[str, ...]:
    return tuple(shape.__name__.strip("_") for shape in scenarios.shapes)


def _simulate_runs(seed: int, trace: list[str] | None = None) -> Verdict:
    return simulate(seed, trace, plot=RUNS)


ABOUT_RESOURCES = Plot("resources", simulate, 1.0, _shapes(RESOURCES))
ABOUT_RUNS = Plot("runs", _simulate_runs, shapes=_shapes(RUNS))
ABOUT_JOBS = Plot("jobs", simulate_jobs)

PLOTS: Mapping[str, Plot] = {plot.name: plot for plot in (ABOUT_RESOURCES, ABOUT_RUNS, ABOUT_JOBS)}
