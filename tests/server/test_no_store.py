"""Commands that look after a store never make one: a misspelt path is not found clean."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from fhirstore import FhirStore
from tests.server.processes import run_command

pytestmark = pytest.mark.slow

COMMANDS = (["fsck"], ["fsck", "--repair"], ["sweep", "--json"], ["worker"], ["probe"])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.slow
def test_a_path_without_a_store_ends_the_command(command: list[str], tmp_path: Path) -> None:
    """Exit code 2, one line that says so, nothing on standard output, and the path stays as it was."""
    ended = run_command({}, *command, "--store", f"file:{tmp_path}/data")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"fhirstore: no fhirstore at {tmp_path}/data: there is no such directory; "
        "check the path; `fhirstore serve` makes a new store\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS[:4], ids=" ".join)
@pytest.mark.slow
def test_memory_is_nothing_to_look_after(command: list[str]) -> None:
    """It would be a new and empty one: exit code 2 and a line that says so."""
    ended = run_command({"FHIRSTORE_STORE": "memory:"}, *command)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert "no fhirstore at memory:" in ended.stderr


async def _store(location: str, *tenants: str) -> None:
    async with FhirStore.open(location, tenants=tenants) as store:
        for tenant in tenants:
            await store.tenant(tenant).create({"resourceType": "Patient"})


@pytest.mark.slow
def test_a_tenant_that_is_not_configured_is_named_and_not_found_clean(tmp_path: Path) -> None:
    """--tenant with another name is exit code 2, with `*` also where the tenant has no data."""
    location = f"file:{tmp_path}/data"
    asyncio.run(_store(location, "a", "b"))
    for command in ("fsck", "sweep"):
        for tenants in ("a,b", "*"):
            env = {"FHIRSTORE_TENANTS": tenants, "FHIRSTORE_TENANT_SOURCE": "header"}
            ended = run_command(env, command, "--store", location, "--tenant", "c")
            assert (ended.returncode, ended.stdout) == (2, "")
            assert ended.stderr == "fhirstore: no tenant 'c' here; there is a, b (FHIRSTORE_TENANTS)\n"


@pytest.mark.slow
def test_tenants_that_are_stored_but_not_configured_are_told(tmp_path: Path) -> None:
    """What is not looked at does not pass for clean; a tenant without data is said to have none."""
    location = f"file:{tmp_path}/data"
    asyncio.run(_store(location, "a", "b"))
    ended = run_command({}, "fsck", "--store", location)
    assert (ended.returncode, ended.stdout) == (0, "default: nothing is stored\n")
    assert ended.stderr == "fhirstore: not looked at, since FHIRSTORE_TENANTS names no such tenants: a, b\n"
    env = {"FHIRSTORE_TENANTS": "*", "FHIRSTORE_TENANT_SOURCE": "header"}
    ended = run_command(env, "fsck", "--json", "--store", location)
    assert (list(json.loads(ended.stdout)), ended.stderr) == (["a", "b"], "")
