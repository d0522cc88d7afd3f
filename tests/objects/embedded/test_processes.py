"""Processes share an embedded store's directory, die at any moment, and nothing acknowledged is lost."""

import asyncio
import fcntl
import random
import signal
import sqlite3
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from fhirstore.errors import ObjectNotFound
from fhirstore.objects.base import IF_ABSENT
from fhirstore.objects.embedded.database import DATABASE
from fhirstore.objects.embedded.store import EmbeddedStore
from fhirstore.objects.embedded.write_lock import WriteLock
from fhirstore.objects.etag import etag_of
from tests.objects.embedded.child import SMALL

ROOT = Path(__file__).parents[3]


async def start(what: str, directory: Path) -> asyncio.subprocess.Process:
    """A process of its own that uses the directory; its prints can be read."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.objects.embedded.child", what, str(directory)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )


@pytest.mark.kill
async def test_kill_9_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Whatever a killed process had acknowledged is there, bodies are whole, and the next process goes on."""
    acknowledged: dict[str, str | None] = {}
    for _ in range(4):
        child = await start("write", tmp_path)
        assert child.stdout is not None
        lines = [await child.stdout.readline() for _ in range(random.randint(1, 1500))]
        await asyncio.sleep(random.uniform(0, 0.02))
        child.send_signal(signal.SIGKILL)
        lines += (await child.stdout.read()).splitlines(keepends=True)
        await child.wait()
        for line in lines:
            if line.endswith(b"\n"):  # not torn by the kill
                key, _, said = line.decode().strip().partition(" ")
                acknowledged[key] = said or None
    store = await EmbeddedStore.open(tmp_path, large=SMALL)
    later = 0
    for key, etag in acknowledged.items():
        try:
            found = await store.get(key)
        except ObjectNotFound:
            later += etag is not None  # its next write was a delete, not yet acknowledged
            continue
        assert etag_of(found.body) == found.etag
        later += found.etag != etag
    assert later <= 4 * 8  # of each killed worker at most the one write under way
    await store.aclose()
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        named = {name for (name,) in database.execute("SELECT file FROM bodies WHERE file IS NOT NULL")}
    assert named <= {path.name for path in (tmp_path / "bodies").iterdir()}


@pytest.mark.kill
async def test_kill_9_leaves_whole_objects_or_uploads_that_go_on(tmp_path: Path) -> None:
    """A completed upload is an object with its facts; one whose parts were kept is that, or can still be completed."""
    completed: dict[str, str] = {}
    parts: dict[str, tuple[str, list[str]]] = {}
    for lines in (3, 6, 7):
        child = await start("upload", tmp_path)
        assert child.stdout is not None
        told = [await child.stdout.readline() for _ in range(lines)]
        await asyncio.sleep(random.uniform(0, 0.05))
        child.send_signal(signal.SIGKILL)
        told += (await child.stdout.read()).splitlines(keepends=True)
        await child.wait()
        for line in told:
            match line.decode().split() if line.endswith(b"\n") else []:
                case ["part", key, upload, *etags]:
                    parts[key] = upload, etags
                case [key, etag]:
                    completed[key] = etag
    store = await EmbeddedStore.open(tmp_path, large=SMALL)
    pending = {one.upload for one in (await store.list_uploads("")).uploads}
    listed = {one.key for one in (await store.list("up/")).objects}
    assert completed.keys() <= listed <= parts.keys()
    for key, (upload, etags) in parts.items():
        if key not in listed:
            assert upload in pending
            await store.complete_upload(key, upload, list(enumerate(etags, 1)))
        found = await store.get(key)
        assert found.etag == etag_of(found.body) == completed.get(key, found.etag)
        assert (found.body[5 * 1024 * 1024 :], (await store.stat(key)).metadata) == (key.encode(), {"key": key})
    await store.aclose()


@pytest.mark.kill
async def test_two_processes_lose_no_update(tmp_path: Path) -> None:
    """Two processes that count one object up 100 times each, IfMatch, arrive at 200."""
    store = await EmbeddedStore.open(tmp_path)
    await store.put("counter", b"0")
    children = [await start("increment", tmp_path) for _ in range(2)]
    assert [await child.wait() for child in children] == [0, 0]
    assert (await store.get("counter")).body == b"200"
    await store.aclose()


async def test_stores_see_each_other_at_once(tmp_path: Path) -> None:
    """What one store acknowledged, another on the same directory reads, lists, and finds taken."""
    one, two = await EmbeddedStore.open(tmp_path), await EmbeddedStore.open(tmp_path)
    for number in range(50):
        written = await one.put(f"k/{number}", b"%d" % number)
        assert (await two.get(f"k/{number}")).etag == written.etag
    assert len((await two.list("k/")).objects) == 50
    await two.delete("k/7")
    with pytest.raises(ObjectNotFound):
        await one.get("k/7")
    await one.aclose()
    await two.put("after", b"one has gone", condition=IF_ABSENT)
    await two.aclose()


async def test_many_open_a_new_directory_at_once(tmp_path: Path) -> None:
    """Of many that open the same new directory each finds a whole store."""
    stores = await asyncio.gather(*(EmbeddedStore.open(tmp_path / "new" / "store") for _ in range(6)))
    await asyncio.gather(*(store.put(f"k/{number}", b"x") for number, store in enumerate(stores)))
    assert len((await stores[0].list("k/")).objects) == 6
    await asyncio.gather(*(store.aclose() for store in stores))


async def test_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    """When files can grow no more a write raises StoreFull with the cause; with room again writes go on."""
    child = await start("fill", tmp_path)
    assert child.stdout is not None
    refusal, counts, *_ = (await child.stdout.read()).decode().splitlines()
    assert await child.wait() == 0
    assert "files may grow no more" in refusal
    number, listed = counts.split()
    assert int(listed) == int(number) + 1


async def test_foreign_lock_delays_a_write(tmp_path: Path) -> None:
    """A tool that holds SQLite's write lock, as a backup may, delays writes and fails none; reads go on."""
    store = await EmbeddedStore.open(tmp_path)
    await store.put("before", b"1")
    with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as tool:
        tool.execute("BEGIN IMMEDIATE")
        write = asyncio.create_task(store.put("k", b"x"))
        await asyncio.sleep(0.05)
        assert (await store.get("before")).body == b"1"
        assert not write.done()
        tool.execute("ROLLBACK")
        await write
    await store.aclose()


def test_who_waits_is_next(tmp_path: Path) -> None:
    """A process that gives its turn up and wants it back at once comes after the one that waited."""
    greedy, patient, onlooker = WriteLock(tmp_path), WriteLock(tmp_path), WriteLock(tmp_path)
    order: list[str] = []

    def wait_for_it() -> None:
        assert patient.acquire(60)
        order.append("patient")
        patient.release()

    assert greedy.acquire(60)
    thread = threading.Thread(target=wait_for_it)
    thread.start()
    deadline = time.monotonic() + 60
    while _takes_next(onlooker):
        assert time.monotonic() < deadline, "who waits for the turn holds no place in the queue"
        time.sleep(0.001)
    greedy.release()
    assert greedy.acquire(60)
    order.append("greedy")
    thread.join()
    assert order == ["patient", "greedy"]
    assert not onlooker.acquire(0)
    for turn in (greedy, patient, onlooker):
        turn.close()


def _takes_next(turn: WriteLock) -> bool:
    """Is the place of the one who comes next free?"""
    try:
        fcntl.flock(turn._next, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(turn._next, fcntl.LOCK_UN)
    return True


def test_turn_is_waited_for_no_longer_than_asked(tmp_path: Path) -> None:
    """A turn that does not come is reported, and the queue is left as it was."""
    holder, other = WriteLock(tmp_path), WriteLock(tmp_path)
    assert holder.acquire(0)
    assert not other.acquire(0.01)
    holder.release()
    assert other.acquire(0)
    holder.close()
    other.close()


def test_lock_files_are_private(tmp_path: Path) -> None:
    """Files of the store are its owner's only."""
    WriteLock(tmp_path).close()
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())
