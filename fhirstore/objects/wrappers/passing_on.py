"""The store around a store that changes nothing: wrappers override what they count, bound or break."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from fhirstore.objects.base import (
    CONCURRENCY,
    PART_SIZE,
    Condition,
    GetAnswer,
    ObjectStore,
    ObjectStream,
    Page,
    PutAnswer,
    PutRequest,
    StoredObject,
    Written,
)
from fhirstore.objects.facts import Facts, ObjectInfo, Progress
from fhirstore.objects.parallel_gets import get_each
from fhirstore.objects.presigned import PresignedPost, PresignedPut
from fhirstore.objects.uploads import UploadPage


class PassingOn:
    """An `ObjectStore` that passes everything on to `inner`."""

    def __init__(self, inner: ObjectStore) -> None:
        self.inner = inner

    @property
    def location(self) -> str:
        return self.inner.location

    @property
    def decides_together(self) -> bool:
        return self.inner.decides_together

    def now(self) -> int:
        return self.inner.now()

    @property
    def clock_error(self) -> int:
        return self.inner.clock_error

    def writes(self) -> int | None:
        return self.inner.writes()

    async def check(self) -> None:
        await self.inner.check()

    async def get(self, key: str) -> StoredObject:
        return await self.inner.get(key)

    async def get_many(self, keys: Sequence[str]) -> Sequence[GetAnswer]:
        """By its own `get`, of each: what a wrapper does there is done to all."""
        return await get_each(self, keys)

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        return await self.inner.put(key, body, condition=condition, expires=expires, facts=facts)

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        return await self.inner.put_many(puts)

    async def delete(self, key: str, *, expires: int | None = None) -> None:
        await self.inner.delete(key, expires=expires)

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self.inner.delete_many(keys)

    async def list(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        cursor: str | None = None,
        delimiter: bool = False,
        limit: int = 1000,
    ) -> Page:
        return await self.inner.list(prefix, start_after=start_after, cursor=cursor, delimiter=delimiter, limit=limit)

    async def stat(self, key: str) -> ObjectInfo:
        return await self.inner.stat(key)

    async def put_stream(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        facts: Facts | None = None,
        part_size: int = PART_SIZE,
        concurrency: int = CONCURRENCY,
        progress: Progress | None = None,
    ) -> Written:
        return await self.inner.put_stream(
            key, chunks, facts=facts, part_size=part_size, concurrency=concurrency, progress=progress
        )

    def get_stream(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[ObjectStream]:
        return self.inner.get_stream(key, start=start, end=end)

    async def copy(self, source: str, target: str, *, facts: Facts | None = None) -> Written:
        return await self.inner.copy(source, target, facts=facts)

    async def get_tags(self, key: str) -> Mapping[str, str]:
        return await self.inner.get_tags(key)

    async def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        await self.inner.set_tags(key, tags)

    async def create_upload(self, key: str, *, facts: Facts | None = None) -> str:
        return await self.inner.create_upload(key, facts=facts)

    async def put_part(self, key: str, upload: str, number: int, body: bytes) -> str:
        return await self.inner.put_part(key, upload, number, body)

    async def complete_upload(self, key: str, upload: str, parts: Sequence[tuple[int, str]]) -> Written:
        return await self.inner.complete_upload(key, upload, parts)

    async def abort_upload(self, key: str, upload: str) -> None:
        await self.inner.abort_upload(key, upload)

    async def list_uploads(self, prefix: str, *, cursor: str | None = None) -> UploadPage:
        return await self.inner.list_uploads(prefix, cursor=cursor)

    async def presign_get(
        self, key: str, *, expires_in: int, filename: str | None = None, content_type: str | None = None
    ) -> str:
        return await self.inner.presign_get(key, expires_in=expires_in, filename=filename, content_type=content_type)

    async def presign_put(
        self,
        key: str,
        *,
        expires_in: int,
        content_type: str | None = None,
        sha256: str | None = None,
        size: int | None = None,
        if_absent: bool = False,
    ) -> PresignedPut:
        return await self.inner.presign_put(
            key, expires_in=expires_in, content_type=content_type, sha256=sha256, size=size, if_absent=if_absent
        )

    async def presign_post(
        self, key: str, *, expires_in: int, max_size: int, min_size: int = 0, content_type: str | None = None
    ) -> PresignedPost:
        return await self.inner.presign_post(
            key, expires_in=expires_in, max_size=max_size, min_size=min_size, content_type=content_type
        )

    async def aclose(self) -> None:
        await self.inner.aclose()
