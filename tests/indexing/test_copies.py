"""A new machine starts from the copy of the index that another one has stored in the bucket."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import zstandard

from conformance.s3servers import S3Server
from fhirstore.commit.drive import drive
from fhirstore.errors import ObjectDamaged
from fhirstore.format.keyspace import Keyspace
from fhirstore.index.local.schema import LAYOUT
from fhirstore.indexing import copies, copying
from fhirstore.indexing.copies import newest_copy, remove_old_copies
from fhirstore.indexing.options import IndexOptions
from fhirstore.indexing.verify import verify
from fhirstore.jobs.lease import claim
from fhirstore.jobs.state import State
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.embedded.database import DATABASE
from fhirstore.objects.embedded.store import EmbeddedStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.s3.store import S3Store
from fhirstore.objects.wrappers.metered import MeteredStore
from tests.indexing.machines import Machine, machine, patient
from tests.indexing.test_follower import eventually
from tests.search.acknowledged.checking import options_of

KEYS = Keyspace.of_tenant("clinic")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small index has several."""
    for module in (copies, copying):
        monkeypatch.setattr(module, "PART", 64 * 1024)


async def wrote(one: Machine, *names: str) -> None:
    """Patients with these family names, which are their ids, too."""
    for name in names:
        one.wrote(await one.clinic.update(patient(name, name)))
    await one.indexer.ensure()


async def keys_of(store: ObjectStore) -> list[str]:
    """All keys of copies."""
    return [item.key for item in (await store.list(KEYS.search_index_copies(LAYOUT))).objects]


async def test_a_machine_starts_from_a_copy_and_follows_the_log(tmp_path: Path) -> None:
    """It reads the copy and what came after it, and finds all; its cursors are its own."""
    store = MeteredStore(MemoryStore())
    async with machine(store, tmp_path / "a") as one:
        await wrote(one, *[f"p{number}" for number in range(40)])
        saved = await one.indexer.save()
        assert saved is not None
        assert saved.resources == 40
        await wrote(one, "later")
        with store.measure() as sent:
            async with machine(store, tmp_path / "b") as other:
                assert len(await other.search("Patient", "")) == 41
                assert await other.search("Patient", "family=later") == ["Patient/later/1"]
                assert other.indexer.opened().uuid != one.indexer.opened().uuid
                await wrote(other, "own")
        assert await one.search("Patient", "family=own") == ["Patient/own/1"]
    parts = len(await keys_of(store)) - 1
    assert parts > 1
    assert sent.requests["GET"] < 40 + parts


async def test_a_damaged_copy_is_not_taken(tmp_path: Path) -> None:
    """The index is built from the log then, and finds all."""
    store = MemoryStore()
    async with machine(store, tmp_path / "a") as one:
        await wrote(one, "p", "q")
        await one.indexer.save()
    part = next(key for key in await keys_of(store) if key.endswith(".zst"))
    await store.put(part, (await store.get(part)).body[:-9] + b"123456789")
    async with machine(store, tmp_path / "b") as other:
        assert sorted(await other.search("Patient", "")) == ["Patient/p/1", "Patient/q/1"]
        assert not (tmp_path / "b.taken").exists()


def _cut(parts: dict[str, bytes]) -> None:
    key = sorted(parts)[1]
    parts[key] = parts[key][: len(parts[key]) // 2]


def _emptied(parts: dict[str, bytes]) -> None:
    parts[sorted(parts)[0]] = b""


def _exchanged(parts: dict[str, bytes]) -> None:
    one, other = sorted(parts)[:2]
    parts[one], parts[other] = parts[other], parts[one]


def _flipped(parts: dict[str, bytes]) -> None:
    key = sorted(parts)[0]
    at = len(parts[key]) // 2
    parts[key] = bytes([*parts[key][:at], parts[key][at] ^ 1, *parts[key][at + 1 :]])


def _another_file(parts: dict[str, bytes]) -> None:
    key = sorted(parts)[1]
    parts[key] = zstandard.compress(bytes(64 * 1024))


def _manifest_cut(parts: dict[str, bytes]) -> None:
    key = sorted(parts)[-1]
    parts[key] = parts[key][:-20]


DAMAGES = [_cut, _emptied, _exchanged, _flipped, _another_file, _manifest_cut]


async def copy_of(store: ObjectStore) -> dict[str, bytes]:
    """The objects of the one copy, the manifest at the end."""
    return {key: (await store.get(key)).body for key in await keys_of(store)}


async def _starts_right(store: ObjectStore, path: Path) -> None:
    async with machine(store, path) as other:
        assert len(await other.search("Patient", "")) == 40
        assert await other.search("Patient", "family=p17") == ["Patient/p17/1"]
        assert (await verify(other.indexer)).ok
        assert other.indexer.problem is None


@pytest.mark.parametrize("damage", DAMAGES)
async def test_whatever_is_damaged_of_a_copy_a_start_is_right(
    damage: Callable[[dict[str, bytes]], None], tmp_path: Path
) -> None:
    """It ends in a build from the log."""
    store = MemoryStore()
    async with machine(store, tmp_path / "a") as one:
        await wrote(one, *[f"p{number}" for number in range(40)])
        await one.indexer.save()
    parts = await copy_of(store)
    damage(parts)
    for key, body in parts.items():
        await store.put(key, body)
    await _starts_right(store, tmp_path / "b")


@pytest.mark.s3
async def test_damaged_copies_on_s3_are_not_taken_either(
    seaweedfs: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a whole one is."""
    seaweedfs.use(monkeypatch)
    store = await S3Store.open(seaweedfs.location(), options_of(seaweedfs))
    async with machine(store, tmp_path / "a") as one:
        await wrote(one, *[f"p{number}" for number in range(40)])
        await one.indexer.save()
    whole = await copy_of(store)
    for number, damage in enumerate([*DAMAGES, None]):
        parts = dict(whole)
        if damage is not None:
            damage(parts)
        for key, body in parts.items():
            await store.put(key, body)
        await _starts_right(store, tmp_path / f"b{number}")
    await store.aclose()


@pytest.mark.parametrize("what", ["00000.zst", "manifest.json"])
async def test_a_copy_that_an_embedded_store_cannot_read_is_none(what: str, tmp_path: Path) -> None:
    """A server that asked for it again and again would never have an index."""
    store = await EmbeddedStore.open(tmp_path / "data")
    async with machine(store, tmp_path / "a") as one:
        await wrote(one, *[f"p{number}" for number in range(40)])
        await one.indexer.save()
    key = next(key for key in await keys_of(store) if key.endswith(what))
    await store.aclose()
    with closing(sqlite3.connect(tmp_path / "data" / DATABASE, isolation_level=None)) as database:
        assert database.execute("UPDATE objects SET seal = 1 WHERE key = ?", (key,)).rowcount == 1
    store = await EmbeddedStore.open(tmp_path / "data")
    with pytest.raises(ObjectDamaged):
        await store.get(key)
    await _starts_right(store, tmp_path / "b")
    await store.aclose()


@pytest.mark.parametrize("what", ["manifest", "no manifest", "a part is missing"])
async def test_a_copy_that_is_not_whole_is_none(what: str, tmp_path: Path) -> None:
    """Without its manifest, or with one that says nonsense, it is as if it were not there."""
    store = MemoryStore()
    async with machine(store, tmp_path / "a") as one:
        await wrote(one, "p")
        await one.indexer.save()
    keys = await keys_of(store)
    if what == "manifest":
        await store.put(keys[-1], b'{"layout":1}')
    else:
        await store.delete(keys[-1] if what == "no manifest" else keys[0])
    async with machine(store, tmp_path / "b") as other:
        assert await other.search("Patient", "") == ["Patient/p/1"]


async def test_a_copy_of_another_release_is_not_taken(tmp_path: Path) -> None:
    """Its numbers of parameters would be others."""
    store = MemoryStore()
    async with machine(store, tmp_path / "a") as one:
        await wrote(one, "p")
        await one.indexer.save()
        assert await drive(newest_copy(KEYS, LAYOUT, one.catalogue.digest), store) is not None
        assert await drive(newest_copy(KEYS, LAYOUT, "other"), store) is None


async def test_two_copies_are_kept(tmp_path: Path) -> None:
    """Whoever makes another one removes the older ones; one that is being written is left alone for a day."""
    store = MemoryStore()
    async with machine(store, tmp_path / "a") as one:
        unsealed = KEYS.search_index_copy(LAYOUT, "0" * 26) + "00000.zst"
        await store.put(unsealed, b"x")
        made = []
        for number in range(4):
            await wrote(one, f"p{number}")
            saved = await one.indexer.save(apart=-1)
            assert saved is not None
            made.append(saved.id)
        keys = await keys_of(store)
        assert unsealed in keys
        assert len({key.split("/")[3] for key in keys if "manifest" in key}) == 2
        assert any(made[-1] in key for key in keys)
        await drive(remove_old_copies(KEYS, LAYOUT, now=store.now() + 90_000_000), store)
        assert unsealed not in await keys_of(store)
        await drive(remove_old_copies(KEYS, LAYOUT, now=0, all=True), store)
        assert await keys_of(store) == []


async def test_copies_are_made_apart(tmp_path: Path) -> None:
    """Of all machines one makes a copy, and none within an hour after."""
    store = MemoryStore()
    async with machine(store, tmp_path / "a") as one, machine(store, tmp_path / "b") as other:
        await wrote(one, "p")
        assert await one.indexer.save() is not None
        assert await one.indexer.save() is None
        assert await other.indexer.save() is None


async def test_who_asks_for_a_copy_gets_one_now(tmp_path: Path) -> None:
    """Though a server has just made one; not while another machine is making one."""
    store = MemoryStore()
    async with machine(store, tmp_path / "a") as one, machine(store, tmp_path / "b") as other:
        await wrote(one, "p")
        made = await one.indexer.save()
        assert made is not None
        again = await other.indexer.save(apart=-1)
        assert again is not None
        assert again.id != made.id
        assert await one.indexer.save(apart=-1) is not None
        context = one.indexer.context
        held = await drive(claim(KEYS.search_index_state, "another", context=context, length=60_000), store)
        assert not isinstance(held, State)
        assert await one.indexer.save(apart=-1) is None


async def test_the_follower_makes_a_copy_when_one_is_worth_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for a few resources, which are as soon read."""
    monkeypatch.setattr(copies, "_FEWEST", 3)
    store = MemoryStore()
    options = IndexOptions(follow=True, poll=0.02, copies=True)
    async with machine(store, tmp_path / "a") as one:
        await wrote(one, "p", "q")
        assert await one.indexer.save_if_due() is None
        await wrote(one, "r")
    async with machine(store, tmp_path / "a", options=options) as one:
        one.indexer.follow()

        async def there() -> bool:
            return any(key.endswith("manifest.json") for key in await keys_of(store))

        await eventually(there)
        assert await one.indexer.save_if_due() is None
