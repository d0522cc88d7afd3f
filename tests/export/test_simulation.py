"""An export keeps its promises in hundreds of simulated schedules, and the simulator notices when it does not."""

from __future__ import annotations

import pytest

from tests.export.simulated.mutants import MUTANTS, killed_by
from tests.export.simulated.schedule import SHAPES, simulate
from tests.simulation.mutants.mutation import Mutant
from tests.simulation.schedule import Verdict

_SEEDS = 24  # of each shape; python -m tests.export.simulated runs more
_FROM = {"files named without the epoch": 200, "settled with T itself": 80}
"""Seeds before these do not catch the mutant, and are left out to save time."""


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__.strip("_"))
def test_an_export_equals_the_truth_at_its_time(shape: object) -> None:
    """With workers that die and overlap, wrong clocks and a bad network, each line is there once, and chains tile."""
    total = Verdict()
    for seed in range(SHAPES.index(shape), _SEEDS * len(SHAPES), len(SHAPES)):
        total.add(simulate(seed))
    assert total.violations == []
    assert total.commits > 10 * _SEEDS


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_rule_is_needed(mutant: Mutant) -> None:
    """With this rule switched off, a schedule below the stated bound breaks a promise."""
    assert killed_by(mutant, range(_FROM.get(mutant.name, 0), mutant.within)) is not None
