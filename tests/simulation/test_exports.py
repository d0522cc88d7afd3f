"""An export keeps its promises in simulated schedules; `test_rules_beside_resources` lets its mutants loose."""

from __future__ import annotations

import pytest

from tests.simulation.exports.schedule import SHAPES, simulate_exports
from tests.simulation.schedule import Verdict

_SEEDS = 24  # of each shape; make simulate runs more


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__.strip("_"))
def test_an_export_equals_the_truth_at_its_time(shape: object) -> None:
    """With workers that die and overlap, wrong clocks and a bad network, each line is there once, and chains tile."""
    total = Verdict()
    for seed in range(SHAPES.index(shape), _SEEDS * len(SHAPES), len(SHAPES)):
        total.add(simulate_exports(seed))
    assert total.violations == []
    assert total.commits > 10 * _SEEDS
