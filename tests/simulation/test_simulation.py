"""The protocol keeps its promises in thousands of simulated schedules."""

from __future__ import annotations

import pytest

from tests.simulation.plots import PLOTS
from tests.simulation.run import many
from tests.simulation.schedule import simulate

_SEEDS = 3_600  # make simulate SEEDS=200000 runs more
_CHUNK = 900
_FAST = 300  # in make test-fast


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        (0, _FAST),
        pytest.param(_FAST, _CHUNK, marks=pytest.mark.slow),
        *(pytest.param(start, start + _CHUNK, marks=pytest.mark.slow) for start in range(_CHUNK, _SEEDS, _CHUNK)),
    ],
)
def test_no_schedule_breaks_a_promise(start: int, stop: int) -> None:
    """Crashes, lost and repeated messages, late ones, wrong clocks, stopped processes: nothing is lost or wrong."""
    verdict = many(range(start, stop))
    assert verdict.violations == []
    assert verdict.schedules == stop - start


@pytest.mark.parametrize(("start", "stop"), [(0, 150), pytest.param(150, 900, marks=pytest.mark.slow)])
def test_no_schedule_breaks_a_promise_about_queries(start: int, stop: int) -> None:
    """The same faults: on one query one resource is created, and what is changed has matched it."""
    verdict = many(range(start, stop), "queries")
    assert verdict.violations == []
    assert verdict.acknowledged > 2 * (stop - start)


@pytest.mark.parametrize(("start", "stop"), [(0, _FAST), pytest.param(_FAST, 1_800, marks=pytest.mark.slow)])
def test_no_schedule_breaks_a_promise_about_runs(start: int, stop: int) -> None:
    """The same faults: what is sealed stays as it is, what is not sealed is invisible, and then gone."""
    verdict = many(range(start, stop), "runs")
    assert verdict.violations == []
    assert verdict.acknowledged > 2 * (stop - start)


@pytest.mark.parametrize(("start", "stop"), [(0, 200), pytest.param(200, 1_200, marks=pytest.mark.slow)])
def test_no_schedule_breaks_a_promise_about_payloads(start: int, stop: int) -> None:
    """The same faults: what a version refers to is there, every content is stored once, and the rest goes."""
    verdict = many(range(start, stop), "payloads")
    assert verdict.violations == []
    assert verdict.acknowledged > 2 * (stop - start)


@pytest.mark.slow
def test_the_schedules_hold_what_they_are_for() -> None:
    """Writes are acknowledged, and every kind of fault happens, many times."""
    verdict = many(range(_CHUNK))
    assert verdict.acknowledged > 2 * _CHUNK
    assert min(verdict.faults.values()) > 50
    assert len(verdict.faults) == 16


def test_a_seed_is_a_schedule() -> None:
    """The same seed gives the same trace, to the last line; another gives another."""
    for plot, seed in [(each, seed) for each in PLOTS.values() for seed in range(len(each.shapes) or 5)]:
        first: list[str] = []
        second: list[str] = []
        other: list[str] = []
        plot.simulate(seed, first)
        plot.simulate(seed, second)
        plot.simulate(seed + (len(plot.shapes) or 1), other)
        assert len(first) > 20
        assert first == second
        assert first != other


def test_watching_changes_nothing() -> None:
    """A schedule that is traced goes as one that is not."""
    for seed in range(20):
        assert simulate(seed, []) == simulate(seed)
