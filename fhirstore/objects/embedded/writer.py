"""The embedded store's one writer per process: whatever has queued up is committed together.

A disk syncs a few thousand times a second at best, and a sync costs the same for one row as for a hundred. So
requests queue while a commit is under way, and the next commit takes them all, then all hear their answers at once.
As soon as enough have queued up the thread begins, while the event loop goes on with what brings the next ones.
The commit of their transaction is the commit point of every request in a batch. Conditions and windows are decided
inside it, in the order of arrival, so each request sees the ones before it.

A batch of PUTs whose conditions hold, nearly every one, is a single statement (`embedded_inbox`) that runs in a thread.
Other batches go statement by statement (`embedded_statements`) on the event loop, some 5 µs each: a thread would spend
more on taking turns with the loop at the interpreter than on the work. What may wait runs in the thread: COMMIT, which
syncs, and the wait for other processes.

Before and after each commit the writer looks whether the database is still in its directory: nobody shall hear that
something was written which is gone when the process ends.

An answer is final only when its batch has committed. Should the commit fail, every request of the batch hears
OutcomeUnknown, refusals too, for they may rest on a row that never came to be.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec

from fhirstore.clock import Clock
from fhirstore.errors import NotFollowed, ObjectError, OutcomeUnknown, StoreBusy, StoreFull, StoreGone
from fhirstore.objects.base import PutAnswer, Written
from fhirstore.objects.embedded.bodies import Packer
from fhirstore.objects.embedded.database import StoreFiles, is_busy, meaning
from fhirstore.objects.embedded.inbox import Inbox, Row, time_row
from fhirstore.objects.embedded.statements import DeleteRows, PutRow, Statements, key_of, row_of
from fhirstore.objects.embedded.turn import Turn
from fhirstore.objects.fullness import Fullness, why_os, why_sqlite

_BATCH_ROWS = 256  # bounds the time a batch's statements keep the event loop: one or two ms
_BATCH_BYTES = 2 * 1024 * 1024
_ENOUGH = 24  # calls that are worth a commit while others are still on their way
_QUIET_ROUNDS = 4  # of the event loop; a request needs three from its socket to its first PUT
_PATIENCE = 30.0  # seconds to wait for other processes before the batch is told StoreBusy
_NAP = 0.0005  # seconds between tries when something other than a fhirstore holds SQLite's lock

# Which files a batch let go. A temporary trigger, so that it and the function are this connection's own.
_LET_GO = (
    "CREATE TEMP TRIGGER let_go_of_file AFTER DELETE ON main.bodies WHEN old.file IS NOT NULL"
    " BEGIN SELECT let_go(old.file); END"
)
_NAMED = "SELECT 1 FROM bodies WHERE file = ?"
_KEEP_TIME = "UPDATE clock SET high = ? WHERE high < ?"


class _Waiting(msgspec.Struct):
    """Requests of one call. Their `answers` come together."""

    requests: tuple[PutRow | DeleteRows, ...]
    answers: asyncio.Future[list[PutAnswer]]

    @property
    def stays(self) -> bool:
        """Whoever asked for a PUT that follows others counts on it, even when gone meanwhile."""
        last = self.requests[-1]
        return isinstance(last, PutRow) and last.follows


class _Begun(msgspec.Struct):
    """A batch under way since `now`, epoch ms. `accepted`: what the thread makes of it; None: it takes several
    statements. `gone`: why it is not begun at all."""

    batch: list[_Waiting]
    now: int
    accepted: Future[bool] | None = None
    gone: StoreGone | None = None


_Answers = list[list[PutAnswer]]  # of a batch


class GroupWriter:
    """Owns the writing connection and the turn. `let_go` is called with files no row names any more.

    For one event loop at a time. The connection is used by the loop or by the thread, never by both: one task leads
    each batch through both in turn.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        turn: Turn,
        *,
        clock: Clock,
        files: StoreFiles,
        let_go: Callable[[str], None],
    ) -> None:
        self.commits = 0
        self.fullness = Fullness()
        self._database = Path(connection.execute("PRAGMA database_list").fetchone()[2])
        self._connection = connection
        self._cursor = connection.cursor()
        self._inbox = Inbox(connection)
        self._packer = Packer()
        self._statements = Statements(self._cursor, self._inbox, clock, self._packer)
        self._turn = turn
        self._clock = clock
        self._files = files
        self._let_go = let_go
        self._gone: list[str] = []  # files let go by the transaction under way
        self._queue: deque[_Waiting] = deque()
        self._begun: _Begun | None = None  # the batch that is under way, or about to be
        self._task: asyncio.Task[None] | None = None  # commits batch after batch; None while nothing is queued
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fhirstore-writer")
        self._closed = False  # nothing is queued any more
        self._released = False  # the connection and the turn are no longer ours
        connection.create_function("let_go", 1, self._gone.append)
        connection.execute(_LET_GO)
        connection.execute("PRAGMA busy_timeout = 0")  # the turn keeps order; see _begin

    def write(self, *requests: PutRow | DeleteRows) -> asyncio.Future[list[PutAnswer]]:
        """Queue the requests, which stay together; the future has their answers once their batch has committed.

        Cancelling drops the requests, unless their batch is already under way, or one of them follows the others.
        """
        loop = asyncio.get_running_loop()
        if self._task is not None and self._task.get_loop() is not loop:
            raise RuntimeError("an embedded store serves one event loop at a time")
        waiting = _Waiting(requests, loop.create_future())
        if self._closed:
            waiting.answers.set_result(*_all_told([waiting], OutcomeUnknown, "the store is closed"))
            return waiting.answers
        self._queue.append(waiting)
        if self._task is None:
            self._task = loop.create_task(self._run(), name="fhirstore-writer")
        if self._begun is None and len(self._queue) >= _ENOUGH:
            self._begun = self._begin_batch()
        return waiting.answers

    async def close(self) -> None:
        """Commit what is queued, then end the thread and close the connection. Harmless when repeated."""
        self._closed = True
        if self._task is not None:
            await asyncio.wait([self._task])
        if not self._released:
            self._released = True
            self._thread.submit(self._release)
        await asyncio.to_thread(self._thread.shutdown)

    def _release(self) -> None:
        """Keep the time that readers may have been told since the last commit, then let go of all."""
        now = self._clock.now()
        with suppress(sqlite3.Error, OSError):  # it is kept for a clock that is set back before the next start
            if self._turn.take(_PATIENCE):
                self._connection.execute(_KEEP_TIME, (now, now))
        self._connection.close()
        self._turn.close()

    async def _run(self) -> None:
        """Commit batch after batch until nothing is queued."""
        try:
            while self._queue or self._begun:
                if self._begun is None:
                    await self._gather()
                begun = self._begun = self._begun or self._begin_batch()
                answers = await self._commit(begun) if begun.batch else []
                self._begun = None
                self._reply(begun.batch, answers)
        except BaseException:
            batch = [] if self._begun is None else self._begun.batch
            # The loop ends, or this has a defect: nobody may be left waiting, and no later request may queue.
            self._closed = True
            self._gone.clear()
            batch.extend(self._queue)
            self._queue.clear()
            self._reply(batch, _all_told(batch, OutcomeUnknown, "the store is closed"))
            raise
        finally:
            self._task = None

    async def _gather(self) -> None:
        """Let those join who are on their way: wait until the loop has come round some times and brought nobody.

        A loop with nothing else to do comes round in microseconds; a busy one brings many, and a commit of one
        costs nearly what a commit of ten does. Once there are enough, `write` begins by itself.
        """
        known, quiet = len(self._queue), 0
        while quiet < _QUIET_ROUNDS and known < _ENOUGH and self._begun is None:
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self._queue) == known else 0
            known = len(self._queue)

    def _next_batch(self) -> list[_Waiting]:
        """All that is queued, within bounds."""
        batch: list[_Waiting] = []
        count = size = 0
        while self._queue and count < _BATCH_ROWS and size < _BATCH_BYTES:
            waiting = self._queue.popleft()
            if waiting.answers.cancelled() and not waiting.stays:
                for request in waiting.requests:
                    if isinstance(request, PutRow) and request.file is not None:
                        self._let_go(request.file)
                continue
            batch.append(waiting)
            for request in waiting.requests:
                if isinstance(request, DeleteRows):
                    count += len(request.keys)
                else:
                    count += 1
                    size += len(request.body or b"")
        return batch

    def _begin_batch(self) -> _Begun:
        """Take what is queued and hand it to the thread, if it is one statement."""
        batch = self._next_batch()
        self._gone.clear()
        now = self._clock.now()
        try:
            self._files.check("nothing was written")
        except StoreGone as gone:
            return _Begun(batch, now, gone=gone)
        puts: list[PutRow] = []
        windows: set[int | None] = set()
        for waiting in batch:
            for put in waiting.requests:
                if isinstance(put, DeleteRows):
                    return _Begun(batch, now)
                windows.add(put.expires)
                puts.append(put)
        expires = min((end for end in windows if end is not None), default=None)
        if not puts:
            return _Begun(batch, now)
        packed: dict[str, bytes] = {}  # by ETag
        rows: list[Row] = []
        for put in puts:
            if put.body and put.etag not in packed:
                packed[put.etag] = self._packer.pack(put.body)
            rows.append(row_of(put, now, packed[put.etag] if put.body else None))
        return _Begun(batch, now, self._thread.submit(self._take_in, rows, expires))

    async def _commit(self, begun: _Begun) -> _Answers:
        """See the batch through; the answers are final."""
        batch, loop = begun.batch, asyncio.get_running_loop()
        try:
            if begun.gone is not None:
                raise begun.gone
            if begun.accepted is not None:
                if await asyncio.wrap_future(begun.accepted):
                    self._files.check("what was being written may be lost")
                    self.commits += 1
                    return [
                        [Written(put.etag, begun.now) for put in waiting.requests if isinstance(put, PutRow)]
                        for waiting in batch
                    ]
                self._gone.clear()
            if not self._begin(0.0) and not await loop.run_in_executor(self._thread, self._begin, _PATIENCE):
                return _all_told(batch, StoreBusy, "other processes keep the store busy")
            answers = self._apply_all(batch)
            await loop.run_in_executor(self._thread, self._end)
            self._files.check("what was being written may be lost")
        except sqlite3.Error as error:
            self._gone.clear()
            why = (
                None if is_busy(error) else await loop.run_in_executor(self._thread, why_sqlite, error, self._database)
            )
            if why is not None:
                self.fullness.note(_size(batch))
                return _all_told(batch, StoreFull, why)
            kind = StoreBusy if is_busy(error) else OutcomeUnknown
            return _all_told(batch, kind, meaning(error))
        except StoreGone as gone:
            return _all_told(batch, StoreGone, gone.detail)
        except OSError as error:
            if (why := why_os(error)) is not None:
                self.fullness.note(_size(batch))
                return _all_told(batch, StoreFull, why)
            return _all_told(batch, OutcomeUnknown, f"lock files: {error.strerror}")
        self.commits += 1
        return answers

    def _take_in(self, rows: list[Row], expires: int | None) -> bool:
        """The commit point of most batches, in turn with other processes; by `expires`, epoch ms, or not at all."""
        if not self._turn.take(_PATIENCE):
            return False
        try:
            at = self._clock.now()
            rows.append(time_row(at))
            return (expires is None or at <= expires) and self._inbox.accept(rows)
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            return False
        finally:
            self._turn.give_up()

    def _begin(self, patience: float) -> bool:
        """Take the turn and begin a transaction; False when that took longer than `patience` seconds.

        The turn keeps other stores out; a backup tool or a closing connection may still hold SQLite's own lock.
        """
        deadline = time.monotonic() + patience
        if not self._turn.take(patience):
            return False
        try:
            while True:
                try:
                    self._cursor.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError as error:
                    if not is_busy(error):
                        raise
                    if time.monotonic() >= deadline:
                        return False
                    time.sleep(_NAP)
                else:
                    return True
        finally:
            if not self._connection.in_transaction:
                self._turn.give_up()

    def _apply_all(self, batch: list[_Waiting]) -> _Answers:
        try:
            answers = [self._statements.apply(waiting.requests) for waiting in batch]
            self._statements.keep_time()
            return answers
        except BaseException:
            self._roll_back()
            self._turn.give_up()
            raise

    def _end(self) -> None:
        """The commit point."""
        try:
            self._cursor.execute("COMMIT")
        except sqlite3.Error:
            self._roll_back()
            raise
        finally:
            self._turn.give_up()

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # SQLite may have rolled back by itself
            self._cursor.execute("ROLLBACK")

    def _reply(self, batch: list[_Waiting], answers: _Answers) -> None:
        """Wake all who wait, then let go of the files that the batch made superfluous."""
        for waiting, told in zip(batch, answers, strict=True):
            if not waiting.answers.done():  # cancelled while its batch was under way
                waiting.answers.set_result(told)
            for request, answer in zip(waiting.requests, told, strict=True):
                certain = not isinstance(answer, (OutcomeUnknown, StoreGone))
                if certain and isinstance(request, PutRow) and request.file is not None:
                    self._gone.append(request.file)
        for name in set(self._gone):
            if not self._is_named(name):  # by another row of the batch, with the same body
                self._let_go(name)
        self._gone.clear()

    def _is_named(self, file: str) -> bool:
        try:
            return self._cursor.execute(_NAMED, (file,)).fetchone() is not None
        except sqlite3.Error:
            return True  # what nobody names is removed at a later start


def _size(batch: list[_Waiting]) -> int:
    """Bytes of its bodies."""
    return sum(put.size for waiting in batch for put in waiting.requests if isinstance(put, PutRow))


def _all_told(batch: list[_Waiting], kind: type[ObjectError], detail: str) -> _Answers:
    """The same error for every request; where nothing was done, what follows was not even asked for."""
    return [[_told(request, kind, detail) for request in waiting.requests] for waiting in batch]


def _told(request: PutRow | DeleteRows, kind: type[ObjectError], detail: str) -> ObjectError:
    if kind is not OutcomeUnknown and isinstance(request, PutRow) and request.follows:
        return NotFollowed(request.key)
    return kind(key_of(request), detail)
