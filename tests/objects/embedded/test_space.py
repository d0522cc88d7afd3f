"""Space in an embedded store: a body is kept once and compressed, and what is removed is given back."""

import asyncio
import sqlite3
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from conformance.rates.patients import patients
from fhirstore import FhirStore, compact
from fhirstore.errors import StoreMisconfigured
from fhirstore.objects.base import IF_ABSENT, IfMatch
from fhirstore.objects.embedded.database import DATABASE
from fhirstore.objects.embedded.store import EmbeddedStore
from tests.objects.store_under_test import Put

KB = b"some words of a body, %06d. "


def counted(directory: Path) -> tuple[int, int, int]:
    """Rows of bodies, rows of shares, and references to bodies."""
    with closing(sqlite3.connect(directory / DATABASE)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        wrong = """
        SELECT b.id FROM bodies b LEFT JOIN shares s ON s.body = b.id
        WHERE 1 + coalesce(s.more, 0) <> (SELECT count(*) FROM objects o WHERE o.body = b.id)
        UNION ALL SELECT body FROM shares WHERE more < 1 OR body NOT IN (SELECT id FROM bodies)
        """
        assert database.execute(wrong).fetchall() == []
        return (
            database.execute("SELECT count(*) FROM bodies").fetchone()[0],
            database.execute("SELECT count(*) FROM shares").fetchone()[0],
            database.execute("SELECT count(*) FROM objects WHERE body IS NOT NULL").fetchone()[0],
        )


def used(directory: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


async def test_stored_patient_takes_no_more_than_half_as_much_again(tmp_path: Path) -> None:
    """A thousand Patients of 2 KB with their versions, events and indexes: at most 1.5 times their JSON."""
    async with FhirStore.open(f"file:{tmp_path}") as store:
        tenant = store.tenant("default")
        created = await asyncio.gather(*(tenant.create(patient) for patient in islice(patients(), 1000)))
    content = sum(len(version.content) for version in created)
    assert used(tmp_path) <= 1.5 * content
    assert counted(tmp_path) == (1000, 1000, 2000)


@pytest.mark.parametrize("large", [10, 1_000_000], ids=["files", "rows"])
async def test_same_body_is_kept_once_and_goes_with_its_last_key(tmp_path: Path, large: int) -> None:
    """Keys written with equal bodies share one; replacing or deleting one key leaves it to the others."""
    store = await EmbeddedStore.open(tmp_path, large=large)
    body = KB % 1 * 100
    await store.put_many([Put("a", body), Put("b", body, IF_ABSENT), Put("c", body)])
    assert counted(tmp_path) == (1, 1, 3)
    etag = (await store.get("a")).etag
    await store.put("a", KB % 2)
    await store.delete("c")
    assert (await store.get("b")).body == body
    assert counted(tmp_path) == (2, 0, 2)
    await store.put("b", KB % 3, condition=IfMatch(etag))
    await store.delete_many(["a", "b"])
    assert counted(tmp_path) == (0, 0, 0)
    await store.aclose()
    assert list((tmp_path / "bodies").iterdir()) == []


async def test_rewriting_the_same_body_counts_it_once(tmp_path: Path) -> None:
    """A key that is written again with what it has, alone or shared, leaves the counts right."""
    store = await EmbeddedStore.open(tmp_path)
    body = KB % 1 * 10
    for _ in range(3):
        await store.put("a", body)
        await store.put("b", body)
    assert counted(tmp_path)[0] == 1
    assert counted(tmp_path)[2] == 2
    await store.delete("a")
    assert (await store.get("b")).body == body
    await store.delete("b")
    assert counted(tmp_path) == (0, 0, 0)
    await store.aclose()


async def test_a_refused_write_shares_nothing(tmp_path: Path) -> None:
    """A key that was not written, because it is taken, lends no body to the one that has the same."""
    store = await EmbeddedStore.open(tmp_path)
    await store.put("taken", b"old")
    await store.put_many([Put("taken", KB % 1, IF_ABSENT), Put("b", KB % 1)])
    assert (await store.get("taken")).body == b"old"
    assert (await store.get("b")).body == KB % 1
    assert counted(tmp_path) == (2, 0, 2)
    await store.aclose()


async def test_large_body_of_two_keys_is_one_file(tmp_path: Path) -> None:
    """Where a version and current.json are large, both name the same file, also when one of them is refused."""
    store = await EmbeddedStore.open(tmp_path, large=10)
    body = KB % 1 * 10
    await store.put_many([Put("slot", body, IF_ABSENT), Put("now", body, IF_ABSENT, follows=True)])
    assert len(list((tmp_path / "bodies").iterdir())) == 1
    other = KB % 2 * 10
    await store.put_many([Put("slot", other, IF_ABSENT), Put("beside", other)])
    assert (await store.get("beside")).body == other
    assert (await store.get("now")).body == body
    await store.aclose()
    assert len(list((tmp_path / "bodies").iterdir())) == 2


async def test_compact_gives_back_what_was_removed_beside_a_running_store(tmp_path: Path) -> None:
    """The file shrinks to what is left while another store reads and writes, and nothing else changes."""
    store = await EmbeddedStore.open(tmp_path)
    bodies = {f"k/{number:04}": bytes([number % 251]) * 3 + (KB % number) * 60 for number in range(2000)}
    await store.put_many([Put(key, body) for key, body in bodies.items()])
    await store.delete_many([key for key in bodies if key > "k/0020"])
    writing = asyncio.gather(*(store.put(f"later/{number}", b"x") for number in range(20)))
    done = await asyncio.to_thread(compact, f"file:{tmp_path}")
    await writing
    assert done.after < done.before / 5
    assert not done.held
    for key in list(bodies)[:21]:
        assert (await store.get(key)).body == bodies[key]
    assert len((await store.list("later/")).objects) == 20
    await store.check()
    await store.put("after", b"x")
    await store.aclose()
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("location", ["memory:", "s3://bucket", "file:", "nonsense"])
def test_compact_refuses_what_is_no_embedded_store(location: str) -> None:
    """Other stores have nothing to give back."""
    with pytest.raises(StoreMisconfigured, match="file:DIR"):
        compact(location)


def test_compact_makes_no_store(tmp_path: Path) -> None:
    """A directory that holds none stays empty."""
    with pytest.raises(StoreMisconfigured, match="holds no fhirstore database"):
        compact(f"file:{tmp_path}")
    assert list(tmp_path.iterdir()) == []
