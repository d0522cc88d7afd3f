"""The store that is a directory: one SQLite database and a folder of large bodies, for one machine and no services.

Small objects are rows. Reads run on the event loop (`reading`), because a row in the page cache costs less than a hop
to a thread; writes go to the group writer (`writer`), for one event loop at a time. Bodies above `large` bytes and all
streamed ones are files that a row names. Several processes may share the directory; it must not lie on a network file
system. The store survives kill -9 and power loss at any point: an acknowledged write is in the synced WAL, and a row
never names a file that is not synced. The writer enforces the write window, so this store behaves as a bucket does.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path

from fhirstore.batched import batched
from fhirstore.clock import Clock, SystemIds
from fhirstore.errors import ObjectError, StoreFull, StoreMisconfigured
from fhirstore.objects.base import (
    CONCURRENCY,
    PART_SIZE,
    Condition,
    GetAnswer,
    ObjectStream,
    Page,
    PutAnswer,
    PutRequest,
    StoredObject,
    Written,
)
from fhirstore.objects.embedded.body_streams import BytesStream
from fhirstore.objects.embedded.clock import SharedClock
from fhirstore.objects.embedded.database import DATABASE, StoreFiles, connect, meaning, prepare
from fhirstore.objects.embedded.existing import refuse_what_is_no_store
from fhirstore.objects.embedded.facts import pack_facts
from fhirstore.objects.embedded.large_bodies import IncomingBody, LargeBodies
from fhirstore.objects.embedded.pending import PendingUploads
from fhirstore.objects.embedded.reading import RowReader
from fhirstore.objects.embedded.receiving import Receiver
from fhirstore.objects.embedded.statements import CopyRow, DeleteRows, PutRow, Request, TagRow
from fhirstore.objects.embedded.uploads import Uploads
from fhirstore.objects.embedded.write_lock import WriteLock
from fhirstore.objects.embedded.writer import GroupWriter
from fhirstore.objects.etag import etag_of
from fhirstore.objects.facts import Facts, ObjectInfo, Progress, Steps, check_tags
from fhirstore.objects.fullness import why_sqlite
from fhirstore.objects.parallel_gets import get_answered
from fhirstore.objects.presigned import WithoutUrls
from fhirstore.objects.uploads import UploadPage, check_parts

LARGE = 256 * 1024  # bytes; above it a file is cheaper than overflow pages that pass through the WAL
_DELETES = 250  # keys per request of a batch delete: a few ms of the event loop
_OPENING = 30.0  # seconds to wait for other processes that open or write
_BUSY = 5.0  # seconds the writing connection waits while it is set up

_NAMED = "SELECT 1 FROM bodies WHERE file = ?"
_RECENT = 4096  # bodies written lately whose key is remembered, so that they can be shared


class EmbeddedStore(WithoutUrls):
    """An `ObjectStore` in a directory. Make one with `open`, end it with `aclose`."""

    def __init__(self, directory: Path, lock: WriteLock, *, clock: Clock | None, large: int) -> None:
        """Blocks and needs a database that is `prepare`d: use `open`."""
        self._directory = directory
        self._large = large
        ids = SystemIds()
        self._bodies = LargeBodies(directory, ids)
        self._rows = RowReader(directory, self._bodies)
        reached = self._rows.reached()
        self._files = StoreFiles(directory)
        self._clock = SharedClock(directory, clock, high=reached)
        self._recent: dict[str, str] = {}  # ETag -> the key that it was last written to
        self._stopping = threading.Event()
        self._tasks: set[asyncio.Task[Sequence[PutAnswer]]] = set()  # PUTs that go on when their caller is gone
        self._sweeper = ThreadPoolExecutor(1, thread_name_prefix="fhirstore-sweeper")
        self._writer = GroupWriter(
            connect(directory, patience=_BUSY),
            lock,
            clock=self._clock,
            files=self._files,
            remove_file=self._remove_file,
        )
        self._receiver = Receiver(self._bodies, self._sweeper, self._writer.fullness)
        self._pending = PendingUploads(directory, ids)
        self._uploads = Uploads(self._pending, self._receiver, self._written, self._clock)
        self._sweeper.submit(self._remove_orphans)

    @classmethod
    async def open(
        cls, directory: Path, *, clock: Clock | None = None, large: int = LARGE, create: bool = True
    ) -> EmbeddedStore:
        """Open the store in `directory`. With `create`, both are made where they do not exist.

        Bodies over `large` bytes become files. Raises StoreMisconfigured with one line of advice.
        """
        return await asyncio.to_thread(cls._open, directory, clock, large, create=create)

    @classmethod
    def _open(cls, directory: Path, clock: Clock | None, large: int, *, create: bool) -> EmbeddedStore:
        directory = directory.absolute()
        if not create:
            refuse_what_is_no_store(directory)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with ExitStack() as undo:
                lock = WriteLock(directory)
                undo.callback(lock.close)
                if not lock.acquire(_OPENING):
                    raise StoreMisconfigured("", f"{directory}: another process keeps the write lock; end that one")
                prepare(directory)
                store = cls(directory, lock, clock=clock, large=large)
                lock.release()
                undo.pop_all()
                return store
        except (FileExistsError, NotADirectoryError):
            raise StoreMisconfigured("", f"{directory} is a file or lies in one; name a directory") from None
        except OSError as error:
            raise StoreMisconfigured("", f"{directory}: {error.strerror}; name a directory to write to") from error
        except sqlite3.Error as error:
            full = why_sqlite(error, directory / DATABASE)
            raise StoreMisconfigured("", f"{directory}: {full or meaning(error)}") from error

    @property
    def location(self) -> str:
        return f"file:{self._directory}"

    @property
    def commits(self) -> int:
        """Transactions committed by this process since it opened the store; each may hold many requests."""
        return self._writer.commits

    @property
    def decides_together(self) -> bool:
        return True

    def now(self) -> int:
        return self._clock.now()

    @property
    def clock_error(self) -> int:
        return 0

    def writes(self) -> int | None:
        return self._rows.writes()

    async def check(self) -> None:
        try:
            self._files.check("nothing is written")
            disk = os.statvfs(self._directory)
            self._rows.check()
        except OSError as error:
            raise StoreMisconfigured("", f"{self.location}: {error.strerror}; the store's files are gone") from error
        except sqlite3.Error as error:
            raise StoreMisconfigured("", f"{self.location}: {meaning(error)}") from error
        if disk.f_flag & os.ST_RDONLY:
            raise StoreFull(self.location, "the disk is read-only; make it writable")
        if disk.f_bavail * disk.f_frsize < self._large:
            raise StoreFull(self.location, "the disk is full; free some space")
        await self._writer.fullness.try_again(self)

    async def get(self, key: str) -> StoredObject:
        date = self._clock.now()  # before the read: the process may be stopped between the two
        found = self._rows.small(key, date)
        if found is not None:
            return found
        opened = self._rows.open_body(key, date)
        if isinstance(opened, BytesStream):
            return StoredObject(bytes(opened.view), opened.etag, date)
        with closing(opened.file):
            return StoredObject(b"".join([chunk async for chunk in opened]), opened.etag, date)

    async def get_many(self, keys: Sequence[str]) -> Sequence[GetAnswer]:
        date = self._clock.now()
        found = self._rows.small_ones(keys, date)
        return [found.get(key) or await get_answered(self, key) for key in keys]

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        kept = None if facts is None else pack_facts(key, facts)
        if len(body) > self._large:
            received = await self._receiver.receive(key, _once(body))
            row = PutRow(key, received.etag, received.size, None, received.name, condition, expires, facts=kept)
        else:
            etag = etag_of(body)
            twin = self._twin(key, etag)
            row = PutRow(key, etag, len(body), body, None, condition, expires, twin=twin, facts=kept)
        return await self._written(row)

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        """In one commit, unless a body goes to a file; in the order given."""
        etags: dict[int, str] = {}  # by the body's identity: a version's two objects share one
        rows: list[PutRow] = []
        for put in puts:
            body = put.body
            size = len(body)
            if size > self._large:
                return await self._put_large(puts)
            etag = etags.get(id(body))
            if etag is None:
                etag = etags[id(body)] = etag_of(body)
            twin = self._twin(put.key, etag) if size else None
            kept = None if put.facts is None else pack_facts(put.key, put.facts)
            rows.append(PutRow(put.key, etag, size, body, None, put.condition, put.expires, put.follows, twin, kept))
        return await self._writer.write(*rows)

    def _twin(self, key: str, etag: str) -> str | None:
        """Returns another key that may have the same body; the writer checks whether it has."""
        twin = self._recent.get(etag)
        if twin is not None and twin != key:
            return twin
        if len(self._recent) >= _RECENT:
            self._recent.clear()
        self._recent[etag] = key
        return None

    async def _put_large(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        """Write large bodies to files, each once; then all in one commit."""
        task = asyncio.create_task(self._put_files_first(puts))
        if not puts[-1].follows:
            return await task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def _put_files_first(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        files: dict[int, tuple[str, IncomingBody]] = {}  # by the body's identity: the first key that has it, its file
        rows: list[PutRow] = []
        try:
            for put in puts:
                body = put.body
                kept = None if put.facts is None else pack_facts(put.key, put.facts)
                if len(body) <= self._large:
                    etag, size = etag_of(body), len(body)
                    rows.append(
                        PutRow(put.key, etag, size, body, None, put.condition, put.expires, put.follows, facts=kept)
                    )
                    continue
                if id(body) not in files:
                    files[id(body)] = put.key, await self._receiver.receive(put.key, _once(body))
                first, file = files[id(body)]
                twin = first if first != put.key else None
                rows.append(
                    PutRow(
                        put.key,
                        file.etag,
                        file.size,
                        None,
                        file.name,
                        put.condition,
                        put.expires,
                        put.follows,
                        twin,
                        kept,
                    )
                )
        except BaseException as error:
            for _, file in files.values():
                self._receiver.abandon(file)
            if isinstance(error, ObjectError):  # no row was written, so this is the answer to each PUT
                return [type(error)(put.key, error.detail) for put in puts]
            raise
        return await self._writer.write(*rows)

    async def delete(self, key: str, *, expires: int | None = None) -> None:
        await self._written(DeleteRows((key,), expires))

    async def delete_many(self, keys: Sequence[str]) -> None:
        for some in batched(keys, _DELETES):
            await self._written(DeleteRows(tuple(some)))

    async def list(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        cursor: str | None = None,
        delimiter: bool = False,
        limit: int = 1000,
    ) -> Page:
        return await self._rows.page(prefix, start_after=start_after, cursor=cursor, delimiter=delimiter, limit=limit)

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
        """Needs no parts: a chunk at a time goes to the file. `progress` is told of each `part_size` bytes."""
        check_parts(key, part_size, concurrency)
        kept = pack_facts(key, facts)
        received = await self._receiver.receive(key, chunks, Steps(progress, part_size))
        row = PutRow(key, received.etag, received.size, None, received.name, None, None, facts=kept)
        return await self._written(row)

    async def stat(self, key: str) -> ObjectInfo:
        return self._rows.info(key, self._clock.now())

    @asynccontextmanager
    async def get_stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[ObjectStream]:
        found = self._rows.open_body(key, self._clock.now())
        if isinstance(found, BytesStream):
            found.view = found.view[start:end]
            yield found
            return
        found.start, found.end = start, found.size if end is None else min(end, found.size)
        found.whole = start == 0 and end is None
        try:
            yield found
        finally:
            found.file.close()

    async def copy(self, source: str, target: str, *, facts: Facts | None = None) -> Written:
        """One small transaction, whatever the size: both objects share the body."""
        return await self._written(CopyRow(target, source, facts is not None, pack_facts(target, facts)))

    async def get_tags(self, key: str) -> Mapping[str, str]:
        return self._rows.tags(key, self._clock.now())

    async def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        check_tags(key, tags)
        await self._written(TagRow(key, tags))

    async def create_upload(self, key: str, *, facts: Facts | None = None) -> str:
        return await self._uploads.create(key, facts)

    async def put_part(self, key: str, upload: str, number: int, body: bytes) -> str:
        return await self._uploads.part(key, upload, number, body)

    async def complete_upload(self, key: str, upload: str, parts: Sequence[tuple[int, str]]) -> Written:
        return await self._uploads.complete(key, upload, parts)

    async def abort_upload(self, key: str, upload: str) -> None:
        await self._uploads.abort(key, upload)

    async def list_uploads(self, prefix: str, *, cursor: str | None = None) -> UploadPage:
        return await self._uploads.page(prefix, cursor)

    async def aclose(self) -> None:
        """Commit what is queued, then release threads, connections and locks."""
        self._stopping.set()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._writer.close()
        await asyncio.to_thread(self._sweeper.shutdown)
        self._rows.close()
        self._clock.close()

    async def _written(self, request: Request) -> Written:
        (answer,) = await self._writer.write(request)
        if isinstance(answer, ObjectError):
            raise answer
        return answer

    def _remove_file(self, name: str) -> None:
        self._sweeper.submit(self._bodies.remove, name)

    def _remove_orphans(self) -> None:
        with closing(connect(self._directory, patience=_OPENING)) as connection:
            self._bodies.remove_orphans(
                lambda name: connection.execute(_NAMED, (name,)).fetchone() is not None, self._stopping
            )
        self._pending.remove_stale(self._stopping)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
