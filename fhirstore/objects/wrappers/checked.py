"""The store that users open: it refuses at once what not every store would understand alike.

The keys that fhirstore itself makes are well-formed, so it uses the stores without this wrapper. Deletes are not
checked, so that whatever a listing shows can be removed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager

from fhirstore.objects.arguments import check_body, check_key, check_limit, check_range
from fhirstore.objects.base import CONCURRENCY, PART_SIZE, Condition, ObjectStream, Page, StoredObject, Written
from fhirstore.objects.facts import Facts, ObjectInfo, Progress
from fhirstore.objects.presigned import PresignedPost, PresignedPut
from fhirstore.objects.wrappers.passing_on import PassingOn


class CheckedStore(PassingOn):
    """An `ObjectStore` that checks arguments. Raises RequestRefused, or TypeError for a body that is not bytes."""

    async def get(self, key: str) -> StoredObject:
        check_key(key)
        return await self.inner.get(key)

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        check_key(key)
        check_body(key, body)
        return await self.inner.put(key, body, condition=condition, expires=expires, facts=facts)

    async def list(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        cursor: str | None = None,
        delimiter: bool = False,
        limit: int = 1000,
    ) -> Page:
        check_limit(limit)
        return await self.inner.list(prefix, start_after=start_after, cursor=cursor, delimiter=delimiter, limit=limit)

    async def stat(self, key: str) -> ObjectInfo:
        check_key(key)
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
        check_key(key)
        return await self.inner.put_stream(
            key, chunks, facts=facts, part_size=part_size, concurrency=concurrency, progress=progress
        )

    def get_stream(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[ObjectStream]:
        check_key(key)
        check_range(key, start, end)
        return self.inner.get_stream(key, start=start, end=end)

    async def copy(self, source: str, target: str, *, facts: Facts | None = None) -> Written:
        check_key(source)
        check_key(target)
        return await self.inner.copy(source, target, facts=facts)

    async def get_tags(self, key: str) -> Mapping[str, str]:
        check_key(key)
        return await self.inner.get_tags(key)

    async def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        check_key(key)
        await self.inner.set_tags(key, tags)

    async def create_upload(self, key: str, *, facts: Facts | None = None) -> str:
        check_key(key)
        return await self.inner.create_upload(key, facts=facts)

    async def put_part(self, key: str, upload: str, number: int, body: bytes) -> str:
        check_key(key)
        check_body(key, body)
        return await self.inner.put_part(key, upload, number, body)

    async def presign_get(
        self, key: str, *, expires_in: int, filename: str | None = None, content_type: str | None = None
    ) -> str:
        check_key(key)
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
        check_key(key)
        return await self.inner.presign_put(
            key, expires_in=expires_in, content_type=content_type, sha256=sha256, size=size, if_absent=if_absent
        )

    async def presign_post(
        self, key: str, *, expires_in: int, max_size: int, min_size: int = 0, content_type: str | None = None
    ) -> PresignedPost:
        check_key(key)
        return await self.inner.presign_post(
            key, expires_in=expires_in, max_size=max_size, min_size=min_size, content_type=content_type
        )
