"""`fhirstore stats` counts what is stored, by tenant, kind and resource type, from listings alone."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from conformance.s3servers import S3Server
from fhirstore import FhirStore, S3Options
from fhirstore.errors import StoreUnavailable
from fhirstore.objects import list_all
from fhirstore.objects.base import Page
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.tenancy import PrefixTenancy
from fhirstore.upkeep.usage import UsageProgress
from server.cli import app
from server.settings import from_environment

PATIENT = {"resourceType": "Patient", "identifier": [{"system": "http://s", "value": "1"}]}


async def _filled(location: str, *, s3: S3Options | None = None) -> None:
    async with FhirStore.open(location, tenants=["a", "b"], s3=s3) as store:
        for tenant, count in (("a", 3), ("b", 1)):
            for n in range(count):
                await store.tenant(tenant).update(PATIENT | {"id": f"p{n}"})
        await store.tenant("a").update({"resourceType": "Basic", "id": "x", "code": {"text": "y"}})
        await store.tenant("a").delete("Basic", "x")


async def _sizes(location: str) -> list[int]:
    async with FhirStore.open(location) as store:
        (objects,) = store.tenancy.stores
        return [listed.size async for listed in list_all(objects, "a/")]


def _counted(report: dict[str, object]) -> dict[tuple[str, str | None], int]:
    kinds = report["kinds"]
    assert isinstance(kinds, list)
    return {(one["kind"], one["type"]): one["objects"] for one in kinds}


A = {
    ("current", "Basic"): 1,
    ("current", "Patient"): 3,
    ("versions", "Basic"): 2,
    ("versions", "Patient"): 3,
    ("events", "Basic"): 4,
    ("events", "Patient"): 6,
    ("identity", "Patient"): 6,
}


def test_stats_count_each_kind_and_type_of_each_tenant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sums are those of a listing of everything, and the table names what the JSON has."""
    location = f"file:{tmp_path}"
    asyncio.run(_filled(location))
    monkeypatch.setenv("FHIRSTORE_TENANTS", "a,b,empty")
    result = CliRunner().invoke(app, ["stats", "--store", location, "--json"])
    assert result.exit_code == 0, result.output
    reports = json.loads(result.stdout)
    assert _counted(reports["a"]) == A
    assert (reports["b"]["objects"], reports["empty"]["objects"]) == (6, 0)
    sizes = asyncio.run(_sizes(location))
    assert (reports["a"]["objects"], reports["a"]["bytes"]) == (len(sizes), sum(sizes))
    shown = CliRunner().invoke(app, ["stats", "--store", location, "--tenant", "a"]).stdout
    assert f"{sum(sizes):,}" in shown and "Patient" in shown and "LIST requests" in shown


@pytest.mark.s3
def test_stats_of_a_bucket(ministack: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """On S3 the counts are the same."""
    location = ministack.location()
    for name, value in ministack.serving(location).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FHIRSTORE_TENANTS", "a,b")

    asyncio.run(_filled(location, s3=from_environment(os.environ, serving=False).s3))
    result = CliRunner().invoke(app, ["stats", "--json"])
    assert result.exit_code == 0, result.output
    assert _counted(json.loads(result.stdout)["a"]) == A


def test_stats_of_no_store_end_with_2(tmp_path: Path) -> None:
    """A directory without a store is told in a line on stderr."""
    result = CliRunner().invoke(app, ["stats", "--store", f"file:{tmp_path / 'none'}"])
    assert result.exit_code == 2
    assert "no fhirstore" in result.stderr


async def test_a_count_tells_its_requests_and_what_is_not_fhirs() -> None:
    """`requests` is what the store was asked; unknown types and foreign keys take no line each."""
    objects = MemoryStore()
    for n in range(2_500):
        await objects.put(f"a/resources/Nonsense{chr(97 + n % 26)}/{n}/current.json", b"{}")
    await objects.put("a/inbox/x", b"12345")
    meter = MeteredStore(objects)
    seen: list[UsageProgress] = []
    report = await FhirStore(PrefixTenancy(meter, None)).tenant("a").upkeep.usage(on_progress=seen.append)
    assert {(kept.kind, kept.type): used.objects for kept, used in report.counts.items()} == {
        ("current", None): 2_500,
        ("other", None): 1,
    }
    assert meter.totals.requests == {"LIST": report.requests}
    assert max(seen, key=lambda one: one.objects).objects == report.total.objects == 2_501


async def test_a_count_ends_with_the_error_of_the_store() -> None:
    """One folder cannot be listed: the error is the store's own, not a group of several."""

    class Broken(MemoryStore):
        async def list(
            self,
            prefix: str,
            *,
            start_after: str | None = None,
            cursor: str | None = None,
            delimiter: bool = False,
            limit: int = 1000,
        ) -> Page:
            if prefix.endswith("Patient/"):
                raise StoreUnavailable(prefix)
            return await super().list(prefix, start_after=start_after, cursor=cursor, delimiter=delimiter, limit=limit)

    store = FhirStore(PrefixTenancy(Broken(), None))
    await store.tenant("a").update(PATIENT | {"id": "p"})
    with pytest.raises(StoreUnavailable):
        await store.tenant("a").upkeep.usage()


def test_tenants_with_buckets_of_their_own_are_counted_and_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, keys have no prefix: stats know their kinds, and ls asks whose bucket is meant."""
    buckets = {"a": "first", "b": "second"}

    async def fill() -> None:
        async with FhirStore.open(f"file:{tmp_path}/any", buckets=buckets) as store:
            await store.tenant("a").update(PATIENT | {"id": "p"})

    asyncio.run(fill())
    monkeypatch.setenv("FHIRSTORE_STORE", f"file:{tmp_path}/any")
    monkeypatch.setenv("FHIRSTORE_TENANCY", "bucket")
    monkeypatch.setenv("FHIRSTORE_TENANT_BUCKETS", "a=first,b=second")
    reports = json.loads(CliRunner().invoke(app, ["stats", "--json"]).stdout)
    assert _counted(reports["a"])[("current", "Patient")] == 1
    assert reports["b"]["objects"] == 0
    unclear = CliRunner().invoke(app, ["ls"])
    assert (unclear.exit_code, "--tenant" in unclear.stderr) == (2, True)
    listed = CliRunner().invoke(app, ["ls", "resources/", "--tenant", "a", "--json"]).stdout
    assert json.loads(listed)["name"] == "resources/Patient/"
