"""`fhirstore tenant list|add|remove` changes which tenants the servers of a store serve."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from conformance.s3servers import S3Server
from fhirstore import REGISTERED, FhirStore
from fhirstore.objects import list_all
from server.cli import app
from server.commands.tenants import remove_tenant
from server.settings import BadSetting, Settings, from_environment

PATIENT = {"resourceType": "Patient", "id": "p"}


def _run(*arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(app, ["tenant", *arguments], input=input)


async def _make(settings: Settings) -> None:
    async with FhirStore.open(settings.store, tenants=REGISTERED, s3=settings.s3):
        pass


async def _fill(settings: Settings, tenant: str) -> None:
    async with FhirStore.open(settings.store, tenants=REGISTERED, s3=settings.s3) as store:
        await store.tenant(tenant).update(PATIENT)


async def _below(settings: Settings, prefix: str) -> list[str]:
    async with FhirStore.open(settings.store, tenants=REGISTERED, s3=settings.s3) as store:
        return [one.key async for one in list_all(store.tenancy.stores[0], prefix)]


def _settings() -> Settings:
    return from_environment(os.environ, serving=False)


@pytest.fixture(params=["embedded", pytest.param("ministack", marks=pytest.mark.s3)])
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FHIRSTORE_TENANTS", "@store")
    if request.param == "embedded":
        monkeypatch.setenv("FHIRSTORE_STORE", f"file:{tmp_path}")
    else:
        server: S3Server = request.getfixturevalue("ministack")
        for name, value in server.serving(server.location()).items():
            monkeypatch.setenv(name, value)
    found = _settings()
    asyncio.run(_make(found))
    return found


def test_a_tenant_comes_and_goes_with_its_data(settings: Settings) -> None:
    """Added, filled, refused to be removed, removed with everything, and unknown then."""
    assert json.loads(_run("list", "--json").stdout) == {"source": "registry", "tenants": [], "notConfigured": []}
    for tenant, added in (("a", True), ("b", True), ("a", False)):
        result = _run("add", tenant, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout) == {"id": tenant, "added": added}
    asyncio.run(_fill(settings, "a"))
    refused = _run("remove", "a")
    assert (refused.exit_code, "--purge-data" in refused.stderr) == (1, True)
    unconfirmed = _run("remove", "a", "--purge-data", input="a\n")
    assert (unconfirmed.exit_code, "--yes" in unconfirmed.stderr) == (1, True)
    known = json.loads(_run("list", "--json").stdout)["tenants"]
    assert [(one["id"], one["state"]) for one in known] == [("a", "live"), ("b", "live")]
    code = remove_tenant(
        settings,
        "a",
        purge_data=True,
        keep_data=False,
        confirmed=True,
        as_json=False,
        trusted_for=0.1,
        settled=0.1,
    )
    assert (code, asyncio.run(_below(settings, "a/"))) == (0, [])
    assert [one["id"] for one in json.loads(_run("list", "--json").stdout)["tenants"]] == ["b"]
    assert _run("remove", "a", "--keep-data").exit_code == 1


def test_a_tenant_that_goes_without_its_data_leaves_it(settings: Settings) -> None:
    """`--keep-data`: at once; the list tells of the data; `add` brings it back."""
    _run("add", "a")
    asyncio.run(_fill(settings, "a"))
    assert _run("remove", "a", "--keep-data").exit_code == 0
    assert "not configured, has data" in _run("list").stdout
    assert json.loads(_run("list", "--json").stdout)["notConfigured"] == ["a"]
    assert _run("add", "a").exit_code == 0
    shown = CliRunner().invoke(app, ["cat", "Patient/p"])
    assert json.loads(shown.stdout)["id"] == "p"


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"FHIRSTORE_TENANTS": "x,y"}, "FHIRSTORE_TENANTS=x,y"),
        ({"FHIRSTORE_TENANTS": "*"}, "FHIRSTORE_TENANTS=*"),
        ({}, "FHIRSTORE_TENANTS=default"),
        ({"FHIRSTORE_TENANCY": "bucket", "FHIRSTORE_TENANT_BUCKETS": "x=x1,y=y1"}, "FHIRSTORE_TENANT_BUCKETS"),
    ],
)
def test_tenants_that_are_configured_elsewhere_are_changed_there(
    variables: dict[str, str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """add and remove are refused with the variable that says which tenants there are; list lists them."""
    for name, value in {"FHIRSTORE_STORE": f"file:{tmp_path}", **variables}.items():
        monkeypatch.setenv(name, value)

    async def make() -> None:
        settings = _settings()
        async with FhirStore.open(settings.store, tenants=settings.tenants, buckets=settings.tenant_buckets):
            pass

    asyncio.run(make())
    for command in (("add", "z"), ("remove", "x", "--keep-data")):
        result = _run(*command)
        assert (result.exit_code, why in result.stderr) == (2, True)
    listed = json.loads(_run("list", "--json").stdout)
    names = {"FHIRSTORE_TENANTS=x,y": ["x", "y"], "FHIRSTORE_TENANTS=default": ["default"]}
    assert [one["id"] for one in listed["tenants"]] == names.get(why, ["x", "y"] if "BUCKETS" in why else [])


def test_what_cannot_be_added_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A malformed id, a store that is not there, and two options that contradict each other."""
    monkeypatch.setenv("FHIRSTORE_TENANTS", "@store")
    monkeypatch.setenv("FHIRSTORE_STORE", f"file:{tmp_path / 'none'}")
    assert _run("add", "a").exit_code == 2
    assert _run("remove", "a", "--purge-data", "--keep-data").exit_code == 2
    monkeypatch.setenv("FHIRSTORE_STORE", f"file:{tmp_path}")
    asyncio.run(_make(_settings()))
    assert _run("add", "Not-This").exit_code == 1


def test_a_server_of_registered_tenants_must_be_told_the_tenant() -> None:
    """FHIRSTORE_TENANTS=@store needs requests that name theirs."""
    with pytest.raises(BadSetting, match="FHIRSTORE_TENANT_SOURCE"):
        from_environment({"FHIRSTORE_TENANTS": "@store"})
    settings = from_environment({"FHIRSTORE_TENANTS": "@store", "FHIRSTORE_TENANT_SOURCE": "header"})
    assert (settings.tenants is REGISTERED, settings.only_tenant) == (True, None)
