"""The store around a store that tells an observer of every request, and changes nothing else.

Benchmark: reads, see docs/performance.md. Therefore `get`, `put` and `put_many` are written out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from time import perf_counter

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
from fhirstore.objects.observer import OK, StoreObserver, outcome_of
from fhirstore.objects.uploads import UploadPage
from fhirstore.objects.wrappers.metered import KEYS_PER_DELETE
from fhirstore.objects.wrappers.passing_on import PassingOn

_MOST_UPLOADS = 10_000  # that are remembered; others may be completed by another process, or never


class ObservedStore(PassingOn):
    """An `ObjectStore` whose requests `observer` is told of."""

    def __init__(self, inner: ObjectStore, observer: StoreObserver) -> None:
        super().__init__(inner)
        self._observer = observer
        self._uploads: OrderedDict[str, _Upload] = OrderedDict()  # multipart uploads under way, by their ids

    async def check(self) -> None:
        with self._one("HEAD"):
            await self.inner.check()

    async def get(self, key: str) -> StoredObject:
        began = perf_counter()
        try:
            found = await self.inner.get(key)
        except BaseException as error:
            self._observer.requested("GET", outcome_of(error), perf_counter() - began)
            raise
        self._observer.requested("GET", OK, perf_counter() - began, len(found.body))
        return found

    async def get_many(self, keys: Sequence[str]) -> Sequence[GetAnswer]:
        """Those that the store answers by one statement took equally long."""
        if not self.inner.decides_together:
            return await super().get_many(keys)
        began = perf_counter()
        answers = await self.inner.get_many(keys)
        each = (perf_counter() - began) / max(1, len(answers))
        for answer in answers:
            if isinstance(answer, StoredObject):
                self._observer.requested("GET", OK, each, len(answer.body))
            else:
                self._observer.requested("GET", outcome_of(answer), each)
        return answers

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        began = perf_counter()
        try:
            written = await self.inner.put(key, body, condition=condition, expires=expires, facts=facts)
        except BaseException as error:
            self._observer.requested("PUT", outcome_of(error), perf_counter() - began, len(body))
            raise
        self._observer.requested("PUT", OK, perf_counter() - began, len(body))
        return written

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        began = perf_counter()
        sizes = [len(put.body) for put in puts]
        try:
            answers = await self.inner.put_many(puts)
        except BaseException as error:
            self._observer.wrote(outcome_of(error), perf_counter() - began, sizes)
            raise
        seconds = perf_counter() - began
        if all([type(answer) is Written for answer in answers]):  # noqa: C419 - a list is quicker than a generator
            self._observer.wrote(OK, seconds, sizes)
            return answers
        by_outcome: dict[str, list[int]] = {}
        for answer, size in zip(answers, sizes, strict=True):
            outcome = OK if isinstance(answer, Written) else outcome_of(answer)
            by_outcome.setdefault(outcome, []).append(size)
        for outcome, some in by_outcome.items():
            self._observer.wrote(outcome, seconds, some)
        return answers

    async def delete(self, key: str, *, expires: int | None = None) -> None:
        with self._one("DELETE"):
            await self.inner.delete(key, expires=expires)

    async def delete_many(self, keys: Sequence[str]) -> None:
        if keys:
            with self._one("DELETE", count=-(-len(keys) // KEYS_PER_DELETE)):
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
        with self._one("LIST"):
            return await self.inner.list(
                prefix, start_after=start_after, cursor=cursor, delimiter=delimiter, limit=limit
            )

    async def stat(self, key: str) -> ObjectInfo:
        with self._one("HEAD"):
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
        began = perf_counter()
        counted = _Counted(chunks)
        outcome = OK
        try:
            return await self.inner.put_stream(
                key, counted, facts=facts, part_size=part_size, concurrency=concurrency, progress=progress
            )
        except BaseException as error:
            outcome = outcome_of(error)
            raise
        finally:
            requests = {"PUT": 1}
            if counted.size >= part_size:
                requests = {"PUT": -(-counted.size // part_size), "POST": 2}
            self._observer.uploaded(outcome, perf_counter() - began, counted.size, requests)

    @asynccontextmanager
    async def get_stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncGenerator[ObjectStream]:
        began = perf_counter()
        counted: _CountedStream | None = None
        outcome = OK
        try:
            async with self.inner.get_stream(key, start=start, end=end) as stream:
                counted = _CountedStream(stream)
                yield counted
        except BaseException as error:
            outcome = outcome_of(error)
            raise
        finally:
            self._observer.downloaded(outcome, perf_counter() - began, counted.read if counted else 0)

    async def copy(self, source: str, target: str, *, facts: Facts | None = None) -> Written:
        with self._one("HEAD"):
            pass
        with self._one("PUT"):
            return await self.inner.copy(source, target, facts=facts)

    async def get_tags(self, key: str) -> Mapping[str, str]:
        with self._one("GET"):
            return await self.inner.get_tags(key)

    async def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        with self._one("PUT"):
            await self.inner.set_tags(key, tags)

    async def create_upload(self, key: str, *, facts: Facts | None = None) -> str:
        began = perf_counter()
        with self._one("POST"):
            upload = await self.inner.create_upload(key, facts=facts)
        self._uploads[upload] = _Upload(began)
        if len(self._uploads) > _MOST_UPLOADS:
            self._uploads.popitem(last=False)
        return upload

    async def put_part(self, key: str, upload: str, number: int, body: bytes) -> str:
        with self._one("PUT", moved=len(body)):
            etag = await self.inner.put_part(key, upload, number, body)
        known = self._uploads.get(upload)
        if known is not None:
            known.size += len(body)
        return etag

    async def complete_upload(self, key: str, upload: str, parts: Sequence[tuple[int, str]]) -> Written:
        with self._one("POST"):
            written = await self.inner.complete_upload(key, upload, parts)
        known = self._uploads.pop(upload, None)
        if known is not None:
            self._observer.completed(perf_counter() - known.began, known.size)
        return written

    async def abort_upload(self, key: str, upload: str) -> None:
        self._uploads.pop(upload, None)
        with self._one("DELETE"):
            await self.inner.abort_upload(key, upload)

    async def list_uploads(self, prefix: str, *, cursor: str | None = None) -> UploadPage:
        with self._one("LIST"):
            return await self.inner.list_uploads(prefix, cursor=cursor)

    @contextmanager
    def _one(self, verb: str, *, moved: int = 0, count: int = 1) -> Generator[None]:
        began = perf_counter()
        outcome = OK
        try:
            yield
        except BaseException as error:
            outcome = outcome_of(error)
            raise
        finally:
            self._observer.requested(verb, outcome, perf_counter() - began, -1, moved, count)


@dataclass(slots=True)
class _Upload:
    """A multipart upload that was begun here. `size`: bytes of the parts that were sent here."""

    began: float
    size: int = 0


class _Counted:
    """The chunks of a body, counted as they pass. `size`: bytes so far."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.size = 0

    def __aiter__(self) -> _Counted:
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        self.size += len(chunk)
        return chunk


class _CountedStream:
    """An `ObjectStream` whose chunks are counted as they pass. `read`: bytes so far."""

    def __init__(self, inner: ObjectStream) -> None:
        self.size = inner.size
        self.etag = inner.etag
        self.read = 0
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self.read += len(chunk)
            yield chunk
