"""The store that is a directory: one SQLite database and a folder of large bodies, for one machine and no services.

Small objects are rows. Reads run inline on the event loop, for a row in the page cache costs less than handing the
read to a thread and back; writes go to the group writer, for one event loop at a time. Bodies above `large` bytes and
all streamed ones are files whose rows name them. Several processes may share the directory; a network file system is
not for it. It survives kill -9 and power loss at any point: an acknowledged write is in the synced WAL, and a row
never names a file that is not synced. The write window is enforced in the writer, so this store behaves as a bucket.
What is read is checked (`embedded_bodies`): bytes that are not those that were written raise ObjectDamaged.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from pathlib import Path

from fhirstore.batched import batched
from fhirstore.clock import Clock, SystemIds
from fhirstore.errors import (
    ObjectDamaged,
    ObjectError,
    ObjectNotFound,
    OutcomeUnknown,
    StoreBusy,
    StoreDamaged,
    StoreFull,
    StoreMisconfigured,
    StoreUnavailable,
)
from fhirstore.objects.base import Condition, ObjectStream, Page, PutAnswer, PutRequest, StoredObject, Written
from fhirstore.objects.embedded.bodies import Unpacker, seal_of
from fhirstore.objects.embedded.body_streams import CHUNK, BytesStream, FileStream, gathered
from fhirstore.objects.embedded.clock import SharedClock
from fhirstore.objects.embedded.database import DATABASE, StoreFiles, connect, is_busy, is_damage, meaning, prepare
from fhirstore.objects.embedded.existing import refuse_what_is_no_store
from fhirstore.objects.embedded.large_bodies import IncomingBody, LargeBodies
from fhirstore.objects.embedded.listing import behind_damage, list_page
from fhirstore.objects.embedded.statements import DeleteRows, PutRow
from fhirstore.objects.embedded.turn import Turn
from fhirstore.objects.embedded.writer import GroupWriter
from fhirstore.objects.etag import OF_NOTHING, etag_of
from fhirstore.objects.fullness import why_os, why_sqlite

LARGE = 256 * 1024  # bytes; above it a file is cheaper than overflow pages that pass through the WAL
_DELETES = 250  # keys per request of a batch delete: a few ms of the event loop
_OPENING = 30.0  # seconds to wait for other processes that open or write
_READING = 5.0  # seconds a read waits in the rare moments SQLite locks readers out: recovery, the last close
_TRIES = 20  # times a body may be replaced between reading its row and opening its file

_GET = """
SELECT o.seal, o.body, b.etag, b.size, b.file, b.packed FROM objects o LEFT JOIN bodies b ON b.id = o.body
WHERE o.key = ?
"""
_BESIDE = """
SELECT * FROM (
    SELECT key, seal, body, (SELECT etag FROM bodies WHERE id = body) FROM objects
    WHERE key < ?1 ORDER BY key DESC LIMIT 1
) UNION ALL SELECT * FROM (
    SELECT key, seal, body, (SELECT etag FROM bodies WHERE id = body) FROM objects
    WHERE key > ?1 ORDER BY key LIMIT 1
)
"""
_NAMED = "SELECT 1 FROM bodies WHERE file = ?"
_HIGH = "SELECT high FROM clock"
_RECENT = 4096  # bodies written of which it is known which key has them


_Row = tuple[bytes | None, str, str | None, int]
"""The frame of a body, None where it is empty or a file; ETag, file, size."""


class EmbeddedStore:
    """An `ObjectStore` in a directory. Make one with `open`, end it with `aclose`."""

    def __init__(self, directory: Path, turn: Turn, *, clock: Clock | None, large: int) -> None:
        """Blocks and needs a database that is `prepare`d: use `open`."""
        self._directory = directory
        self._large = large
        self._bodies = LargeBodies(directory, SystemIds())
        self._reader = connect(directory, patience=_READING)
        high = _highest(self._reader)
        self._files = StoreFiles(directory)
        self._clock = SharedClock(directory, clock, high=high)
        self._unpack = Unpacker().unpack
        self._recent: dict[str, str] = {}  # ETag -> the key that it was last written to
        self._stopping = threading.Event()
        self._tasks: set[asyncio.Task[Sequence[PutAnswer]]] = set()  # PUTs that go on, whatever becomes of who asked
        self._sweeper = ThreadPoolExecutor(1, thread_name_prefix="fhirstore-sweeper")
        self._writer = GroupWriter(
            connect(directory, patience=_READING), turn, clock=self._clock, files=self._files, let_go=self._let_go
        )
        self._sweeper.submit(self._remove_orphans)

    @classmethod
    async def open(
        cls, directory: Path, *, clock: Clock | None = None, large: int = LARGE, create: bool = True
    ) -> EmbeddedStore:
        """Open the store in `directory`; with `create`, making both where they do not exist.

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
                turn = Turn(directory)
                undo.callback(turn.close)
                if not turn.take(_OPENING):
                    raise StoreMisconfigured("", f"{directory}: another process keeps the write lock; end that one")
                prepare(directory)
                store = cls(directory, turn, clock=clock, large=large)
                turn.give_up()
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

    async def check(self) -> None:
        try:
            self._files.check("nothing is written")
            disk = os.statvfs(self._directory)
            self._reader.execute("SELECT 1 FROM objects, clock LIMIT 1").fetchone()
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
        date = self._clock.now()  # before the read: a process may be stopped between the two
        packed, etag, file, size = self._row(key, date)
        if packed is not None:
            body = self._unpack(packed, size)
        elif file is None:
            body = b""
        else:
            async with self.get_stream(key) as stream:
                body, etag = b"".join([chunk async for chunk in stream]), stream.etag
        if body is None:
            raise ObjectDamaged(key, "its body is damaged", etag=etag, date=date)
        return StoredObject(body, etag, date)

    async def put(
        self, key: str, body: bytes, *, condition: Condition | None = None, expires: int | None = None
    ) -> Written:
        if len(body) > self._large:
            received = await self._receive(key, _once(body))
            row = PutRow(key, received.etag, received.size, None, received.name, condition, expires)
        else:
            etag = etag_of(body)
            row = PutRow(key, etag, len(body), body, None, condition, expires, twin=self._twin(key, etag))
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
            rows.append(PutRow(put.key, etag, size, body, None, put.condition, put.expires, put.follows, twin))
        return await self._writer.write(*rows)

    def _twin(self, key: str, etag: str) -> str | None:
        """Another key that may have the same body; the writer sees whether it has."""
        twin = self._recent.get(etag)
        if twin is not None and twin != key:
            return twin
        if len(self._recent) >= _RECENT:
            self._recent.clear()
        self._recent[etag] = key
        return None

    async def _put_large(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        """Some bodies go to files first, each once; then all in one commit."""
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
                if len(body) <= self._large:
                    etag = etag_of(body)
                    rows.append(PutRow(put.key, etag, len(body), body, None, put.condition, put.expires, put.follows))
                    continue
                if id(body) not in files:
                    files[id(body)] = put.key, await self._receive(put.key, _once(body))
                first, file = files[id(body)]
                twin = first if first != put.key else None
                rows.append(
                    PutRow(
                        put.key, file.etag, file.size, None, file.name, put.condition, put.expires, put.follows, twin
                    )
                )
        except BaseException as error:
            for _, file in files.values():
                self._sweeper.submit(file.abandon)
            if isinstance(error, ObjectError):  # no row was written, so it is the answer to each
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
        try:
            return list_page(
                self._reader, prefix, start_after=start_after, cursor=cursor, delimiter=delimiter, limit=limit
            )
        except sqlite3.Error as error:
            if not is_damage(error):
                raise _unread(prefix, error) from error
            with suppress(sqlite3.Error):
                return list_page(
                    self._reader,
                    prefix,
                    start_after=start_after,
                    cursor=cursor,
                    delimiter=delimiter,
                    limit=limit,
                    bare=True,
                )
            behind = max(prefix, start_after or "", cursor or "")
            resume = await asyncio.to_thread(behind_damage, self._directory, prefix, behind)
            raise StoreDamaged(prefix, meaning(error), resume=resume) from error

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> Written:
        received = await self._receive(key, chunks)
        return await self._written(PutRow(key, received.etag, received.size, None, received.name, None, None))

    @asynccontextmanager
    async def get_stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[ObjectStream]:
        found = self._open_body(key)
        if isinstance(found, BytesStream):
            found.view = found.view[start:end]
            yield found
            return
        found.start, found.end = start, found.size if end is None else min(end, found.size)
        try:
            yield found
        finally:
            found.file.close()

    async def aclose(self) -> None:
        """Commit what is queued, then release threads, connections and locks."""
        self._stopping.set()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._writer.close()
        await asyncio.to_thread(self._sweeper.shutdown)
        self._reader.close()
        self._clock.close()

    async def _written(self, request: PutRow | DeleteRows) -> Written:
        (answer,) = await self._writer.write(request)
        if isinstance(answer, ObjectError):
            raise answer
        return answer

    def _row(self, key: str, date: int) -> _Row:
        """`date`: epoch ms, before it is read."""
        try:
            row = self._reader.execute(_GET, (key,)).fetchone()
            if row is None:
                self._really_absent(key, date)
                raise ObjectNotFound(key, date=date)
        except sqlite3.Error as error:
            if is_damage(error):
                raise ObjectDamaged(key, meaning(error), date=date) from error
            raise _unread(key, error) from error
        seal, body, etag, size, file, packed = row
        if body is None:
            etag, size, packed = OF_NOTHING, 0, None
        if not _is_sealed(key, etag, seal) or (body is not None and file is None and not isinstance(packed, bytes)):
            raise ObjectDamaged(key, "its row is damaged", etag=etag if isinstance(etag, str) else "", date=date)
        return packed, etag, file, size

    def _really_absent(self, key: str, date: int) -> None:
        """Raises ObjectDamaged where a key beside is damaged: it may be this one."""
        for beside, seal, body, etag in self._reader.execute(_BESIDE, (key,)):
            if not _is_sealed(beside, OF_NOTHING if body is None else etag, seal):
                raise ObjectDamaged(key, "a row where it would be is damaged", date=date)

    def _open_body(self, key: str) -> BytesStream | FileStream:
        """The whole object as a stream; starts over when its file is replaced before it is open."""
        missing = None
        for _ in range(_TRIES):
            date = self._clock.now()
            packed, etag, name, size = self._row(key, date)
            if name is None:
                body = b"" if packed is None else self._unpack(packed, size)
                if body is None:
                    raise ObjectDamaged(key, "its body is damaged", etag=etag, date=date)
                return BytesStream(size, etag, memoryview(body))
            try:
                file = self._bodies.open(name)
            except FileNotFoundError as error:
                if name == missing:
                    detail = "its body file is missing; restore it from a backup"
                    raise ObjectDamaged(key, detail, etag=etag, date=date) from error
                missing = name
            except OSError as error:
                raise StoreUnavailable(key, f"its body file: {error.strerror}") from error
            else:
                return FileStream(size, etag, key, file, 0, size)
        raise StoreBusy(key, "it is being replaced faster than it can be opened")

    async def _receive(self, key: str, chunks: AsyncIterator[bytes]) -> IncomingBody:
        """Make a durable file of the chunks, in threads; abandon it when they break off."""
        body = self._bodies.begin()
        try:
            async for piece in gathered(chunks, CHUNK):
                await _on_disk(key, body.append, piece)
            await _on_disk(key, body.finish)
        except StoreFull:
            self._writer.fullness.note(body.size)
            self._sweeper.submit(body.abandon)
            raise
        except BaseException:
            self._sweeper.submit(body.abandon)
            raise
        return body

    def _let_go(self, name: str) -> None:
        self._sweeper.submit(self._bodies.remove, name)

    def _remove_orphans(self) -> None:
        with closing(connect(self._directory, patience=_OPENING)) as connection:
            self._bodies.remove_orphans(
                lambda name: connection.execute(_NAMED, (name,)).fetchone() is not None, self._stopping
            )


def _highest(connection: sqlite3.Connection) -> int:
    """The time of the last commit, epoch ms; 0 where it is damaged, for a store that can still be read."""
    try:
        (high,) = connection.execute(_HIGH).fetchone()
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        return 0
    return int(high)


def _is_sealed(key: str, etag: str, seal: int) -> bool:
    """Is the row what was written? In a damaged one a value may be anything."""
    try:
        return seal_of(key, etag) == seal
    except (TypeError, AttributeError):
        return False


def _unread(key: str, error: sqlite3.Error) -> StoreBusy | StoreUnavailable:
    return StoreBusy(key, meaning(error)) if is_busy(error) else StoreUnavailable(key, meaning(error))


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _on_disk(key: str, act: Callable[..., None], *chunk: bytes) -> None:
    """Run a blocking step of writing a body file in a thread."""
    try:
        await asyncio.to_thread(act, *chunk)
    except OSError as error:
        if (why := why_os(error)) is not None:
            raise StoreFull(key, why) from error
        raise OutcomeUnknown(key, f"its body file: {error.strerror}; nothing was written") from error
