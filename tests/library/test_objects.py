"""The object storage can be used with the public names alone, on a directory and on S3."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from conformance.s3servers import S3Server
from fhirstore.errors import PreconditionFailed, StoreCannot, UploadNotFound
from fhirstore.objects import (
    IF_ABSENT,
    Facts,
    IfMatch,
    ObjectStore,
    S3Options,
    delete_prefix,
    exists,
    get_file,
    health,
    list_all,
    open_objects,
    put_file,
    statistics,
    verify,
)


async def _use(objects: ObjectStore, folder: Path, *, has_urls: bool) -> None:
    """One object's life, with every kind of operation."""
    written = await objects.put("a/small", b"1", condition=IF_ABSENT, facts=Facts(metadata={"m": "1"}))
    with pytest.raises(PreconditionFailed):
        await objects.put("a/small", b"2", condition=IF_ABSENT)
    await objects.put("a/small", b"2", condition=IfMatch(written.etag))
    body = bytes(range(256)) * 40_000
    (folder / "up").write_bytes(body)
    told: list[int] = []
    await put_file(objects, "a/big", folder / "up", part_size=5 * 2**20, concurrency=2, progress=told.append)
    assert told[-1] == len(body)
    await verify(objects, "a/big", hashlib.sha256(body).hexdigest())
    async with objects.get_stream("a/big", start=250, end=260) as stream:
        assert b"".join([chunk async for chunk in stream]) == body[250:260]
    assert await get_file(objects, "a/big", folder / "down") == len(body)
    await objects.copy("a/big", "b/big", facts=Facts(tags={"t": "1"}))
    assert await objects.get_tags("b/big") == {"t": "1"}
    upload = await objects.create_upload("b/parts")
    etag = await objects.put_part("b/parts", upload, 1, b"x")
    await objects.complete_upload("b/parts", upload, [(1, etag)])
    await objects.abort_upload("b/parts", upload)
    with pytest.raises(UploadNotFound):
        await objects.put_part("b/parts", upload, 2, b"y")
    assert (await objects.list_uploads("")).uploads == ()
    if has_urls:
        assert (await objects.presign_get("a/small", expires_in=60)).startswith("http")
    else:
        with pytest.raises(StoreCannot):
            await objects.presign_get("a/small", expires_in=60)
    assert sorted([one.key async for one in list_all(objects)]) == ["a/big", "a/small", "b/big", "b/parts"]
    assert (await statistics(objects)).folders["a/"].bytes == len(body) + 1
    assert await delete_prefix(objects, "a/") == 2
    assert not await exists(objects, "a/small")
    assert (await health(objects, write=True)).well


async def test_a_directory(tmp_path: Path) -> None:
    """Everything but URLs."""
    objects = await open_objects(f"file:{tmp_path / 'data'}")
    await _use(objects, tmp_path, has_urls=False)
    await objects.aclose()


async def test_memory(tmp_path: Path) -> None:
    """The same, until the process ends."""
    await _use(await open_objects("memory:"), tmp_path, has_urls=False)


async def test_a_bucket(seaweedfs: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, and URLs."""
    seaweedfs.use(monkeypatch)
    options = S3Options(endpoint_url=seaweedfs.endpoint_url, allow_http=True)
    objects = await open_objects(seaweedfs.location(), s3=options)
    await _use(objects, tmp_path, has_urls=True)
    await objects.aclose()
