"""The protocol of jobs keeps its promises in simulation; `test_rules_beside_resources` lets its mutants loose."""

from __future__ import annotations

import pytest

from tests.simulation.jobs.schedule import simulate_jobs
from tests.simulation.run import many


@pytest.mark.parametrize(("start", "stop"), [(0, 300), pytest.param(300, 1_800, marks=pytest.mark.slow)])
def test_no_schedule_breaks_a_promise(start: int, stop: int) -> None:
    """Whatever crashes, stops, comes late or twice: each job comes to one end, and leaves nothing when it goes."""
    verdict = many(range(start, stop), "jobs")
    assert verdict.violations == []
    assert verdict.acknowledged > stop - start  # jobs created
    assert len(verdict.faults) == 16


def test_a_seed_is_a_schedule() -> None:
    """The same seed gives the same trace, and watching changes nothing."""
    for seed in range(5):
        first: list[str] = []
        second: list[str] = []
        assert simulate_jobs(seed, first) == simulate_jobs(seed, second) == simulate_jobs(seed)
        assert first == second
        assert len(first) > 20
