"""Direct uploads keep their promises in simulated schedules, and each of their rules is needed for that."""

from __future__ import annotations

import pytest

from tests.simulation.mutants.mutation import Mutant
from tests.simulation.transfers.mutants import TRANSFER_MUTANTS
from tests.simulation.transfers.schedule import simulate_transfers


@pytest.mark.parametrize(("start", "stop"), [(0, 60), pytest.param(60, 600, marks=pytest.mark.slow)])
def test_no_schedule_breaks_a_promise(start: int, stop: int) -> None:
    """Whatever crashes, sleeps, comes late, twice or not at all: one upload is one Binary with its content, or none."""
    answers = 0
    for seed in range(start, stop):
        story = simulate_transfers(seed)
        assert (seed, story.problems) == (seed, [])
        answers += story.answers
    assert answers > stop - start


@pytest.mark.slow
@pytest.mark.parametrize("mutant", TRANSFER_MUTANTS, ids=lambda mutant: mutant.name)
def test_every_rule_is_needed(mutant: Mutant) -> None:
    """With this rule switched off, a schedule below the stated bound breaks a promise."""
    with mutant.applied():
        assert any(simulate_transfers(seed).problems for seed in range(mutant.begin, mutant.within))
