"""Direct uploads keep their promises in simulated schedules; `test_simulation` lets their mutants loose."""

from __future__ import annotations

import pytest

from tests.simulation.run import many


@pytest.mark.parametrize(("start", "stop"), [(0, 60), pytest.param(60, 600, marks=pytest.mark.slow)])
def test_no_schedule_breaks_a_promise(start: int, stop: int) -> None:
    """Whatever crashes, sleeps, comes late, twice or not at all: one upload is one Binary with its content, or none."""
    verdict = many(range(start, stop), "transfers")
    assert verdict.violations == []
    assert verdict.acknowledged > stop - start
