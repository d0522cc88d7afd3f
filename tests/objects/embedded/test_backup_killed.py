"""A backup or a restore that is killed at any moment leaves none, and the next one is whole.

`python -m tests.objects.embedded.test_backup_killed KILLS` does it as often as one likes.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fhirstore.objects import restore_backup
from fhirstore.objects.embedded.backup import LOCK, backups
from fhirstore.objects.embedded.store import EmbeddedStore
from tests.objects.embedded.test_backup import content, opened

_CHILD = """
import sys
from fhirstore.objects import backup, restore_backup
{"backup": backup, "restore": restore_backup}[sys.argv[1]](sys.argv[2], sys.argv[3])
"""
_BODY = 200_000


async def rounds(folder: Path, kills: int, randomness: random.Random) -> tuple[int, int]:
    """Kills backups beside a writer, then restores. Returns how many were killed, and how many backups there are."""
    store = await opened(folder / "store")
    for n in range(30):
        await store.put(f"kept/{n}", bytes([n]) * _BODY)
    stop = asyncio.Event()
    writer = asyncio.create_task(_write(store, stop))
    location, target = f"file:{folder / 'store'}", folder / "backups"
    began = time.monotonic()
    assert await _run("backup", location, str(target), None) == 0
    whole = time.monotonic() - began
    killed = 0
    for _ in range(kills):
        killed += await _run("backup", location, str(target), randomness.uniform(0.3, 1.6) * whole) != 0
    assert await _run("backup", location, str(target), None) == 0
    stop.set()
    await writer
    await store.aclose()
    # One that is just being made or named has no lock, and stays for a minute.
    assert not list((folder / "store").glob(f"backup-*/{LOCK}"))
    assert not list(target.glob(f".unfinished-*/{LOCK}"))
    made = backups(target)
    assert kills - killed + 2 <= len(made) <= kills + 2  # it may be killed when it is done
    for n in range(kills):
        again = folder / "again"
        done = await _run("restore", str(made[-1]), f"file:{again}", randomness.uniform(0.3, 1.6) * whole)
        assert done != 0 or again.exists()
        killed += done != 0
        if again.exists():
            again.rename(folder / f"restored-{n}")
    for n, each in enumerate([made[0], made[-1]]):
        restore_backup(each, f"file:{folder / str(n)}")
        found = await content(folder / str(n))
        assert all(found[f"kept/{m}"] == bytes([m]) * _BODY for m in range(30))
        assert found["moving/a"][:8] == found["moving/b"][:8]
    for place in folder.glob("restored-*"):
        assert (await content(place)).keys() == found.keys()
    return killed, len(made)


async def _write(store: EmbeddedStore, stop: asyncio.Event) -> None:
    """Replaces two large bodies in one commit, again and again."""
    n = 0
    while not stop.is_set():
        n += 1
        body = b"%08d" % n + bytes(_BODY)
        await store.put_stream("moving/x", _once(body))
        await asyncio.gather(store.copy("moving/x", "moving/a"), store.copy("moving/x", "moving/b"))
        await asyncio.sleep(0.001)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _run(verb: str, source: str, target: str, kill_after: float | None) -> int:
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", _CHILD, verb, source, target)
    try:
        return await asyncio.wait_for(child.wait(), kill_after)
    except TimeoutError:
        child.kill()
        return await child.wait()


@pytest.mark.kill
async def test_a_killed_backup_or_restore_leaves_none(tmp_path: Path) -> None:
    """At random moments, beside a writer whose body files come and go."""
    await rounds(tmp_path, 2, random.Random(4))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        sys.stdout.write(f"{asyncio.run(rounds(Path(place), int(sys.argv[1]), random.Random(1)))}\n")
