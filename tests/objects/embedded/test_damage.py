"""Damaged bytes never pass for what was written, nor for nothing: the embedded store says that they are damaged."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import zstandard

from fhirstore.errors import ObjectDamaged, StoreDamaged, StoreMisconfigured
from fhirstore.objects.base import IfMatch, StoredObject
from fhirstore.objects.embedded.database import DATABASE
from fhirstore.objects.embedded.store import EmbeddedStore
from fhirstore.objects.facts import Facts
from tests.objects.store_under_test import Put

BODIES = {f"k/{number:03}": (b"%03d is the number of this body. " % number) * 40 for number in range(150)}


@pytest.fixture
async def directory(tmp_path: Path) -> Path:
    """A closed store that holds BODIES."""
    store = await EmbeddedStore.open(tmp_path / "store")
    await store.put_many([Put(key, body) for key, body in BODIES.items()])
    await store.aclose()
    return tmp_path / "store"


async def test_damaged_facts_are_told(directory: Path) -> None:
    """Facts that are not as they were written are damage, whoever asks for them; the body is read all the same."""
    for value in (b"", b"\x28\xb5\x2f\xfd", b"text", zstandard.compress(b'{"metadata":7}')):
        store = await EmbeddedStore.open(directory)
        await store.put("with", b"body", facts=Facts(metadata={"a": "b"}, tags={"c": "d"}))
        await store.aclose()
        with closing(sqlite3.connect(directory / DATABASE, isolation_level=None)) as database:
            database.execute("UPDATE objects SET facts = ? WHERE key = 'with'", (value,))
        store = await EmbeddedStore.open(directory)
        for request in (store.stat("with"), store.get_tags("with"), store.set_tags("with", {})):
            with pytest.raises(ObjectDamaged):
                await request
        assert (await store.get("with")).body == b"body"
        await store.aclose()


def damage(directory: Path, statement: str) -> None:
    """Change the database behind the store's back."""
    with closing(sqlite3.connect(directory / DATABASE, isolation_level=None)) as database:
        assert database.execute(statement).rowcount == 1


@pytest.mark.parametrize("seed", range(60))
async def test_whatever_bytes_are_damaged_a_read_is_right_or_says_so(directory: Path, seed: int) -> None:
    """Bytes at random places are changed: each object is what was written, or ObjectDamaged is raised."""
    chance = random.Random(seed)
    content = bytearray((directory / DATABASE).read_bytes())
    start, length = chance.randrange(8192, len(content)), chance.choice((1, 1, 8, 64, 512))
    for at in range(start, min(start + length, len(content))):
        content[at] = chance.randrange(256) if seed % 2 else content[at] ^ (1 << chance.randrange(8))
    (directory / DATABASE).write_bytes(content)
    store = await EmbeddedStore.open(directory)
    for key, body in BODIES.items():
        try:
            assert (await store.get(key)).body == body
        except ObjectDamaged as error:
            assert error.key == key
    for (key, body), answer in zip(BODIES.items(), await store.get_many(list(BODIES)), strict=True):
        if isinstance(answer, ObjectDamaged):
            assert answer.key == key
        else:
            assert isinstance(answer, StoredObject)
            assert answer.body == body
    await store.aclose()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE bodies SET packed = CAST(substr(packed, 1, 19) || x'00' || substr(packed, 21) AS BLOB) WHERE id = 7",
        "UPDATE bodies SET packed = x'' WHERE id = 7",
        "UPDATE bodies SET packed = NULL WHERE id = 7",
        "UPDATE bodies SET etag = 'other' WHERE id = 7",
        "UPDATE bodies SET size = 5 WHERE id = 7",
        "DELETE FROM bodies WHERE id = 7",
        "UPDATE objects SET body = 8 WHERE key = 'k/006'",  # another object's
        "UPDATE objects SET body = NULL WHERE key = 'k/006'",
        "UPDATE objects SET seal = 1 WHERE key = 'k/006'",
    ],
    ids=["content", "emptied", "lost", "etag", "size", "gone", "reference", "unreferenced", "seal"],
)
async def test_damage_to_any_column_is_told(directory: Path, statement: str) -> None:
    """Content, ETag, size, reference and key are all guarded, and the other objects are read as before."""
    with closing(sqlite3.connect(directory / DATABASE, isolation_level=None)) as database:
        for trigger in ("body_replaced", "body_deleted"):
            database.execute(f"DROP TRIGGER {trigger}")
    damage(directory, statement)
    store = await EmbeddedStore.open(directory)
    with pytest.raises(ObjectDamaged, match="damaged"):
        await store.get("k/006")
    for key, body in BODIES.items():
        if key not in ("k/005", "k/006", "k/007"):
            assert (await store.get(key)).body == body
    await store.aclose()


@pytest.mark.parametrize("instead", [b"k/0!6", b"k/0\xff6", b"\x006/00", b"k/007"])
async def test_an_absent_key_is_none_where_a_damaged_one_lies(directory: Path, instead: bytes) -> None:
    """An object whose key is damaged in its place is not reported as absent."""
    content = (directory / DATABASE).read_bytes()
    assert content.count(b"k/006") == 1
    (directory / DATABASE).write_bytes(content.replace(b"k/006", instead))
    store = await EmbeddedStore.open(directory)
    with pytest.raises(ObjectDamaged, match=r"damaged|UTF-8"):
        await store.get("k/006")
    assert (await store.get("k/005")).body == BODIES["k/005"]
    await store.aclose()


async def test_damaged_object_can_be_replaced(directory: Path) -> None:
    """Its ETag is told with the damage, so that a repair can write over exactly what it saw."""
    damage(directory, "UPDATE bodies SET packed = x'00' WHERE id = 7")
    store = await EmbeddedStore.open(directory)
    with pytest.raises(ObjectDamaged) as told:
        await store.get("k/006")
    await store.put("k/006", b"restored", condition=IfMatch(told.value.etag))
    assert (await store.get("k/006")).body == b"restored"
    await store.aclose()


async def test_listing_goes_on_behind_damaged_pages(tmp_path: Path) -> None:
    """A LIST gives what lies before the damage, then says where it can be read again, and goes on there."""
    store = await EmbeddedStore.open(tmp_path)
    keys = [f"k/{number:05}" for number in range(2000)]
    await store.put_many([Put(key, b"") for key in keys])
    await store.aclose()
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = (tmp_path / DATABASE).read_bytes()
    page = content.index(b"k/01000") // 8192
    (tmp_path / DATABASE).write_bytes(content[: page * 8192] + b"\xff" * 8192 + content[(page + 1) * 8192 :])
    store = await EmbeddedStore.open(tmp_path)
    found: list[str] = []
    cursor: str | None = None
    lost = 0
    while True:
        try:
            listed = await store.list("k/", cursor=cursor)
        except StoreDamaged as error:
            lost += 1
            assert error.resume is not None
            cursor = error.resume
            continue
        found += [item.key for item in listed.objects]
        cursor = listed.cursor
        if cursor is None:
            break
    await store.aclose()
    assert lost == 1
    assert found == sorted(set(found))
    assert found[0] == keys[0]
    assert found[-1] == keys[-1]
    assert 1500 < len(found) < 2000


async def test_listing_ends_where_damaged_keys_are_out_of_order(tmp_path: Path) -> None:
    """SQLite does not notice such damage; a LIST says so, folders rolled up or not, and never goes round."""
    store = await EmbeddedStore.open(tmp_path)
    await store.put_many([Put(f"k/{number:05}/o", b"") for number in range(300)])
    await store.aclose()
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = (tmp_path / DATABASE).read_bytes()
    assert b"k/00150/o" in content
    (tmp_path / DATABASE).write_bytes(content.replace(b"k/00150/o", b"k/00050/o"))
    store = await EmbeddedStore.open(tmp_path)
    for delimiter in (False, True):
        cursor: str | None = None
        told = 0
        for _ in range(20):  # of at most 100 keys: far more pages than it takes
            try:
                page = await store.list("k/", cursor=cursor, limit=100, delimiter=delimiter)
                cursor = page.cursor
            except StoreDamaged as error:
                told += 1
                cursor = error.resume
            if cursor is None:
                break
        else:
            pytest.fail("the listing goes round")
        assert told >= 1 or delimiter  # a folder that is jumped over may hide the damage
    await store.aclose()


async def test_listing_names_objects_whose_bodies_are_damaged(directory: Path) -> None:
    """Where a body's row cannot be read its key is listed all the same, for the one who looks what is damaged."""
    with closing(sqlite3.connect(directory / DATABASE)) as database:
        (root,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'bodies'").fetchone()
    with (directory / DATABASE).open("r+b") as file:
        file.seek((root - 1) * 8192)
        file.write(b"\xff" * 8192)
    store = await EmbeddedStore.open(directory)
    assert [item.key for item in (await store.list("k/")).objects] == list(BODIES)
    with pytest.raises(ObjectDamaged, match="damaged"):
        await store.get("k/006")
    await store.aclose()


@pytest.mark.parametrize("left", ["empty", "missing"])
async def test_empty_database_beside_bodies_is_damage(tmp_path: Path, left: str) -> None:
    """A database of no bytes, or none, beside body files is what is left of a store: it is refused, nothing is made."""
    store = await EmbeddedStore.open(tmp_path, large=10)
    await store.put("k", b"a large body, in a file")
    await store.aclose()
    if left == "empty":
        (tmp_path / DATABASE).write_bytes(b"")
    else:
        (tmp_path / DATABASE).unlink()
    with pytest.raises(StoreMisconfigured, match="missing or empty, but what belongs to it is there"):
        await EmbeddedStore.open(tmp_path)
    assert (tmp_path / DATABASE).exists() == (left == "empty")
    assert len(list((tmp_path / "bodies").iterdir())) == 1


async def test_empty_database_beside_its_log_is_damage(tmp_path: Path) -> None:
    """The log of a database that was emptied is not thrown away."""
    (tmp_path / DATABASE).write_bytes(b"")
    (tmp_path / f"{DATABASE}-wal").write_bytes(b"what was not yet in the database")
    with pytest.raises(StoreMisconfigured, match="restore the directory from a backup"):
        await EmbeddedStore.open(tmp_path)
    assert (tmp_path / f"{DATABASE}-wal").read_bytes() == b"what was not yet in the database"


async def test_empty_database_alone_is_a_new_store(tmp_path: Path) -> None:
    """What a process leaves that died when it began to make a store is one, once it is opened again."""
    (tmp_path / DATABASE).write_bytes(b"")
    store = await EmbeddedStore.open(tmp_path)
    await store.put("k", b"1")
    await store.aclose()
