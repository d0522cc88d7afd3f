"""A directory that an earlier fhirstore wrote opens, is brought to this format where it lies, and says the same."""

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fhirstore import FhirStore
from fhirstore.errors import StoreMisconfigured
from fhirstore.objects.embedded import upgrade as embedded_upgrade
from fhirstore.objects.embedded.database import DATABASE
from fhirstore.objects.embedded.store import EmbeddedStore
from fhirstore.objects.etag import etag_of
from fhirstore.objects.facts import Facts

DATA = Path(__file__).parents[2] / "data"
SAMPLE = DATA / "embedded-format-1"
"""Written by fhirstore 9e7d7e7: versions, a tombstone, a transaction, a body in a file; `objects.json` lists it."""
SAMPLE_2 = DATA / "embedded-format-2"
"""Written by fhirstore 98d29b1, with the same kinds of objects."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the sample of format 1."""
    return _copied(SAMPLE, tmp_path / "old")


@pytest.fixture
def old_2(tmp_path: Path) -> Path:
    """A copy of the sample of format 2."""
    return _copied(SAMPLE_2, tmp_path / "old-2")


def _copied(sample: Path, target: Path) -> Path:
    shutil.copytree(sample, target)
    (target / "objects.json").unlink()
    return target


async def contents(directory: Path) -> dict[str, list[object]]:
    """Every object as LIST gives it, when its body is what its ETag says."""
    store = await EmbeddedStore.open(directory)
    page = await store.list("")
    for listed in page.objects:
        found = await store.get(listed.key)
        assert found.etag == listed.etag == etag_of(found.body)
    await store.aclose()
    return {listed.key: [listed.size, listed.etag, listed.modified] for listed in page.objects}


EXPECTED = json.loads((SAMPLE / "objects.json").read_text())


async def test_objects_of_format_1_are_all_there_after_the_upgrade(old: Path) -> None:
    """Keys, sizes, ETags, times and bodies are those of the sample, and no file of a body is lost."""
    assert await contents(old) == EXPECTED
    assert await contents(old) == EXPECTED
    with closing(sqlite3.connect(old / DATABASE)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert database.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE '%format_1'").fetchone() == (0,)
        bodies, keys = (
            database.execute(sql).fetchone()[0]
            for sql in ("SELECT count(*) FROM bodies", "SELECT count(*) FROM objects WHERE body IS NOT NULL")
        )
        assert database.execute("SELECT count(*), sum(more) FROM shares").fetchone() == (keys - bodies, keys - bodies)
        assert keys > bodies
    assert [path.name for path in (old / "bodies").iterdir()] == [path.name for path in (SAMPLE / "bodies").iterdir()]


async def test_upgraded_store_is_clean_for_fsck(old: Path) -> None:
    """Versions, history and transactions of the sample are all sound in the new format."""
    async with FhirStore.open(f"file:{old}") as store:
        report = await store.tenant("default").upkeep.fsck()
    assert (report.damage, report.counts) == (0, {})
    assert report.versions == 7


class Interrupted(Exception):
    """The process died here."""


async def test_interrupted_upgrade_goes_on_where_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each step at which a process may die, an earlier fhirstore is refused and the next one finishes."""
    monkeypatch.setattr(embedded_upgrade, "_STEP", 3)
    moved = embedded_upgrade._moved
    for steps in (0, 1, 2):
        left = steps

        def some(connection: sqlite3.Connection, packer: object) -> bool:
            nonlocal left
            if left == 0:
                raise Interrupted
            left -= 1
            return moved(connection, packer)  # type: ignore[arg-type]

        monkeypatch.setattr(embedded_upgrade, "_moved", some)
        with pytest.raises(Interrupted):
            await EmbeddedStore.open(old)
        with closing(sqlite3.connect(old / DATABASE)) as database:
            assert database.execute("PRAGMA user_version").fetchone() == (3,)  # earlier code refuses it
            with pytest.raises(sqlite3.OperationalError):  # and one that runs meanwhile writes nothing
                database.execute("INSERT INTO objects (key, etag, size, modified) VALUES ('k', 'e', 1, 1)")
    monkeypatch.setattr(embedded_upgrade, "_moved", moved)
    assert await contents(old) == EXPECTED


async def test_many_open_an_old_directory_at_once(old: Path) -> None:
    """Of several that find format 1, one brings it up and the others wait for that."""
    stores = await asyncio.gather(*(EmbeddedStore.open(old) for _ in range(4)))
    assert len((await stores[-1].list("")).objects) == len(EXPECTED)
    await asyncio.gather(*(store.aclose() for store in stores))


async def test_damaged_old_database_is_left_as_it_is(old: Path) -> None:
    """An old database that is damaged is refused, unchanged, with what to do."""
    with (old / DATABASE).open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 16_000)
    before = (old / DATABASE).read_bytes()
    with pytest.raises(StoreMisconfigured, match="restore the directory from a backup"):
        await EmbeddedStore.open(old)
    assert (old / DATABASE).read_bytes() == before


async def test_time_goes_on_from_the_old_store(old: Path) -> None:
    """The clock starts no earlier than the last write of the old store."""

    class Back:
        def now(self) -> int:
            return 1_000

    store = await EmbeddedStore.open(old, clock=Back())
    assert store.now() == max(modified for _, _, modified in EXPECTED.values())
    await store.aclose()


async def test_objects_of_format_2_are_all_there_after_the_upgrade(old_2: Path) -> None:
    """Keys, sizes, ETags, times and bodies stay, shared bodies stay shared, and facts can be written."""
    expected = json.loads((SAMPLE_2 / "objects.json").read_text())
    assert await contents(old_2) == expected
    with closing(sqlite3.connect(old_2 / DATABASE)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA user_version").fetchone() == (3,)
        assert database.execute("SELECT sum(more) FROM shares").fetchone() == (5,)
    store = await EmbeddedStore.open(old_2)
    key = next(iter(expected))
    assert (await store.stat(key)).modified == expected[key][2]
    await store.put("new", b"x", facts=Facts(metadata={"a": "b"}))
    assert dict((await store.stat("new")).metadata) == {"a": "b"}
    await store.aclose()


async def test_upgraded_and_new_databases_have_the_same_tables(old: Path, old_2: Path, tmp_path: Path) -> None:
    """Whatever format a database began with, it has the same columns in the end."""
    columns = []
    for directory in (old, old_2, tmp_path / "new"):
        await (await EmbeddedStore.open(directory)).aclose()
        with closing(sqlite3.connect(directory / DATABASE)) as database:
            sql = "SELECT m.name, c.name, c.type FROM sqlite_master m, pragma_table_info(m.name) c ORDER BY 1, 2"
            columns.append(database.execute(sql).fetchall())
    assert columns[0] == columns[1] == columns[2]


async def test_upgrade_from_1_that_earlier_code_began_is_finished(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that died on its way from format 1 to 2 is brought to 3 with every object."""
    monkeypatch.setattr(embedded_upgrade, "_STEP", 3)
    moved = embedded_upgrade._moved
    monkeypatch.setattr(embedded_upgrade, "_moved", lambda *how: moved(*how) and _die())
    with pytest.raises(Interrupted):
        await EmbeddedStore.open(old)
    with closing(sqlite3.connect(old / DATABASE)) as database:  # as the code of format 2 would have left it
        database.executescript(
            "ALTER TABLE objects DROP COLUMN facts; ALTER TABLE clock RENAME COLUMN reached TO high;"
            " PRAGMA user_version = 2;"
        )
    monkeypatch.setattr(embedded_upgrade, "_moved", moved)
    assert await contents(old) == EXPECTED


def _die() -> bool:
    raise Interrupted


async def test_earlier_code_that_is_running_writes_nothing_more(old_2: Path) -> None:
    """A process that opened format 2 fails at its next commit, so it never leaves facts behind beside a new body."""
    with closing(sqlite3.connect(old_2 / DATABASE)) as earlier:
        commit = "UPDATE clock SET high = 1 WHERE high < 1"
        earlier.execute(commit)
        earlier.commit()
        await (await EmbeddedStore.open(old_2)).aclose()
        with pytest.raises(sqlite3.OperationalError):
            earlier.execute(commit)
