"""Whoever must not make an embedded store is told what lies at the path instead, and leaves nothing there."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from fhirstore import FhirStore, open_objects
from fhirstore.errors import ObjectNotFound, StoreMisconfigured


def _nothing(_: Path) -> None:
    """The path does not exist."""


def _folder(path: Path) -> None:
    path.mkdir()


def _notes(path: Path) -> None:
    path.mkdir()
    (path / "notes.txt").write_text("not ours")


def _file(path: Path) -> None:
    path.write_text("not ours")


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _empty_database(path: Path) -> None:
    path.mkdir()
    (path / "objects.sqlite").touch()


def _lost_database(path: Path) -> None:
    (path / "bodies").mkdir(parents=True)
    (path / "bodies" / "x").write_text("a body")
    (path / "objects.sqlite").touch()


def _other_database(path: Path) -> None:
    path.mkdir()
    with sqlite3.connect(path / "objects.sqlite") as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()


def _no_database(path: Path) -> None:
    path.mkdir()
    (path / "objects.sqlite").write_text("no database at all, " * 100)


def _folder_for_a_database(path: Path) -> None:
    (path / "objects.sqlite").mkdir(parents=True)


FOUND: dict[str, tuple[Callable[[Path], None], str]] = {
    "nothing": (_nothing, "there is no such directory"),
    "an empty folder": (_folder, "it is empty"),
    "another folder": (_notes, "the directory holds other files, and no objects.sqlite"),
    "a file": (_file, "it is a file, not a directory"),
    "a loop of links": (_loop, "Too many levels of symbolic links"),
    "an empty database": (_empty_database, "objects.sqlite in it is an empty database"),
    "an empty database beside bodies": (_lost_database, "beside bodies of objects; restore it from a backup"),
    "another database": (_other_database, "objects.sqlite in it is not a fhirstore database"),
    "no database": (_no_database, "the database file is no SQLite database"),
    "a folder for a database": (_folder_for_a_database, "objects.sqlite in it is no file"),
}


def _tree(path: Path) -> list[tuple[str, bytes | None]]:
    return sorted((str(p), p.read_bytes() if p.is_file() else None) for p in path.rglob("*"))


@pytest.mark.parametrize("case", FOUND)
async def test_what_is_no_store_is_refused_and_left_as_it_was(case: str, tmp_path: Path) -> None:
    """One line that names the path and what is there; no file, folder or table is made."""
    make, says = FOUND[case]
    place = tmp_path / "data"
    make(place)
    before = _tree(tmp_path)
    with pytest.raises(StoreMisconfigured) as refused:
        await open_objects(f"file:{place}", create=False)
    told = str(refused.value)
    assert (says in told, str(place) in told, "\n" in told) == (True, True, False)
    assert _tree(tmp_path) == before


async def test_below_a_file_there_is_no_store(tmp_path: Path) -> None:
    """A path through a file is no directory."""
    (tmp_path / "f").touch()
    with pytest.raises(StoreMisconfigured, match="there is no such directory"):
        await open_objects(f"file:{tmp_path}/f/data", create=False)


async def test_memory_is_never_there_already() -> None:
    """It is empty in every process that opens it, so there is nothing to look after."""
    with pytest.raises(StoreMisconfigured, match="no fhirstore at memory:"):
        await open_objects("memory:", create=False)


async def test_a_store_that_is_there_opens_without_create(tmp_path: Path) -> None:
    """Made once, by whoever may, it is found; also where its last writer died and left all in the WAL."""
    made = await open_objects(f"file:{tmp_path}/data")
    await made.put("k", b"v")
    found = await open_objects(
        f"file:{tmp_path}/data", create=False
    )  # while the maker has it open: nothing checkpointed
    assert (await found.get("k")).body == b"v"
    await found.aclose()
    await made.aclose()


async def test_a_bucket_of_a_tenant_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With a folder for each tenant, each must exist."""
    buckets = {"a": "bucket-a", "b": "bucket-b"}
    async with FhirStore.open(f"file:{tmp_path}", buckets={"a": "bucket-a"}):
        pass
    with pytest.raises(StoreMisconfigured, match="bucket-b: there is no such directory"):
        async with FhirStore.open(f"file:{tmp_path}", buckets=buckets, create=False):
            pass
    async with FhirStore.open(f"file:{tmp_path}", buckets=buckets) as store:
        with pytest.raises(ObjectNotFound):
            await store.tenancy.stores[1].get("k")
