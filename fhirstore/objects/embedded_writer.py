"""The embedded store's one writer per process: a thread that commits whatever has queued up, in one go.

A disk syncs a few thousand times a second at best, and a sync costs the same for one row as for a hundred. So
requests queue while a commit is under way, and the next commit takes them all: one BEGIN IMMEDIATE … COMMIT, then all
answers at once. COMMIT is the commit point of every request in its batch. Conditions and windows are decided inside
the transaction, in the order of arrival, so each request sees the ones before it.

An answer is final only when its batch has committed. Should the commit fail, every request of the batch hears
OutcomeUnknown, refusals too, for they may rest on a row that never came to be.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from fhirstore.clock import Clock
from fhirstore.errors import ObjectError, OutcomeUnknown, PreconditionFailed, StoreBusy, WriteWindowClosed
from fhirstore.objects.base import Condition, IfAbsent, Written
from fhirstore.objects.embedded_database import is_busy, meaning
from fhirstore.objects.embedded_turn import Turn

_BATCH_REQUESTS = 1000
_BATCH_BYTES = 16 * 1024 * 1024
_PATIENCE = 30.0  # seconds to wait for other processes before the batch is told StoreBusy
_NAP = 0.0005  # seconds between tries when something other than a fhirstore holds SQLite's lock

_PUT = """
INSERT INTO objects (etag, size, modified, file, body, key) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET
    etag = excluded.etag, size = excluded.size, modified = excluded.modified, file = excluded.file, body = excluded.body
"""
_PUT_IF_ABSENT = """
INSERT INTO objects (etag, size, modified, file, body, key) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO NOTHING
"""
_PUT_IF_MATCH = """
UPDATE objects SET etag = ?, size = ?, modified = ?, file = ?, body = ? WHERE key = ? AND etag = ?
"""
_DELETE = "DELETE FROM objects WHERE key = ?"
_DELETE_MANY = "DELETE FROM objects WHERE key IN (SELECT value FROM json_each(?))"

# Which files the rows of a batch let go. Temporary triggers, so that they and the function are this connection's own.
_LET_GO = (
    "CREATE TEMP TRIGGER replaced AFTER UPDATE OF file ON main.objects WHEN old.file IS NOT NULL"
    " BEGIN SELECT let_go(old.file); END",
    "CREATE TEMP TRIGGER deleted AFTER DELETE ON main.objects WHEN old.file IS NOT NULL"
    " BEGIN SELECT let_go(old.file); END",
)


@dataclass(slots=True)
class PutRow:
    """Write one object, whose body is either here or already durable in `file`, which the writer owns from now on."""

    key: str
    etag: str
    size: int
    body: bytes | None
    file: str | None
    condition: Condition | None
    expires: int | None


@dataclass(slots=True)
class DeleteRows:
    """Remove these objects, absent ones included."""

    keys: tuple[str, ...]
    expires: int | None = None


@dataclass(slots=True)
class _Waiting:
    request: PutRow | DeleteRows
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Written]


_Answer = Written | ObjectError  # a delete is answered with a Written without ETag


class GroupWriter:
    """Owns the writing connection, the turn and the thread. `let_go` is called with files no row names any more."""

    def __init__(
        self, connection: sqlite3.Connection, turn: Turn, *, clock: Clock, let_go: Callable[[str], None]
    ) -> None:
        self.commits = 0
        self.requests = 0
        self._connection = connection
        self._cursor = connection.cursor()
        self._turn = turn
        self._clock = clock
        self._let_go = let_go
        self._gone: list[str] = []  # files let go by the transaction under way
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._closed = False
        connection.create_function("let_go", 1, self._gone.append)
        for trigger in _LET_GO:
            connection.execute(trigger)
        connection.execute("PRAGMA busy_timeout = 0")  # the turn keeps order; see _begin
        # A daemon, so that a program that forgets to close can end; what was acknowledged is durable anyway.
        self._thread = threading.Thread(target=self._run, name="fhirstore-writer", daemon=True)
        self._thread.start()

    def write(self, request: PutRow | DeleteRows) -> asyncio.Future[Written]:
        """Queue the request; the future is done once its batch has committed.

        Cancelling drops the request, unless its batch is already under way.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Written] = loop.create_future()
        if self._closed:
            answer.set_exception(OutcomeUnknown("", "the store is closed"))
        else:
            self._queue.put(_Waiting(request, loop, answer))
        return answer

    def close(self) -> None:
        """Commit what is queued, then end the thread and close the connection. Blocks; harmless when repeated."""
        self._closed = True
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        batch: list[_Waiting] = []
        try:
            while batch := self._next_batch():
                self._reply(batch, self._commit(batch))
        finally:
            # Also when a defect ends the thread: nobody may be left waiting, and no later request may queue.
            self._closed = True
            self._give_up_on([*batch, *self._drained()])
            self._connection.close()
            self._turn.close()

    def _next_batch(self) -> list[_Waiting]:
        """Wait for a request, then take all that are there, within bounds; empty when the store is closing."""
        waiting = self._queue.get()
        batch: list[_Waiting] = []
        size = 0
        while waiting is not None:
            if not waiting.answer.cancelled():
                batch.append(waiting)
                if isinstance(waiting.request, PutRow) and waiting.request.body is not None:
                    size += len(waiting.request.body)
            elif isinstance(waiting.request, PutRow) and waiting.request.file is not None:
                self._let_go(waiting.request.file)
            if len(batch) >= _BATCH_REQUESTS or size >= _BATCH_BYTES:
                return batch
            try:
                waiting = self._queue.get_nowait()
            except Empty:
                if batch:
                    return batch
                waiting = self._queue.get()
        if batch:
            self._queue.put(None)  # commit these first, then see the end again
        return batch

    def _commit(self, batch: list[_Waiting]) -> list[_Answer]:
        """Apply the batch in one transaction; one answer per request, final."""
        self._gone.clear()
        try:
            if not self._turn.take(_PATIENCE):
                return [StoreBusy(_key(waiting), "other processes keep the store busy") for waiting in batch]
            try:
                return self._transaction(batch)
            finally:
                self._turn.give_up()
        except OSError as error:
            return [OutcomeUnknown(_key(waiting), f"lock files: {error.strerror}") for waiting in batch]

    def _transaction(self, batch: list[_Waiting]) -> list[_Answer]:
        try:
            self._begin()
            answers = [self._apply(waiting) for waiting in batch]
            self._cursor.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._cursor.execute("ROLLBACK")
            self._gone.clear()
            kind = StoreBusy if is_busy(error) else OutcomeUnknown
            return [kind(_key(waiting), meaning(error)) for waiting in batch]
        self.commits += 1
        self.requests += len(batch)
        return answers

    def _begin(self) -> None:
        """The turn keeps other stores out; a backup tool or a closing connection may still hold SQLite's own lock."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self._cursor.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() >= deadline:
                    raise
                time.sleep(_NAP)
            else:
                return

    def _apply(self, waiting: _Waiting) -> _Answer:
        request = waiting.request
        try:
            return self._put(request) if isinstance(request, PutRow) else self._delete(request)
        except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError) as error:
            # This statement alone was undone. Errors of the disk end the whole transaction instead.
            return OutcomeUnknown(_key(waiting), meaning(error))
        except (ValueError, OverflowError) as error:
            return OutcomeUnknown("", f"the row cannot be bound: {type(error).__name__}")

    def _put(self, put: PutRow) -> _Answer:
        now = self._clock.now()
        if put.expires is not None and now > put.expires:
            return _late(put.key, now - put.expires)
        row = (put.etag, put.size, now, put.file, put.body, put.key)
        if put.condition is None:
            self._cursor.execute(_PUT, row)
        elif isinstance(put.condition, IfAbsent):
            if self._cursor.execute(_PUT_IF_ABSENT, row).rowcount == 0:
                return PreconditionFailed(put.key, "the key is taken")
        elif self._cursor.execute(_PUT_IF_MATCH, (*row, put.condition.etag)).rowcount == 0:
            return PreconditionFailed(put.key, "another version is there, or none")
        return Written(put.etag, now)

    def _delete(self, delete: DeleteRows) -> _Answer:
        now = self._clock.now()
        if delete.expires is not None and now > delete.expires:
            return _late(delete.keys[0], now - delete.expires)
        if len(delete.keys) == 1:
            self._cursor.execute(_DELETE, delete.keys)
        else:
            self._cursor.execute(_DELETE_MANY, (json.dumps(delete.keys),))
        return Written("", now)

    def _reply(self, batch: list[_Waiting], answers: list[_Answer]) -> None:
        """Wake every event loop once, then let go of the files that the batch made superfluous."""
        loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Written], _Answer]]] = {}
        for waiting, answer in zip(batch, answers, strict=True):
            loops.setdefault(waiting.loop, []).append((waiting.answer, answer))
            if isinstance(answer, ObjectError) and not isinstance(answer, OutcomeUnknown):
                file = waiting.request.file if isinstance(waiting.request, PutRow) else None
                if file is not None:
                    self._gone.append(file)
        for loop, pairs in loops.items():
            with suppress(RuntimeError):  # the loop was closed: nobody waits there any more
                loop.call_soon_threadsafe(_resolve, pairs)
        for name in self._gone:
            self._let_go(name)
        self._gone.clear()

    def _give_up_on(self, batch: list[_Waiting]) -> None:
        self._gone.clear()
        self._reply(batch, [OutcomeUnknown(_key(waiting), "the store is closed") for waiting in batch])

    def _drained(self) -> list[_Waiting]:
        rest: list[_Waiting] = []
        with suppress(Empty):
            while True:
                waiting = self._queue.get_nowait()
                if waiting is not None:
                    rest.append(waiting)
        return rest


def _resolve(pairs: list[tuple[asyncio.Future[Written], _Answer]]) -> None:
    for future, answer in pairs:
        if future.done():  # cancelled while its batch was under way
            continue
        if isinstance(answer, ObjectError):
            future.set_exception(answer)
        else:
            future.set_result(answer)


def _late(key: str, ago: int) -> WriteWindowClosed:
    return WriteWindowClosed(key, f"the window closed {ago} ms ago")


def _key(waiting: _Waiting) -> str:
    request = waiting.request
    return request.key if isinstance(request, PutRow) else ""
