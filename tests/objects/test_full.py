"""A store that takes no more says so at once, as StoreFull with the reason, and takes more as soon as there is room."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fhirstore.errors import ObjectError, OutcomeUnknown, StoreFull
from fhirstore.objects.base import IF_ABSENT, ObjectStore
from fhirstore.objects.embedded.store import EmbeddedStore
from fhirstore.objects.fullness import why_os, why_sqlite
from fhirstore.objects.s3.options import S3Options
from fhirstore.objects.s3.store import S3Store
from tests.objects.s3.scripted_http import Asked, ScriptedServer, Told, error

MIB = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a file system is not permitted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    """An embedded store whose database may have few pages."""
    store = await EmbeddedStore.open(tmp_path)
    yield store
    await store.aclose()


async def _fill(store: ObjectStore, size: int) -> str:
    """Writes bodies of this size until the store refuses; the reason."""
    for number in range(2_000):
        try:
            await store.put(f"k/{number}", os.urandom(size), condition=IF_ABSENT)
        except ObjectError as refusal:
            assert type(refusal) is StoreFull, refusal
            return refusal.detail
    raise AssertionError("it was never full")


def _limit_pages(store: EmbeddedStore, pages: int) -> None:
    """What SQLite offers to make a database full."""
    store._writer._transactions._connection.execute(f"PRAGMA max_page_count = {pages}")


async def test_a_full_database_is_told_by_its_reason(store: EmbeddedStore) -> None:
    """StoreFull, readiness says why, reads go on; with room again the next check and the next write succeed."""
    _limit_pages(store, 40)
    assert "the disk is full" in await _fill(store, 10_000)
    assert len((await store.get("k/0")).body) == 10_000
    with pytest.raises(StoreFull, match="the disk is full"):
        await store.check()
    _limit_pages(store, 100_000)
    await store.check()
    await store.put("more", b"x" * 10_000)
    await store.check()
    assert [item.key for item in (await store.list("_probe/")).objects] == []


@pytest.mark.parametrize("size", [10_000, 600_000], ids=["rows", "files"])
async def test_a_full_disk_is_told_by_its_reason(small_disk: Path, size: int) -> None:
    """On a real file system without space, for rows and for bodies that are files; room again needs no restart."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(MIB))
    store = await EmbeddedStore.open(small_disk / "store")
    assert "the disk is full" in await _fill(store, size)
    with pytest.raises(StoreFull, match="the disk is full"):
        await store.check()
    ballast.unlink()
    await store.put("more", b"x" * 10_000)
    await store.check()
    await store.aclose()


async def test_a_read_only_database_is_told_by_its_reason(store: EmbeddedStore) -> None:
    """As after Linux made a disk read-only: writes are refused, readiness says why, reads go on."""
    await store.put("k", b"x")
    store._writer._transactions._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreFull, match="read-only"):
        await store.put("k", b"y")
    with pytest.raises(StoreFull, match="read-only"):
        await store.check()
    assert (await store.get("k")).body == b"x"
    store._writer._transactions._connection.execute("PRAGMA query_only = OFF")
    await store.check()


def test_an_error_of_another_kind_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    """A failed sync may have written what it was to sync; a database that was moved is no matter of space."""
    for code in (1034, 1032, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_IOERR):
        failed = sqlite3.OperationalError("x")
        failed.sqlite_errorcode = code
        assert why_sqlite(failed, tmp_path / "objects.sqlite") is None
    assert why_os(OSError(5, "Input/output error")) is None
    assert list(tmp_path.iterdir()) == []


FULL = {
    "507": Told(507),
    "quota": error(403, "QuotaExceeded"),
    "MinIO's disks": error(507, "XMinioStorageFull"),
    "MinIO's quota": error(400, "XMinioAdminBucketQuotaExceeded"),
}


@pytest.mark.parametrize("told", FULL.values(), ids=FULL.keys())
async def test_a_full_bucket_is_told_once_and_tried_again_by_readiness(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each PUT is sent once, and no circuit opens; `check` fails until a small object can be written again."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    async with ScriptedServer.running() as server:
        store = await S3Store.open("s3://bucket/p", S3Options(endpoint_url=server.url, allow_http=True))
        server.asked.clear()

        def refuse_puts(asked: Asked) -> Told:
            return told if asked.method == "PUT" else Told()

        server.answer = refuse_puts
        for _ in range(30):
            with pytest.raises(StoreFull, match="full"):
                await store.put("k", b"x")
        assert len(server.asked) == 30
        with pytest.raises(StoreFull):
            await store.check()
        server.answer = lambda _: Told()
        await store.check()
        asked = len(server.asked)
        await store.check()
        assert len(server.asked) == asked + 1, "once it is known to take more, a check is one request again"
        await store.aclose()


async def test_what_a_full_store_refuses_is_surely_not_there(store: EmbeddedStore) -> None:
    """Of a batch that did not fit nothing is there, also after the store was opened anew."""
    _limit_pages(store, 40)
    writes = [store.put(f"b/{number}", os.urandom(9_000)) for number in range(60)]
    answers = await asyncio.gather(*writes, return_exceptions=True)
    assert not any(isinstance(answer, OutcomeUnknown) for answer in answers)
    written = {f"b/{number}" for number, answer in enumerate(answers) if not isinstance(answer, BaseException)}
    directory = Path(store.location.removeprefix("file:"))
    await store.aclose()
    again = await EmbeddedStore.open(directory)
    assert {item.key for item in (await again.list("b/")).objects} == written
    await again.aclose()
