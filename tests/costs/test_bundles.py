"""The benchmark of Bundles loads the same resources in both ways, and tells both rates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.costs.command import app

SYNTHEA = Path(__file__).parent.parent / "data" / "synthea"


@pytest.mark.slow
def test_bundles_are_measured_against_single_creates() -> None:
    """One short round: all Bundles and all resources are counted; the rates are what they are."""
    arguments = ["bundles", str(SYNTHEA), "--stores", "memory", "--rounds", "1", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    assert (row["store"], row["bundles"], row["resources"]) == ("memory", 4, 46)
    assert row["bundles_rate"] > 0
    assert row["ratio"] > 0
