"""The commands `copy`, `backup` and `restore` do what they say, end with their exit codes, and say what to do."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from conformance.s3servers import S3Server
from fhirstore import FhirStore
from fhirstore.commit.drive import drive
from fhirstore.format.keyspace import copy_state
from fhirstore.jobs.lease import claim
from fhirstore.objects.embedded.store import EmbeddedStore
from fhirstore.upkeep.fsck.run import FsckReport, Thoroughness
from server.cli import app
from tests.commit.hurried import HandClock
from tests.server.processes import run_command, served
from tests.upkeep.copy.places import TENANT, Side, committed, fill, histories

HOUR = 3_600_000
ENV = {"FHIRSTORE_TENANTS": TENANT}


def command(*arguments: str, env: Mapping[str, str] = ENV) -> Result:
    """Runs a command in this process."""
    return CliRunner().invoke(app, [*arguments], env=dict(env))


def an_old_store(folder: Path) -> str:
    """A store whose youngest version is settled, so that a copy waits for nothing. Returns its location."""

    async def make() -> None:
        clock = HandClock(int(time.time() * 1000) - HOUR)
        objects = await EmbeddedStore.open(folder, clock=clock)
        await fill(Side(clock, given=objects))
        await objects.aclose()

    asyncio.run(make())
    return f"file:{folder}"


def facts(location: str, *, bucket: bool = False) -> tuple[dict[str, bytes], list[object]]:
    """All that was committed, and the histories."""

    async def look() -> tuple[dict[str, bytes], list[object]]:
        objects = await EmbeddedStore.open(Path(location.removeprefix("file:")))
        side = Side(HandClock(), given=objects, bucket=bucket)
        try:
            return await committed(side), await histories(side.clinic)
        finally:
            await objects.aclose()

    return asyncio.run(look())


def test_a_store_moves_to_a_bucket_and_back(
    tmp_path: Path, ministack: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Embedded, a bucket with a prefix per tenant, embedded with a directory per tenant: the same bytes."""
    ministack.use(monkeypatch)
    ministack.create_bucket(ministack.bucket)
    source = an_old_store(tmp_path / "first")
    bucket, back = ministack.location(), f"file:{tmp_path / 'back'}"
    env = {**ENV, "FHIRSTORE_S3_ALLOW_HTTP": "true"}
    endpoint = str(ministack.endpoint_url)
    there = command("copy", "--from", source, "--to", bucket, "--to-endpoint", endpoint, "--json", env=env)
    assert there.exit_code == 0, there.stderr
    report = json.loads(there.stdout)["tenants"][TENANT]
    assert report["verified"]["source"] == report["verified"]["target"]
    assert report["versions"] == report["verified"]["source"]["versions"]
    arguments = ["copy", "--from", bucket, "--from-endpoint", endpoint, "--to", back]
    arguments += ["--to-buckets", f"{TENANT}=only-ours"]
    again = command(*arguments, "--json", env=env)
    assert again.exit_code == 0, again.stderr
    assert facts(f"{back}/only-ours", bucket=True) == facts(source)
    only = command(*arguments, "--verify-only", env=env)
    assert only.exit_code == 0
    assert "the same on both sides" in only.stdout


def test_an_unfinished_copy_is_not_served(tmp_path: Path) -> None:
    """Neither by a server nor by a worker, and no sweep; the same command finishes it."""
    source, target = an_old_store(tmp_path / "first"), f"file:{tmp_path / 'second'}"

    async def begin() -> None:
        async with FhirStore.open(target, tenants=None) as store:
            place = store.tenancy.place(TENANT)
            await drive(claim(copy_state(TENANT), "x", context=Side(HandClock()).context, length=1), place.objects)

    asyncio.run(begin())
    refused = run_command(ENV, "serve", "--store", target)
    assert refused.returncode == 2
    assert "unfinished copy" in refused.stderr
    for verb in ("worker", "sweep"):
        told = command(verb, "--store", target)
        assert told.exit_code == 2
        assert "unfinished copy" in told.stderr
    done = command("copy", "--from", source, "--to", target)
    assert done.exit_code == 0, done.stderr
    assert command("sweep", "--store", target).exit_code == 0
    assert facts(target) == facts(source)


def test_the_registry_of_tenants_moves_along(tmp_path: Path) -> None:
    """A tenant without data, too; one that the registry does not name stays out of it."""
    source, target = an_old_store(tmp_path / "first"), f"file:{tmp_path / 'second'}"
    registered = {"FHIRSTORE_TENANTS": "@store", "FHIRSTORE_TENANT_SOURCE": "header"}
    assert command("tenant", "add", "fresh", "--store", source, env=registered).exit_code == 0
    done = command("copy", "--from", source, "--to", target, "--json", env=registered)
    assert (done.exit_code, json.loads(done.stdout)["registered"]) == (0, ["fresh"])
    assert command("tenant", "add", TENANT, "--store", source, env=registered).exit_code == 0
    done = command("copy", "--from", source, "--to", target, "--json", env=registered)
    assert (done.exit_code, json.loads(done.stdout)["registered"]) == (0, [TENANT])
    listed = json.loads(command("tenant", "list", "--store", target, "--json", env=registered).stdout)
    assert [(each["id"], each["state"]) for each in listed["tenants"]] == [(TENANT, "live"), ("fresh", "live")]


def test_what_cannot_be_copied_is_refused(tmp_path: Path) -> None:
    """Exit code 2, and a line that says why."""
    source = an_old_store(tmp_path / "first")
    other = f"file:{tmp_path / 'b'}"
    cases = {
        ("--from", "memory:", "--to", source): "lives and ends",
        ("--from", f"file:{tmp_path / 'none'}", "--to", other): "no such directory",
        ("--from", source, "--to", source): "no copy",
        ("--from", source, "--to", other, "--tenant", "other"): "no tenant 'other'",
        ("--from", source, "--to", other, "--to-buckets", "x=y"): "names no bucket",
        ("--from", source, "--to", other, "--to-buckets", "xy"): "tenant=bucket",
    }
    for arguments, reason in cases.items():
        refused = command("copy", *arguments)
        assert refused.exit_code == 2, arguments
        assert reason in refused.stderr


def test_a_served_store_is_backed_up_and_restored(tmp_path: Path) -> None:
    """The backup has what was acknowledged before it; the restored store is sound, and nothing is overwritten."""
    store, backups = an_old_store(tmp_path / "store"), str(tmp_path / "backups")
    with served({**ENV, "FHIRSTORE_STORE": store}) as serving:
        body = {"resourceType": "Binary", "id": "big", "contentType": "image/png", "data": "QUFB" * 200_000}
        httpx.put(f"{serving.base_url}/Binary/big", json=body).raise_for_status()
        made = command("backup", backups, "--store", store, "--json")
        httpx.delete(f"{serving.base_url}/Binary/big").raise_for_status()
    assert made.exit_code == 0, made.stderr
    assert json.loads(made.stdout)["stores"][store]["bodies"] >= 1
    target = f"file:{tmp_path / 'again'}"
    done = command("restore", "--backup", backups, "--to", target)
    assert done.exit_code == 0, done.stderr

    async def look() -> tuple[int, FsckReport]:
        async with FhirStore.open(target, tenants=None, create=False) as again:
            clinic = again.tenant(TENANT)
            return (await clinic.read("Binary", "big")).version_id, await clinic.upkeep.fsck(Thoroughness(deep=True))

    version, report = asyncio.run(look())
    assert (version, report.damage) == (1, 0)
    refused = command("restore", "--backup", backups, "--to", target)
    assert refused.exit_code == 2
    assert "not empty" in refused.stderr
