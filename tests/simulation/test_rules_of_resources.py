"""Each rule of the commit protocol is needed: the simulator notices when it is switched off."""

from __future__ import annotations

import pytest

from tests.simulation.mutants.mutants import MUTANTS
from tests.simulation.mutants.mutation import Mutant
from tests.simulation.plots import ABOUT_RESOURCES
from tests.simulation.run import killed_by, seeds_for
from tests.simulation.schedule import simulate


@pytest.mark.slow
@pytest.mark.parametrize(
    "mutant", [one for one in MUTANTS if one.plot is ABOUT_RESOURCES], ids=lambda mutant: mutant.name
)
def test_every_rule_is_needed(mutant: Mutant) -> None:
    """With this rule switched off, a schedule below the stated bound breaks a promise."""
    assert killed_by(mutant, seeds_for(mutant)) is not None


def test_a_mutant_leaves_no_trace() -> None:
    """After a mutation the protocol is itself again."""
    before = simulate(1)
    with MUTANTS[0].applied():
        assert simulate(1) is not None
    assert simulate(1) == before
