"""fsck and the API on an embedded store whose database is damaged: each damage is named, and the rest goes on."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fhirstore import FhirStore
from fhirstore.errors import CorruptRecord
from fhirstore.objects.embedded.database import DATABASE
from fhirstore.objects.embedded.store import EmbeddedStore
from server.commands.fsck import run_fsck
from server.settings import Settings
from tests.commit.hurried import HandClock
from tests.server.serving import serving
from tests.upkeep.fsck.test_fsck import _fsck
from tests.upkeep.sweep.attempts import SETTLED, put


async def sound(directory: Path) -> None:
    """A settled store of tenant `t` with two hundred resources of one version."""
    clock = HandClock()
    store = await EmbeddedStore.open(directory, clock=clock)
    for number in range(200):
        await put(store, clock, f"b{number:03}", type="Patient")
    clock.ms += SETTLED
    await store.aclose()


def damage(directory: Path, key: str) -> None:
    """Cut the body of a key short, behind the store's back."""
    statement = "UPDATE bodies SET packed = substr(packed, 1, 50) WHERE id = (SELECT body FROM objects WHERE key = ?)"
    with closing(sqlite3.connect(directory / DATABASE, isolation_level=None)) as database:
        assert database.execute(statement, (key,)).rowcount == 1


async def test_fsck_names_each_damaged_object_and_checks_the_rest(tmp_path: Path) -> None:
    """A damaged body is damage of each object that has it; everything else is still looked at."""
    await sound(tmp_path)
    damage(tmp_path, "t/resources/Patient/b007/current.json")
    clock = HandClock()
    clock.ms += 10 * SETTLED
    store = await EmbeddedStore.open(tmp_path, clock=clock)
    report = await _fsck(store, clock)
    await store.aclose()
    assert report.resources == 200
    found = {(finding.kind, finding.key) for finding in report.findings}
    assert ("current-corrupt", "t/resources/Patient/b007/current.json") in found
    assert all("b007" in key for _, key in found)


async def test_fsck_goes_on_behind_a_damaged_page(tmp_path: Path) -> None:
    """Where SQLite finds the file malformed, fsck says that a part is unreadable and checks what lies behind."""
    await sound(tmp_path)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = (tmp_path / DATABASE).read_bytes()
    page = content.index(b"t/resources/Patient/b100/current.json") // 8192
    (tmp_path / DATABASE).write_bytes(content[: page * 8192] + b"\xff" * 8192 + content[(page + 1) * 8192 :])
    clock = HandClock()
    clock.ms += 10 * SETTLED
    store = await EmbeddedStore.open(tmp_path, clock=clock)
    report = await _fsck(store, clock)
    await store.aclose()
    assert ("unreadable", "t/resources/") in {(finding.kind, finding.key) for finding in report.findings}
    assert 100 < report.resources < 200


async def test_damaged_resource_is_a_clear_500(tmp_path: Path) -> None:
    """A read of it answers 500 with an OperationOutcome that says what is damaged and what to do, without content."""
    async with FhirStore.open(f"file:{tmp_path}") as store:
        patient = await store.tenant("default").create(b'{"resourceType":"Patient","name":[{"family":"Secret"}]}')
        other = await store.tenant("default").create(b'{"resourceType":"Patient"}')
    damage(tmp_path, f"default/resources/Patient/{patient.id}/current.json")
    objects = await EmbeddedStore.open(tmp_path)
    async with serving(objects=objects) as served:
        answer = await served.client.get(f"/fhir/Patient/{patient.id}")
        assert answer.status_code == 500
        (issue,) = answer.json()["issue"]
        assert issue["code"] == "exception"
        assert "current version of a resource is damaged" in issue["diagnostics"]
        assert "fsck" in issue["diagnostics"]
        assert "Secret" not in answer.text
        assert (await served.client.get(f"/fhir/Patient/{other.id}")).status_code == 200
    await objects.aclose()


async def test_library_raises_a_typed_error_for_damage(tmp_path: Path) -> None:
    """A damaged resource is CorruptRecord, for a large body whose file is cut short or gone too."""
    async with FhirStore.open(f"file:{tmp_path}") as store:
        tenant = store.tenant("default")
        large = b'{"resourceType":"Basic","code":{"text":"%s"}}' % (b"large " * 60_000)
        basic = await tenant.create(large)
        (file,) = (tmp_path / "bodies").iterdir()  # one for the version and current.json
        content = file.read_bytes()
        for change in (content[:-1], content[:1000] + b"!" + content[1001:], None):
            if change is None:
                file.unlink()
            else:
                file.write_bytes(change)
            with pytest.raises(CorruptRecord, match="damaged"):
                await tenant.read("Basic", basic.id)


async def test_fsck_command_runs_on_a_store_that_fails_its_own_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page that the check reads is damaged: fsck looks all the same, and says what it cannot read."""
    async with FhirStore.open(f"file:{tmp_path}"):
        pass
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        (page,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'objects'").fetchone()
    with (tmp_path / DATABASE).open("r+b") as file:
        file.seek((page - 1) * 8192)
        file.write(b"\xff" * 8192)
    settings = Settings(store=f"file:{tmp_path}")
    code = await asyncio.to_thread(run_fsck, settings, tenant=None, deep=True, repair=False, as_json=True)
    assert code == 1
    assert "unreadable" in json.loads(capsys.readouterr().out)["default"]["counts"]
