"""The interactions of the benchmark cost the same requests and round trips on every store."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from server.commands.cost.operations import OPERATIONS
from tests.costs.command import app

REMEMBERED = OPERATIONS["update of what the process read or wrote last"].requests()
COSTS = {
    "create": (OPERATIONS["create"].requests(), 2),
    "create, 3 identifiers": (OPERATIONS["create with n identifiers of n systems"].requests(3), 2),
    "read": (OPERATIONS["read"].requests(), 1),
    "vread": (OPERATIONS["vread"].requests(), 1),
    "update": (REMEMBERED, 2),
    "delete": (REMEMBERED, 2),
}


def test_each_interaction_costs_what_is_promised_on_each_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory and embedded: exactly these requests and round trips, whatever settings the shell has."""
    monkeypatch.setenv("FHIRSTORE_TENANT_SOURCE", "path")
    result = CliRunner().invoke(app, ["counts", "--stores", "memory,embedded", "--json"])
    assert result.exit_code == 0, result.output
    stores = json.loads(result.stdout)
    assert list(stores) == ["memory", "embedded"]
    for found in stores.values():
        assert {name: (cost["requests"], cost["round_trips"]) for name, cost in found.items()} == COSTS


def test_an_unknown_store_is_refused() -> None:
    """A misspelt store ends the command before anything starts."""
    assert CliRunner().invoke(app, ["counts", "--stores", "floppy"]).exit_code == 2
