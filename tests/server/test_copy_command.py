"""The commands `copy`, `backup` and `restore` do what they say, end with the exit codes they say, and say what to do."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import pytest

from conformance.s3servers import S3Server
from fhirstore import FhirStore
from fhirstore.commit.drive import drive
from fhirstore.format.keyspace import copy_state
from fhirstore.jobs.lease import claim
from fhirstore.objects.embedded.store import EmbeddedStore
from fhirstore.upkeep.fsck.run import Thoroughness
from tests.commit.hurried import HandClock
from tests.server.processes import run_command, served
from tests.upkeep.copy.places import TENANT, Side, committed, fill, histories

HOUR = 3_600_000
ENV = {"FHIRSTORE_TENANTS": TENANT}


async def an_old_store(folder: Path) -> str:
    """A store whose youngest version is settled, so that a copy waits for nothing. Returns its location."""
    clock = HandClock(int(time.time() * 1000) - HOUR)
    objects = await EmbeddedStore.open(folder, clock=clock)
    await fill(Side(clock, given=objects))
    await objects.aclose()
    return f"file:{folder}"


async def facts(location: str, *, bucket: bool = False) -> tuple[dict[str, bytes], list[object]]:
    """All that was committed, and the histories."""
    objects = await EmbeddedStore.open(Path(location.removeprefix("file:")))
    side = Side(HandClock(), given=objects, bucket=bucket)
    try:
        return await committed(side), await histories(side.clinic)
    finally:
        await objects.aclose()


@pytest.mark.s3
async def test_a_store_moves_to_a_bucket_and_back(
    tmp_path: Path, ministack: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Embedded, a bucket with a prefix per tenant, embedded with a directory per tenant: the same bytes."""
    ministack.use(monkeypatch)
    ministack.create_bucket(ministack.bucket)
    source = await an_old_store(tmp_path / "first")
    bucket, back = ministack.location(), f"file:{tmp_path / 'back'}"
    env = {**ENV, "FHIRSTORE_S3_ALLOW_HTTP": "true"}
    endpoint = str(ministack.endpoint_url)
    there = run_command(env, "copy", "--from", source, "--to", bucket, "--to-endpoint", endpoint, "--json")
    assert there.returncode == 0, there.stderr
    report = json.loads(there.stdout)["tenants"][TENANT]
    assert report["verified"]["source"] == report["verified"]["target"]
    assert report["versions"] == report["verified"]["source"]["versions"]
    arguments = ["copy", "--from", bucket, "--from-endpoint", endpoint, "--to", back]
    again = run_command(env, *arguments, "--to-buckets", f"{TENANT}=only-ours", "--json")
    assert again.returncode == 0, again.stderr
    assert await facts(f"{back}/only-ours", bucket=True) == await facts(source)
    only = run_command(env, *arguments, "--to-buckets", f"{TENANT}=only-ours", "--verify-only")
    assert only.returncode == 0
    assert "the same on both sides" in only.stdout


async def test_an_unfinished_copy_is_not_served(tmp_path: Path) -> None:
    """Neither by a server nor by a worker, and no sweep; the same command finishes it."""
    source, target = await an_old_store(tmp_path / "first"), f"file:{tmp_path / 'second'}"
    async with FhirStore.open(target, tenants=None) as store:
        place = store.tenancy.place(TENANT)
        await drive(claim(copy_state(TENANT), "x", context=Side(HandClock()).context, length=1), place.objects)
    for command in (["serve"], ["worker"], ["sweep"]):
        refused = run_command(ENV, *command, "--store", target)
        assert refused.returncode == 2
        assert "unfinished copy" in refused.stderr
    done = run_command(ENV, "copy", "--from", source, "--to", target)
    assert done.returncode == 0, done.stderr
    with served({**ENV, "FHIRSTORE_STORE": target}) as serving:
        found = httpx.get(f"{serving.base_url}/Patient/p0", headers={"X-Tenant-ID": TENANT}).json()
    assert found["id"] == "p0"
    assert await facts(target) == await facts(source)


async def test_what_cannot_be_copied_is_refused(tmp_path: Path) -> None:
    """Exit code 2, and a line that says why."""
    source = await an_old_store(tmp_path / "first")
    cases = {
        ("--from", "memory:", "--to", source): "lives and ends",
        ("--from", f"file:{tmp_path / 'none'}", "--to", f"file:{tmp_path / 'b'}"): "no such directory",
        ("--from", source, "--to", source): "no copy",
        ("--from", source, "--to", f"file:{tmp_path / 'b'}", "--tenant", "other"): "no tenant 'other'",
        ("--from", source, "--to", f"file:{tmp_path / 'b'}", "--to-buckets", "x=y"): "names no bucket",
        ("--from", source, "--to", f"file:{tmp_path / 'b'}", "--to-buckets", "xy"): "tenant=bucket",
    }
    for arguments, reason in cases.items():
        refused = run_command({}, "copy", *arguments)
        assert refused.returncode == 2, arguments
        assert reason in refused.stderr


async def test_a_served_store_is_backed_up_and_restored(tmp_path: Path) -> None:
    """The backup has what was acknowledged before it; the restored store is sound, and nothing is overwritten."""
    store, backups = await an_old_store(tmp_path / "store"), tmp_path / "backups"
    with served({**ENV, "FHIRSTORE_STORE": store}) as serving:
        body = {"resourceType": "Binary", "id": "big", "contentType": "image/png", "data": "QUFB" * 200_000}
        assert httpx.put(f"{serving.base_url}/Binary/big", json=body).status_code == 201
        made = run_command(ENV, "backup", str(backups), "--store", store, "--json")
        assert made.returncode == 0, made.stderr
        assert httpx.delete(f"{serving.base_url}/Binary/big").status_code == 200
    told = json.loads(made.stdout)["stores"][store]
    assert told["bodies"] >= 1
    target = f"file:{tmp_path / 'again'}"
    done = run_command(ENV, "restore", "--backup", str(backups), "--to", target)
    assert done.returncode == 0, done.stderr
    async with FhirStore.open(target, tenants=None, create=False) as again:
        clinic = again.tenant(TENANT)
        assert (await clinic.read("Binary", "big")).version_id == 1
        assert (await clinic.upkeep.fsck(Thoroughness(deep=True))).counts.keys() <= {"index-entry-dead", "stray-key"}
    refused = run_command(ENV, "restore", "--backup", str(backups), "--to", target)
    assert refused.returncode == 2
    assert "not empty" in refused.stderr
