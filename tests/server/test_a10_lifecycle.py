"""A10: `fhirstore lifecycle` and `fhirstore restore`, on real S3 servers as far as they know rules and archives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from typer.testing import CliRunner, Result

from conformance.s3servers import S3Server
from fhirstore import FhirStore, S3Options, Tags
from fhirstore.errors import ObjectArchived
from fhirstore.objects import Bucket, Rule, open_bucket
from fhirstore.objects.s3.administration import S3Bucket
from fhirstore.tags import KINDS
from server.cli import app

T = TypeVar("T")
THEIRS: Rule = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 9}}
PAGES: Rule = {"ID": "theirs", "AllowedOrigins": ["https://other.example.org"], "AllowedMethods": ["GET"]}


class Commands:
    """Runs commands in this process, with the settings of a server on this store."""

    def __init__(self, patch: pytest.MonkeyPatch, location: str, **env: str) -> None:
        self.location = location
        for name, value in {"FHIRSTORE_STORE": location, **env}.items():
            patch.setenv(name, value)

    def run(self, *arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == code, (result.output, result.stderr, result.exception)
        return result


def on(server: S3Server, patch: pytest.MonkeyPatch, **env: str) -> tuple[Commands, S3Options]:
    """Commands on a store of their own in a bucket of the server."""
    server.use(patch)
    assert server.endpoint_url is not None
    patch.setenv("FHIRSTORE_S3_ENDPOINT_URL", server.endpoint_url)
    patch.setenv("FHIRSTORE_S3_ALLOW_HTTP", "true")
    return Commands(patch, server.location(), **env), S3Options(endpoint_url=server.endpoint_url, allow_http=True)


def bucketed(location: str, options: S3Options, work: Callable[[Bucket], Awaitable[T]]) -> T:
    """Does something with the bucket itself."""

    async def go() -> T:
        async with open_bucket(location, s3=options) as bucket:
            return await work(bucket)

    return asyncio.run(go())


def settings_file(folder: Path, text: str) -> dict[str, str]:
    path = folder / "tenants.toml"
    path.write_text(text)
    return {"FHIRSTORE_TENANT_SETTINGS": str(path)}


def test_a10_a_bucket_that_aborts_no_uploads_by_rule_gets_the_other_rules(
    minio: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """MinIO refuses the rule of uploads: the others are set, those of others stay, and the missing one is named."""
    env = settings_file(tmp_path, "[default]\nexports_expire_after_days = 3\n")
    commands, options = on(minio, monkeypatch, **env)
    bucketed(commands.location, options, lambda bucket: bucket.set_lifecycle([THEIRS]))
    for _ in range(2):
        told = commands.run("lifecycle", "apply", code=1).stdout
        assert "missing: fhirstore-uploads@" in told
        assert told.count("missing: ") == 1
    found = bucketed(commands.location, options, lambda bucket: bucket.lifecycle())
    names = sorted(str(rule["ID"]).partition("@")[0] for rule in found)
    assert names == ["fhirstore-exports", "fhirstore-submissions", "theirs"]


@pytest.mark.parametrize("name", ["ministack", "seaweedfs"])
def test_a10_rules_are_applied_beside_those_of_others(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """check tells what is missing, apply sets it once, a changed setting is a difference, theirs stay."""
    server: S3Server = request.getfixturevalue(name)
    env = settings_file(tmp_path, "[default]\nexports_expire_after_days = 3\n")
    commands, options = on(server, monkeypatch, **env)
    location = commands.location
    bucketed(location, options, lambda bucket: bucket.set_lifecycle([THEIRS]))
    own = ["fhirstore-exports", "fhirstore-submissions", "fhirstore-uploads"]
    more = []
    if name == "minio":
        own, more = own[:2], ["--no-uploads"]
    assert "missing: fhirstore-exports@" in commands.run("lifecycle", "check", code=1).stdout
    for _ in range(2):
        assert "as they should be" in commands.run("lifecycle", "apply", *more).stdout
        found = bucketed(location, options, lambda bucket: bucket.lifecycle())
        assert sorted(str(rule["ID"]).partition("@")[0] for rule in found) == [*own, "theirs"]
    commands.run("lifecycle", "check", *more)
    settings_file(tmp_path, "[default]\nexports_expire_after_days = 4\n")
    (place,) = json.loads(commands.run("lifecycle", "check", "--json", *more, code=1).stdout).values()
    assert [line.partition(":")[0] for line in place["differences"]] == ["differs"]


@pytest.mark.parametrize("name", ["ministack", "seaweedfs", "minio"])
def test_a10_pages_are_allowed_beside_those_of_others(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with --cors."""
    if name == "minio":
        pytest.skip("MinIO has no CORS rules of buckets")
    server: S3Server = request.getfixturevalue(name)
    commands, options = on(server, monkeypatch, FHIRSTORE_CORS_ORIGINS="https://pages.example.org")
    location = commands.location
    bucketed(location, options, lambda bucket: bucket.set_cors([PAGES]))
    commands.run("lifecycle", "check", "--cors", code=1)
    commands.run("lifecycle", "apply", "--cors")
    commands.run("lifecycle", "check", "--cors")
    found = bucketed(location, options, lambda bucket: bucket.cors())
    assert [rule["AllowedOrigins"] for rule in found] == [["https://other.example.org"], ["https://pages.example.org"]]


def test_a10_a_bucket_that_has_no_archive_class_says_so(
    seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """SeaweedFS moves nothing: nothing is set, and the message says what may help."""
    env = settings_file(tmp_path, "[default]\narchive_after_days = 60\n")
    commands, options = on(seaweedfs, monkeypatch, FHIRSTORE_TAGS="versions,exports", **env)
    refused = commands.run("lifecycle", "apply", code=2)
    assert "nothing was set" in refused.stderr
    assert "leave out archive_after_days" in refused.stderr
    found = bucketed(commands.location, options, lambda bucket: bucket.lifecycle())
    assert [rule for rule in found if "fhirstore-history" in str(rule["ID"])] == []


def test_a10_history_is_moved_only_where_versions_are_tagged(
    ministack: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A rule that finds nothing is refused; with the tag it is set, per tenant where their retention differs."""
    env = settings_file(tmp_path, "[default]\narchive_after_days = 60\n[b]\narchive_after_days = 90\n")
    commands, _ = on(ministack, monkeypatch, FHIRSTORE_TENANTS="a,b", FHIRSTORE_TENANT_SOURCE="header", **env)
    assert "add versions to FHIRSTORE_TAGS" in commands.run("lifecycle", "apply", code=2).stderr
    monkeypatch.setenv("FHIRSTORE_TAGS", "versions,exports,submissions,payloads")
    commands.run("lifecycle", "apply")
    printed = json.loads(commands.run("lifecycle", "print").stdout)["Rules"]
    days = {rule["ID"].partition("@")[0]: rule["Transitions"][0]["Days"] for rule in printed if "Transitions" in rule}
    assert days == {"fhirstore-history-a": 60, "fhirstore-history-b": 90}
    only = json.loads(commands.run("lifecycle", "print", "--tenant", "b").stdout)["Rules"]
    assert [rule["ID"].partition("@")[0] for rule in only if "Transitions" in rule] == ["fhirstore-history-b"]
    commands.run("lifecycle", "check", "--tenant", "b")
    commands.run("lifecycle", "apply", "--tenant", "b", code=2)
    terraform = commands.run("lifecycle", "print", "--terraform").stdout
    assert terraform.count("rule {") == len(printed)
    assert 'storage_class = "DEEP_ARCHIVE"' in terraform


def test_a10_a_store_without_a_bucket_says_what_it_does_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """print tells; apply and --cors are refused; check fails only where a setting has no effect."""
    commands = Commands(monkeypatch, f"file:{tmp_path / 'data'}")
    assert "the server does this by itself" in commands.run("lifecycle", "print").stdout
    commands.run("lifecycle", "check")
    assert "only a bucket" in commands.run("lifecycle", "apply", code=2).stderr
    assert "only a bucket" in commands.run("lifecycle", "print", "--cors", code=2).stderr
    assert "only a bucket" in commands.run("restore", "Patient/a", code=2).stderr
    for name, value in settings_file(tmp_path, "[default]\narchive_after_days = 60\n").items():
        monkeypatch.setenv(name, value)
    assert "archive_after_days" in commands.run("lifecycle", "check", code=1).stderr


def test_a10_archived_versions_are_restored(ministack: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that S3 refuses is asked for, told with its time, awaited, and read again."""
    commands, options = on(ministack, monkeypatch)
    location = commands.location

    async def archive() -> None:
        async with FhirStore.open(location, s3=options, tags=Tags(frozenset(KINDS))) as store:
            clinic = store.tenant("default")
            for number in range(3):
                await clinic.update({"resourceType": "Patient", "id": "a", "language": f"x-{number}"})
            bucket = await S3Bucket.opened(location, options)
            client = await bucket._session.client()
            for number in (1, 2, 3):
                key = f"{bucket.root}default/resources/Patient/a/_history/{number}.json"
                source = f"{bucket.name}/{key}"
                await client.copy_object(Bucket=bucket.name, Key=key, CopySource=source, StorageClass="GLACIER")
            await bucket.aclose()
            for number in (1, 2):
                with pytest.raises(ObjectArchived, match="in an archive class"):
                    await clinic.vread("Patient", "a", number)
            assert b"x-2" in (await clinic.vread("Patient", "a", 3)).content
            assert [version.version_id for version in (await clinic.history_page("Patient", "a")).versions] == [3]

    async def read(number: int) -> bytes:
        async with FhirStore.open(location, s3=options) as store:
            return (await store.tenant("default").vread("Patient", "a", number)).content

    asyncio.run(archive())
    assert "--tier" in commands.run("restore", "Patient/a", "--tier", "slow", code=2).stderr
    assert "Type/id" in commands.run("restore", "Patient", code=2).stderr
    asked = json.loads(commands.run("restore", "Patient/a/_history/1", "--json", "--days", "3").stdout)
    assert asked["hours"] == {"least": 3, "most": 5}
    assert [(one["status"], one["storageClass"]) for one in asked["versions"]] == [("asked for", "GLACIER")]
    again = json.loads(commands.run("restore", "Patient/a/_history/1", "--json").stdout)
    assert again["versions"][0]["status"] in ("under way", "restored")
    waited = json.loads(commands.run("restore", "Patient/a/_history/1", "--wait", "--json").stdout)
    (version,) = waited["versions"]
    assert (version["status"], version["readable"]) == ("restored", True)
    assert version["until"]
    assert b"x-0" in asyncio.run(read(1))
    unknown = json.loads(commands.run("restore", "Patient/none", "Patient/a/_history/9", "--json", code=1).stdout)
    assert [one["status"] for one in unknown["versions"]] == ["failed", "failed"]
