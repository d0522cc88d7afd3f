"""Counts the requests to a store by verb, sequential round trips, and bytes read and written.

A bucket is billed by requests and a client waits for round trips, so tests assert both and the benchmark shows them.
Verbs are the object verbs, not HTTP's: a conditional PUT is a PUT, DeleteObjects a DELETE, `check` a HEAD. A call
counts as the requests that S3 gets for it when nothing fails; retries inside a store are not counted
(https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html):

* `put_many` of n: n PUT, in parallel;
* `delete_many` of n keys: ceil(n / 1000) DELETE, one after the other;
* `stat`: one HEAD; `copy`: a HEAD, then a PUT; `get_tags` and `set_tags`: a GET and a PUT;
* the steps of a multipart upload: POST to create and complete, PUT per part, DELETE to abort, LIST; presigning: none;
* `put_stream`: one PUT below `part_size`; from there on one PUT per part, and the two POSTs that open and
  complete a multipart upload. It counts as one round trip, however long the body;
* `get_stream`: one GET, which ends when its context is left.

Bytes are those of bodies, offered or received; a refused PUT was offered too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

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

KEYS_PER_DELETE = 1000  # DeleteObjects takes no more


class Tally:
    """The requests to a store so far. `requests` is by verb, e.g. `{"GET": 1, "PUT": 4}`."""

    __slots__ = ("bytes_read", "bytes_written", "requests")

    def __init__(self) -> None:
        self.requests: dict[str, int] = {}
        self.bytes_read = 0
        self.bytes_written = 0

    def add(self, verb: str, count: int) -> None:
        self.requests[verb] = self.requests.get(verb, 0) + count


class Measurement(Tally):
    """The tally of one scope. `round_trips`: the longest chain of requests of which each had to wait for the one
    before.

    A request is one deeper than the deepest request of this scope that had finished when it started; parallel requests
    are equally deep. A failed request counts as a round trip too.
    """

    __slots__ = ("_finished", "_open", "_store", "round_trips")

    def __init__(self, store: MeteredStore) -> None:
        super().__init__()
        self.round_trips = 0
        self._finished = 0  # depth of the deepest finished request
        self._store = store
        self._open = True

    def concerns(self, store: MeteredStore) -> bool:
        """Returns whether this scope is open and counts for that store."""
        return self._open and self._store is store

    def close(self) -> None:
        """Stop counting. Needed because tasks that outlive the scope carry it in their context."""
        self._open = False

    def begin(self, verb: str, count: int) -> int:
        """A request starts, or `count` of them in sequence. Returns the depth of the last."""
        self.add(verb, count)
        depth = self._finished + count
        self.round_trips = max(self.round_trips, depth)
        return depth

    def end(self, depth: int) -> None:
        """A request of this depth finished or failed."""
        self._finished = max(self._finished, depth)


# The scopes around the running task. A ContextVar has to be module-level; it is a name, its values are per task.
_scopes: ContextVar[tuple[Measurement, ...]] = ContextVar("fhirstore_measurements", default=())

_Flight = list[tuple[Measurement, int]]  # a request under way: its depth in each scope it counts for


class MeteredStore(PassingOn):
    """An `ObjectStore` that counts and passes everything on. `totals`: all requests since it was made."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self.totals = Tally()

    @contextmanager
    def measure(self) -> Generator[Measurement]:
        """Count the requests of this task and its children to this store inside the block. Scopes may be nested."""
        scope = Measurement(self)
        token = _scopes.set((*_scopes.get(), scope))
        try:
            yield scope
        finally:
            _scopes.reset(token)
            scope.close()

    @property
    def decides_together(self) -> bool:
        return False

    async def check(self) -> None:
        flight = self._begin("HEAD")
        try:
            await self.inner.check()
        finally:
            _end(flight)

    async def get(self, key: str) -> StoredObject:
        flight = self._begin("GET")
        await _let_others_begin(flight)
        try:
            found = await self.inner.get(key)
            self._count_read(flight, len(found.body))
            return found
        finally:
            _end(flight)

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        flight = self._begin_put(len(body))
        await _let_others_begin(flight)
        try:
            return await self.inner.put(key, body, condition=condition, expires=expires, facts=facts)
        finally:
            _end(flight)

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        flight = [one for put in puts for one in self._begin_put(len(put.body))]
        await _let_others_begin(flight)
        try:
            return await self.inner.put_many(puts)
        finally:
            _end(flight)

    async def delete(self, key: str, *, expires: int | None = None) -> None:
        flight = self._begin("DELETE")
        try:
            await self.inner.delete(key, expires=expires)
        finally:
            _end(flight)

    async def delete_many(self, keys: Sequence[str]) -> None:
        flight = self._begin("DELETE", -(-len(keys) // KEYS_PER_DELETE)) if keys else []
        try:
            await self.inner.delete_many(keys)
        finally:
            _end(flight)

    async def list(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        cursor: str | None = None,
        delimiter: bool = False,
        limit: int = 1000,
    ) -> Page:
        flight = self._begin("LIST")
        try:
            return await self.inner.list(
                prefix, start_after=start_after, cursor=cursor, delimiter=delimiter, limit=limit
            )
        finally:
            _end(flight)

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
        flight = self._begin("PUT")
        try:
            counted = self._parts(flight, chunks, part_size)
            return await self.inner.put_stream(
                key, counted, facts=facts, part_size=part_size, concurrency=concurrency, progress=progress
            )
        finally:
            _end(flight)

    async def _parts(self, flight: _Flight, chunks: AsyncIterator[bytes], part_size: int) -> AsyncIterator[bytes]:
        sent = 0
        counted = 1  # the PUT that has begun: the whole body's, or the first part's
        in_parts = False
        async for chunk in chunks:
            sent += len(chunk)
            self._count_written(flight, len(chunk))
            if sent >= part_size:
                if not in_parts:
                    in_parts = True
                    self._count_more(flight, "POST", 2)
                parts = -(-sent // part_size)
                self._count_more(flight, "PUT", parts - counted)
                counted = parts
            yield chunk

    @asynccontextmanager
    async def get_stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncGenerator[ObjectStream]:
        flight = self._begin("GET")
        try:
            async with self.inner.get_stream(key, start=start, end=end) as stream:
                yield _CountedStream(self, flight, stream)
        finally:
            _end(flight)

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
        with self._one("POST"):
            return await self.inner.create_upload(key, facts=facts)

    async def put_part(self, key: str, upload: str, number: int, body: bytes) -> str:
        with self._one("PUT") as flight:
            self._count_written(flight, len(body))
            return await self.inner.put_part(key, upload, number, body)

    async def complete_upload(self, key: str, upload: str, parts: Sequence[tuple[int, str]]) -> Written:
        with self._one("POST"):
            return await self.inner.complete_upload(key, upload, parts)

    async def abort_upload(self, key: str, upload: str) -> None:
        with self._one("DELETE"):
            await self.inner.abort_upload(key, upload)

    async def list_uploads(self, prefix: str, *, cursor: str | None = None) -> UploadPage:
        with self._one("LIST"):
            return await self.inner.list_uploads(prefix, cursor=cursor)

    @contextmanager
    def _one(self, verb: str) -> Generator[_Flight]:
        flight = self._begin(verb)
        try:
            yield flight
        finally:
            _end(flight)

    def _begin(self, verb: str, count: int = 1) -> _Flight:
        self.totals.add(verb, count)
        return [(scope, scope.begin(verb, count)) for scope in _scopes.get() if scope.concerns(self)]

    def _begin_put(self, size: int) -> _Flight:
        flight = self._begin("PUT")
        self._count_written(flight, size)
        return flight

    def _count_more(self, flight: _Flight, verb: str, count: int) -> None:
        self.totals.add(verb, count)
        for scope, _ in flight:
            scope.add(verb, count)

    def _count_read(self, flight: _Flight, size: int) -> None:
        self.totals.bytes_read += size
        for scope, _ in flight:
            scope.bytes_read += size

    def _count_written(self, flight: _Flight, size: int) -> None:
        self.totals.bytes_written += size
        for scope, _ in flight:
            scope.bytes_written += size


async def _let_others_begin(flight: _Flight) -> None:
    """Let parallel requests begin before any of them ends, even on a store that answers without waiting."""
    if flight:
        await asyncio.sleep(0)


def _end(flight: _Flight) -> None:
    for scope, depth in flight:
        scope.end(depth)


class _CountedStream:
    """An `ObjectStream` whose chunks are counted as they pass."""

    def __init__(self, store: MeteredStore, flight: _Flight, inner: ObjectStream) -> None:
        self.size = inner.size
        self.etag = inner.etag
        self._store = store
        self._flight = flight
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._store._count_read(self._flight, len(chunk))
            yield chunk
