"""Each rule of runs, jobs, exports, submissions, payloads, queries and searches is needed.

In a file of its own, so that two test processes share the rules.
"""

from __future__ import annotations

import pytest

from tests.simulation.mutants.mutants import MUTANTS
from tests.simulation.mutants.mutation import Mutant
from tests.simulation.plots import ABOUT_RESOURCES
from tests.simulation.run import killed_by, seeds_for


@pytest.mark.slow
@pytest.mark.parametrize(
    "mutant", [one for one in MUTANTS if one.plot is not ABOUT_RESOURCES], ids=lambda mutant: mutant.name
)
def test_every_rule_is_needed(mutant: Mutant) -> None:
    """With this rule switched off, a schedule below the stated bound breaks a promise."""
    assert killed_by(mutant, seeds_for(mutant)) is not None
