"""A backup of an embedded store has all commits up to one moment, and what is restored of it is that store."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest

from fhirstore.errors import BackupFailed, StoreMisconfigured
from fhirstore.objects import backup, list_all, restore_backup
from fhirstore.objects.embedded.backup import MANIFEST, backups
from fhirstore.objects.embedded.store import EmbeddedStore
from tests.objects.embedded.test_upgrade import SAMPLE, SAMPLE_2

LARGE = 1_000  # bytes from which a body is a file, in these tests


async def opened(folder: Path) -> EmbeddedStore:
    return await EmbeddedStore.open(folder, large=LARGE)


async def content(folder: Path) -> dict[str, bytes]:
    """Every object of a store."""
    store = await opened(folder)
    try:
        return {item.key: (await store.get(item.key)).body async for item in list_all(store)}
    finally:
        await store.aclose()


async def filled(folder: Path, *, objects: int = 40) -> dict[str, bytes]:
    store = await opened(folder)
    bodies = {f"a/{n}": bytes([n]) * (3_000 if n % 4 == 0 else 50) for n in range(objects)}
    for key, body in bodies.items():
        await store.put(key, body)
    await store.aclose()
    return bodies


async def test_what_is_restored_is_what_was_backed_up(tmp_path: Path) -> None:
    """Rows and files; the backup itself has no log, no locks and no links into the store."""
    bodies = await filled(tmp_path / "store")
    made = backup(f"file:{tmp_path / 'store'}", tmp_path / "backups")
    assert sorted(path.name for path in made.path.iterdir()) == [MANIFEST, "bodies", "objects.sqlite"]
    assert (made.manifest.files, made.manifest.bytes) == (10, 30_000)
    assert not list((tmp_path / "store").glob("backup-*"))
    shutil.rmtree(tmp_path / "store")
    restore_backup(tmp_path / "backups", f"file:{tmp_path / 'again'}")
    assert await content(tmp_path / "again") == bodies
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "backups"]


async def test_a_later_backup_shares_the_large_bodies_that_are_still_there(tmp_path: Path) -> None:
    """By hard links among the backups; each stays whole when others are removed."""
    bodies = await filled(tmp_path / "store")
    first = backup(f"file:{tmp_path / 'store'}", tmp_path / "backups")
    store = await opened(tmp_path / "store")
    await store.put("a/0", b"new" * 1_000)
    await store.delete("a/4")
    await store.aclose()
    second = backup(f"file:{tmp_path / 'store'}", tmp_path / "backups", keep=1)
    assert (second.manifest.files, second.manifest.kept) == (9, 24_000)
    assert backups(tmp_path / "backups") == [second.path]
    assert not first.path.exists()
    restore_backup(second.path, f"file:{tmp_path / 'again'}")
    expected = {key: body for key, body in bodies.items() if key != "a/4"} | {"a/0": b"new" * 1_000}
    assert await content(tmp_path / "again") == expected


async def test_a_backup_beside_writers_has_one_moment(tmp_path: Path) -> None:
    """A writer moves a counter through rows and files, which are removed at once; each backup has it in one place."""
    store = await opened(tmp_path / "store")
    stop, begun = asyncio.Event(), asyncio.Event()

    async def write() -> int:
        n = 0
        while not stop.is_set():
            n += 1
            small, large = b"%d" % n, b"%06d" % n * 500
            await store.put("small", small)
            await store.put("large", large)
            await store.put("other", large[:-1])
            begun.set()
        return n

    writer = asyncio.create_task(write())
    await begun.wait()
    made = []
    for _ in range(6):
        await asyncio.sleep(0.05)
        made.append(await asyncio.to_thread(backup, f"file:{tmp_path / 'store'}", tmp_path / "backups"))
    stop.set()
    last = await writer
    await store.aclose()
    assert last > 6
    for n, each in enumerate(made):
        restore_backup(each.path, f"file:{tmp_path / str(n)}")
        found = await content(tmp_path / str(n))
        small, large = int(found["small"]), int(found["large"][:6])
        assert large in (small, small - 1)
        assert int(found["other"][:6]) in (large, large - 1)


async def test_a_backup_that_is_broken_off_leaves_nothing_but_what_the_next_one_uses(tmp_path: Path) -> None:
    """It never has a name; the next one removes it."""
    await filled(tmp_path / "store")
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return calls > 5

    with pytest.raises(BackupFailed, match="interrupted"):
        backup(f"file:{tmp_path / 'store'}", tmp_path / "backups", stop=stop)
    assert list((tmp_path / "backups").iterdir()) == []
    assert not list((tmp_path / "store").glob("backup-*"))


@pytest.mark.parametrize("damage", ["missing", "changed", "database"])
async def test_damage_is_found_before_a_backup_or_a_store_gets_its_name(tmp_path: Path, damage: str) -> None:
    """A lost or changed file of the store; a changed database of the backup."""
    await filled(tmp_path / "store")
    made = backup(f"file:{tmp_path / 'store'}", tmp_path / "backups")
    for folder in (tmp_path / "store", made.path):
        victim = next((folder / "bodies").iterdir())
        if damage == "missing":
            victim.unlink()
        elif damage == "changed":
            victim.write_bytes(b"x" * 3_000)
        else:
            with (folder / "objects.sqlite").open("r+b") as file:
                file.seek(8192)
                file.write(os.urandom(3 * 8192))
    with pytest.raises(BackupFailed):
        backup(f"file:{tmp_path / 'store'}", tmp_path / "others")
    assert backups(tmp_path / "others") == []
    with pytest.raises(BackupFailed):
        restore_backup(made.path, f"file:{tmp_path / 'again'}")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("sample", [SAMPLE, SAMPLE_2])
async def test_a_store_of_an_earlier_format_is_backed_up_as_it_is(tmp_path: Path, sample: Path) -> None:
    """And restored so; the first process that opens it upgrades it."""
    shutil.copytree(sample, tmp_path / "store")
    made = backup(f"file:{tmp_path / 'store'}", tmp_path / "backups")
    restore_backup(made.path, f"file:{tmp_path / 'again'}")
    for place in ("store", "again"):
        with sqlite3.connect(tmp_path / place / "objects.sqlite") as database:
            assert database.execute("PRAGMA user_version").fetchone() == (made.manifest.format,)
    assert await content(tmp_path / "again") == await content(tmp_path / "store")


async def test_nothing_is_overwritten_and_nothing_is_made_of_nothing(tmp_path: Path) -> None:
    """Each refusal says what to do, and changes nothing."""
    await filled(tmp_path / "store")
    made = backup(f"file:{tmp_path / 'store'}", tmp_path / "backups")
    with pytest.raises(StoreMisconfigured, match="not empty"):
        restore_backup(made.path, f"file:{tmp_path / 'store'}")
    with pytest.raises(StoreMisconfigured, match="no backup"):
        restore_backup(tmp_path / "store", f"file:{tmp_path / 'again'}")
    with pytest.raises(StoreMisconfigured, match="no fhirstore"):
        backup(f"file:{tmp_path / 'nowhere'}", tmp_path / "backups")
    with pytest.raises(StoreMisconfigured, match="lies in the store"):
        backup(f"file:{tmp_path / 'store'}", tmp_path / "store" / "backups")
    with pytest.raises(StoreMisconfigured, match="back up"):
        backup("s3://bucket/prefix", tmp_path / "backups")
    (made.path / MANIFEST).write_bytes(msgspec.json.encode({"moment": 1}))
    with pytest.raises(BackupFailed, match="another backup"):
        restore_backup(made.path, f"file:{tmp_path / 'again'}")
    (tmp_path / "empty").mkdir()
    again = backup(f"file:{tmp_path / 'store'}", tmp_path / "backups")
    restore_backup(again.path, f"file:{tmp_path / 'empty'}")
    assert len(await content(tmp_path / "empty")) == 40
