"""A submission keeps its promises in simulated schedules; `test_rules_beside_resources` lets its mutants loose."""

from __future__ import annotations

from tests.simulation.run import many


def test_no_schedule_breaks_a_promise() -> None:
    """Whatever dies, sleeps or is late, and whoever else writes: each line counts once, and is undone as a whole."""
    verdict = many(range(600), "submissions")
    assert verdict.violations == []
    assert verdict.commits > 600
