"""Servers find what is in the bucket in simulated schedules; `test_rules_beside_resources` lets the mutants loose."""

from __future__ import annotations

import pytest

from tests.simulation.run import many


@pytest.mark.parametrize(("start", "stop"), [(0, 24), pytest.param(24, 60, marks=pytest.mark.slow)])
def test_what_was_committed_is_found_everywhere(start: int, stop: int) -> None:
    """Whatever crashes, is late or lost: searches show what there was when they were asked, on all their pages."""
    verdict = many(range(start, stop), "searches")
    assert verdict.violations == []
    assert verdict.commits > 4 * (stop - start)
