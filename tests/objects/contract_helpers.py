"""The part of the object-store contract on the functions that build on a store: files, prefixes, health."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fhirstore.errors import ObjectDamaged, ObjectNotFound, RequestRefused
from fhirstore.objects import (
    ObjectStore,
    ObjectStream,
    Page,
    Usage,
    delete_prefix,
    exists,
    get_file,
    health,
    list_all,
    put_file,
    sha256_of,
    statistics,
    verify,
)
from fhirstore.objects.wrappers.passing_on import PassingOn
from tests.objects.contract_facts import FACTS
from tests.objects.store_under_test import MIB, StoreUnderTest, every_key, patterned


class HelpersContract(StoreUnderTest):
    """What is made of the operations of a store."""

    @pytest.mark.parametrize("size", [0, 11 * MIB])
    async def test_file_goes_up_and_comes_down(self, store: ObjectStore, tmp_path: Path, size: int) -> None:
        """A local file becomes an object with facts, and an object a file, whole, in place of the one before."""
        body = patterned(size)
        up, down = tmp_path / "up", tmp_path / "down"
        up.write_bytes(body)
        down.write_bytes(b"before")
        told: list[int] = []
        await put_file(store, "a", up, facts=FACTS, part_size=5 * MIB, progress=told.append)
        assert dict((await store.stat("a")).metadata) == FACTS.metadata
        assert await get_file(store, "a", down, progress=told.append) == size
        assert down.read_bytes() == body
        assert set(told[-1:]) == ({size} if size else set())
        assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["down", "up"]

    async def test_missing_files_and_objects(self, store: ObjectStore, tmp_path: Path) -> None:
        """A file that is not there makes no object, and an object that is not there leaves the file alone."""
        with pytest.raises(FileNotFoundError):
            await put_file(store, "a", tmp_path / "none")
        assert await every_key(store, "") == []
        (tmp_path / "kept").write_bytes(b"before")
        with pytest.raises(ObjectNotFound):
            await get_file(store, "absent", tmp_path / "kept")
        assert (tmp_path / "kept").read_bytes() == b"before"

    async def test_download_that_breaks_off_leaves_no_file(self, store: ObjectStore, tmp_path: Path) -> None:
        """Neither under its name nor another, whether it fails or is cancelled."""
        await store.put("a", b"x" * 3 * MIB)
        for ends in (ConnectionResetError, asyncio.CancelledError):
            with pytest.raises(ends):
                await get_file(_BreaksOff(store, ends), "a", tmp_path / "a")
        assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []

    async def test_exists(self, store: ObjectStore) -> None:
        """A key is there or not; a folder is no object."""
        await store.put("a/b", b"")
        assert [await exists(store, key) for key in ("a/b", "a", "a/bc")] == [True, False, False]

    async def test_checksum_is_verified(self, store: ObjectStore) -> None:
        """The SHA-256 of an object is that of its bytes; another is damage."""
        body = patterned(2 * MIB)
        sha256 = hashlib.sha256(body).hexdigest()
        await store.put("a", body)
        assert await sha256_of(store, "a") == sha256
        await verify(store, "a", sha256.upper())
        with pytest.raises(ObjectDamaged):
            await verify(store, "a", "0" * 64)
        with pytest.raises(RequestRefused):
            await verify(store, "a", "abc")
        with pytest.raises(ObjectNotFound):
            await verify(store, "absent", sha256)

    async def test_prefix_is_listed_measured_and_removed(self, store: ObjectStore) -> None:
        """Everything below a prefix, over several pages, and nothing beside it."""
        store, count = _SmallPages(store), 30
        await self.fill(store, [f"p/{'ab'[n % 2]}/{n:04}" for n in range(count)])
        await self.fill(store, ["p/top", "p-beside", "q/other"])
        listed = [one.key async for one in list_all(store, "p/")]
        assert (len(listed), len(set(listed))) == (count + 1, count + 1)
        measured = await statistics(store, "p/")
        half = Usage(count // 2, count // 2 * len("p/a/0000"))
        assert measured.folders == {"p/a/": half, "p/b/": half}
        assert measured.rest == Usage(1, len("p/top"))
        assert measured.total == Usage(count + 1, 2 * half.bytes + len("p/top"))
        assert 0 < measured.oldest <= measured.newest
        self.assert_plausible(measured.newest)
        few = await statistics(store, "p/", folders=1)
        assert (len(few.folders), few.rest.objects) == (1, count // 2 + 1)
        told: list[int] = []
        assert await delete_prefix(store, "p/", progress=told.append) == count + 1
        assert told[-1] == count + 1
        assert sorted(await every_key(store, "")) == ["p-beside", "q/other"]
        assert await delete_prefix(store, "p/") == 0
        with pytest.raises(RequestRefused):
            await delete_prefix(store, "")

    async def test_statistics_of_nothing(self, store: ObjectStore) -> None:
        """No objects, no times."""
        measured = await statistics(store)
        assert (measured.total, measured.folders, measured.oldest, measured.newest) == (Usage(), {}, 0, 0)

    async def test_health(self, store: ObjectStore) -> None:
        """A store that can be used is well, and the check leaves nothing behind."""
        for write in (False, True):
            told = await health(store, write=write)
            assert (told.well, told.detail, told.location) == (True, "", store.location)
            assert told.milliseconds >= 0
            self.assert_plausible(told.now)
        assert await every_key(store, "") == []


class _SmallPages(PassingOn):
    """Lists seven keys at a time."""

    async def list(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        cursor: str | None = None,
        delimiter: bool = False,
        limit: int = 1000,
    ) -> Page:
        return await super().list(
            prefix, start_after=start_after, cursor=cursor, delimiter=delimiter, limit=min(limit, 7)
        )


class _BreaksOff(PassingOn):
    """Ends every stream after its first chunk."""

    def __init__(self, inner: ObjectStore, ends: type[BaseException]) -> None:
        super().__init__(inner)
        self._ends = ends

    @asynccontextmanager
    async def get_stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[ObjectStream]:
        async with self.inner.get_stream(key, start=start, end=end) as stream:
            yield _Cut(stream, self._ends)


class _Cut:
    def __init__(self, inner: ObjectStream, ends: type[BaseException]) -> None:
        self.size, self.etag = inner.size, inner.etag
        self._inner, self._ends = inner, ends

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            yield chunk
            raise self._ends
