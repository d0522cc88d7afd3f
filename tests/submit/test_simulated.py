"""The protocols of a submission in the simulator: nothing is violated, and every rule is needed."""

from __future__ import annotations

import pytest

from tests.simulation.mutants.mutation import Mutant
from tests.submit.simulated.mutants import MUTANTS, killed_after
from tests.submit.simulated.schedule import simulate


def test_no_schedule_violates_a_promise() -> None:
    """Whatever dies, sleeps or is late, and whoever else writes."""
    for seed in range(600):
        assert simulate(seed) == [], seed


def test_a_seed_is_a_schedule() -> None:
    """The same seed gives the same trace, to the last line."""
    first: list[str] = []
    second: list[str] = []
    simulate(7, first)
    simulate(7, second)
    assert len(first) > 20
    assert first == second


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [one for one in MUTANTS if one.within <= 200], ids=lambda mutant: mutant.name)
def test_every_rule_is_needed(mutant: Mutant) -> None:
    """With this rule switched off, a schedule below the stated bound breaks a promise.

    Those that take longer to catch: `python -m tests.submit.simulated --mutants`.
    """
    assert killed_after(mutant) is not None
