"""Records the storage requests of a run as IAM sees them: an action of S3, and the key or prefix it is for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from fhirstore.objects.base import (
    CONCURRENCY,
    PART_SIZE,
    Condition,
    ObjectStore,
    ObjectStream,
    Page,
    PutAnswer,
    PutRequest,
    StoredObject,
    Written,
)
from fhirstore.objects.facts import Facts, ObjectInfo, Progress
from fhirstore.objects.uploads import UploadPage
from fhirstore.objects.wrappers.passing_on import PassingOn

Request = tuple[str, str]  # action, then key; of a listing, the prefix


class RecordingStore(PassingOn):
    """A store that notes in `requests` what IAM would be asked for. Tagged writes need an action more."""

    def __init__(self, inner: ObjectStore, requests: set[Request] | None = None) -> None:
        super().__init__(inner)
        self.requests: set[Request] = set() if requests is None else requests

    def _note(self, action: str, key: str) -> None:
        self.requests.add((f"s3:{action}", key))

    def _note_put(self, key: str, facts: Facts | None) -> None:
        self._note("PutObject", key)
        if facts is not None and facts.tags:
            self._note("PutObjectTagging", key)

    async def get(self, key: str) -> StoredObject:
        self._note("GetObject", key)
        return await super().get(key)

    def get_stream(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[ObjectStream]:
        self._note("GetObject", key)
        return super().get_stream(key, start=start, end=end)

    async def stat(self, key: str) -> ObjectInfo:
        self._note("GetObject", key)
        return await super().stat(key)

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        self._note_put(key, facts)
        return await super().put(key, body, condition=condition, expires=expires, facts=facts)

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        for put in puts:
            self._note_put(put.key, getattr(put, "facts", None))
        return await super().put_many(puts)

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
        self._note_put(key, facts)
        self._note("AbortMultipartUpload", key)  # it does so where it fails
        return await super().put_stream(
            key, chunks, facts=facts, part_size=part_size, concurrency=concurrency, progress=progress
        )

    async def delete(self, key: str, *, expires: int | None = None) -> None:
        self._note("DeleteObject", key)
        await super().delete(key, expires=expires)

    async def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._note("DeleteObject", key)
        await super().delete_many(keys)

    async def list(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        cursor: str | None = None,
        delimiter: bool = False,
        limit: int = 1000,
    ) -> Page:
        self._note("ListBucket", prefix)
        return await super().list(prefix, start_after=start_after, cursor=cursor, delimiter=delimiter, limit=limit)

    async def copy(self, source: str, target: str, *, facts: Facts | None = None) -> Written:
        self._note("GetObject", source)
        self._note_put(target, facts)
        return await super().copy(source, target, facts=facts)

    async def get_tags(self, key: str) -> Mapping[str, str]:
        self._note("GetObjectTagging", key)
        return await super().get_tags(key)

    async def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        self._note("PutObjectTagging", key)
        await super().set_tags(key, tags)

    async def create_upload(self, key: str, *, facts: Facts | None = None) -> str:
        self._note_put(key, facts)
        return await super().create_upload(key, facts=facts)

    async def abort_upload(self, key: str, upload: str) -> None:
        self._note("AbortMultipartUpload", key)
        await super().abort_upload(key, upload)

    async def list_uploads(self, prefix: str, *, cursor: str | None = None) -> UploadPage:
        self._note("ListBucketMultipartUploads", prefix)
        return await super().list_uploads(prefix, cursor=cursor)

    async def presign_get(
        self, key: str, *, expires_in: int, filename: str | None = None, content_type: str | None = None
    ) -> str:
        self._note("GetObject", key)
        return await super().presign_get(key, expires_in=expires_in, filename=filename, content_type=content_type)
