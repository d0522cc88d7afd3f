"""Multipart uploads to the embedded store: what is on the disk meanwhile, what a crash leaves, what is swept."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fhirstore.clock import SystemIds
from fhirstore.errors import ObjectNotFound, RequestRefused, StoreFull, UploadNotFound
from fhirstore.objects.embedded import pending
from fhirstore.objects.embedded.store import EmbeddedStore
from tests.objects.store_under_test import MIB, patterned

DAY = 24 * 3600


def files(directory: Path) -> list[Path]:
    """Everything below `uploads` and `bodies`."""
    return [path for folder in ("uploads", "bodies") for path in (directory / folder).rglob("*")]


async def test_upload_outlives_its_process(tmp_path: Path) -> None:
    """Another process that opens the directory finds the upload and its parts, and completes it."""
    first = await EmbeddedStore.open(tmp_path)
    body = patterned(5 * MIB + 10)
    upload = await first.create_upload("a")
    parts = [(1, await first.put_part("a", upload, 1, body[: 5 * MIB]))]
    await first.aclose()
    second = await EmbeddedStore.open(tmp_path)
    assert [one.upload for one in (await second.list_uploads("")).uploads] == [upload]
    parts.append((2, await second.put_part("a", upload, 2, body[5 * MIB :])))
    await second.complete_upload("a", upload, parts)
    assert (await second.get("a")).body == body
    assert len(files(tmp_path)) == 1
    await second.aclose()


async def test_part_that_is_replaced_leaves_one_file(tmp_path: Path) -> None:
    """A part sent again takes the place of the one before on the disk, too."""
    store = await EmbeddedStore.open(tmp_path)
    upload = await store.create_upload("a")
    for body in (b"one", b"two", b"two"):
        etag = await store.put_part("a", upload, 7, body)
    assert sorted(path.name for path in (tmp_path / "uploads" / upload).iterdir()) == [f"00007-{etag}", "upload.json"]
    await store.abort_upload("a", upload)
    assert files(tmp_path) == []
    await store.aclose()


@pytest.mark.parametrize("upload", ["../../etc", "", "..", "01ARZ3NDEKTSV4RRFFQ69G5FAV/..", "\0"])
async def test_upload_ids_lead_nowhere_else(tmp_path: Path, upload: str) -> None:
    """An id that is no ULID names no folder, wherever it would lead, and nothing is removed."""
    store = await EmbeddedStore.open(tmp_path / "store")
    await store.abort_upload("a", await store.create_upload("a"))
    (tmp_path / "etc").mkdir()
    await store.abort_upload("a", upload)
    for refused in (store.put_part("a", upload, 1, b"x"), store.complete_upload("a", upload, [(1, "ab")])):
        with pytest.raises(UploadNotFound):
            await refused
    assert (tmp_path / "etc").is_dir()
    await store.aclose()


async def test_etags_lead_nowhere_else(tmp_path: Path) -> None:
    """An ETag that is none names no file."""
    store = await EmbeddedStore.open(tmp_path)
    upload = await store.create_upload("a")
    await store.put_part("a", upload, 1, b"x")
    for etag in ("../upload.json", "", "x\0"):
        with pytest.raises(RequestRefused):
            await store.complete_upload("a", upload, [(1, etag)])
    await store.aclose()


async def test_upload_of_another_key_is_not_found(tmp_path: Path) -> None:
    """An id is that of one key: with another it takes no part, makes no object and aborts nothing."""
    store = await EmbeddedStore.open(tmp_path)
    upload = await store.create_upload("a")
    etag = await store.put_part("a", upload, 1, b"x")
    with pytest.raises(UploadNotFound):
        await store.complete_upload("b", upload, [(1, etag)])
    await store.abort_upload("b", upload)
    await store.complete_upload("a", upload, [(1, etag)])
    with pytest.raises(ObjectNotFound):
        await store.get("b")
    await store.aclose()


async def test_forgotten_uploads_are_swept_at_a_later_start(tmp_path: Path) -> None:
    """An upload is removed a day after its last part; a younger one stays, and so does what a crash cut off half way
    for that day."""
    store = await EmbeddedStore.open(tmp_path)
    old, young = await store.create_upload("old"), await store.create_upload("young")
    await store.put_part("old", old, 1, b"x")
    await store.aclose()
    (tmp_path / "uploads" / "01ARZ3NDEKTSV4RRFFQ69G5FAV").mkdir()  # a crash before upload.json was written
    for name in (old, "01ARZ3NDEKTSV4RRFFQ69G5FAV"):
        os.utime(tmp_path / "uploads" / name, (time.time() - DAY - 60,) * 2)
    store = await EmbeddedStore.open(tmp_path)
    await asyncio.wrap_future(store._sweeper.submit(lambda: None))  # comes after the sweep
    await store.aclose()
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == [young]


async def test_crash_after_the_commit_leaves_an_upload_that_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a process dies between commit and clean-up, the object is there, and completing again changes nothing."""
    store = await EmbeddedStore.open(tmp_path)
    upload = await store.create_upload("a")
    parts = [(1, await store.put_part("a", upload, 1, b"x"))]
    with monkeypatch.context() as patch:
        patch.setattr(pending.PendingUploads, "remove", lambda *_: None)
        written = await store.complete_upload("a", upload, parts)
    assert (await store.get("a")).body == b"x"
    assert (await store.complete_upload("a", upload, parts)).etag == written.etag
    assert len(files(tmp_path)) == 1  # the first body's file went with its row
    await store.aclose()


async def test_full_disk_refuses_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that the disk cannot hold is StoreFull, leaves no file, and the upload goes on."""
    store = await EmbeddedStore.open(tmp_path)
    upload = await store.create_upload("a")
    write = pending._write

    def full(path: Path, body: bytes) -> None:
        write(path, body[:1])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pending, "_write", full)
        with pytest.raises(StoreFull):
            await store.put_part("a", upload, 1, b"xyz")
    assert [path.name for path in (tmp_path / "uploads" / upload).iterdir()] == ["upload.json"]
    await store.complete_upload("a", upload, [(1, await store.put_part("a", upload, 1, b"xyz"))])
    await store.aclose()


async def test_copies_share_one_file(tmp_path: Path) -> None:
    """A copy of a large body costs no space, and the file goes with the last object that has it."""
    store = await EmbeddedStore.open(tmp_path)
    await store.put("a", patterned(MIB))
    for target in ("b", "c", "a"):
        await store.copy("a", target)
    assert len(files(tmp_path)) == 1
    await store.delete_many(["a", "b"])
    assert (await store.get("c")).body == patterned(MIB)
    await store.delete("c")
    await store.aclose()
    assert files(tmp_path) == []


def test_of_two_parts_with_one_number_at_once_one_is_kept(tmp_path: Path) -> None:
    """Neither call removes the part of the other without keeping its own."""
    uploads = pending.PendingUploads(tmp_path, SystemIds())
    upload = uploads.create("k", None, now=0)
    with ThreadPoolExecutor(2) as pool:
        for n in range(60):
            etags = list(pool.map(lambda body: uploads.put("k", upload, 1, body), (b"a%d" % n, b"b%d" % n)))
            kept = {path.name for path in (tmp_path / "uploads" / upload).glob("00001-*")}
            assert kept & {f"00001-{etag}" for etag in etags}, n
