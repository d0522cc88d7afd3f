"""The embedded store's one writer per process: everything that is queued is committed together (group commit).

A disk syncs a few thousand times a second at best, and a sync costs the same for one row as for a hundred. So requests
queue while a commit is under way, the next commit takes them all, and all get their answers at once. When enough are
queued the thread begins, while the event loop goes on with the requests that bring the next ones.

The commit of a batch is the commit point of every request in it. Conditions and windows are decided inside it, in the
order of arrival, so each request sees the ones before it. `transactions` says which of the two ways a batch takes:
one statement in the thread, or statement by statement on the event loop, because for so short statements a thread
would spend more time on the interpreter lock than on the work (see docs/performance.md, group commit). What may wait
runs in the thread: COMMIT, which syncs, and the wait for other processes.

Before and after each commit the writer checks that the database is still in its directory, so that no write is
acknowledged that is gone when the process ends.

An answer is final only when its batch has committed. If the commit fails, every request of the batch is answered with
OutcomeUnknown, refused ones too, because a refusal may rest on a row that was never committed.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import msgspec

from fhirstore.clock import Clock
from fhirstore.errors import NotFollowed, ObjectError, OutcomeUnknown, StoreBusy, StoreFull, StoreGone
from fhirstore.objects.base import PutAnswer, Written
from fhirstore.objects.embedded.bodies import Packer
from fhirstore.objects.embedded.database import StoreFiles, is_busy, meaning
from fhirstore.objects.embedded.put_batch import Row
from fhirstore.objects.embedded.statements import DeleteRows, PutRow, Request, key_of, row_of
from fhirstore.objects.embedded.transactions import PATIENCE, Transactions
from fhirstore.objects.embedded.write_lock import WriteLock
from fhirstore.objects.fullness import Fullness, why_os, why_sqlite

_BATCH_ROWS = 256  # bounds the time a batch's statements keep the event loop: one or two ms
_BATCH_BYTES = 2 * 1024 * 1024
_ENOUGH = 24  # calls that are worth a commit while others are still on their way
_QUIET_ROUNDS = 4  # of the event loop; a request needs three from its socket to its first PUT


class _Call(msgspec.Struct):
    """The requests of one call of `write`. Their `answers` come together."""

    requests: tuple[Request, ...]
    answers: asyncio.Future[list[PutAnswer]]

    @property
    def stays(self) -> bool:
        """Whether the call is done even when its caller is gone: a PUT that follows others is relied on."""
        last = self.requests[-1]
        return isinstance(last, PutRow) and last.follows


class _Batch(msgspec.Struct):
    """Calls that are committed together. `now`: when the batch began, epoch ms.

    `inserted`: the result of `Transactions.insert`; None: the batch takes several statements. `gone`: why the batch is
    not begun at all.
    """

    calls: list[_Call]
    now: int
    inserted: Future[bool] | None = None
    gone: StoreGone | None = None


_Answers = list[list[PutAnswer]]  # of a batch, by call


class GroupWriter:
    """Queues requests and commits them in batches. `remove_file` is called with files that no row names any more.

    For one event loop at a time. The connection is used by the loop or by the thread, never by both: one task leads
    each batch through both in turn.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        lock: WriteLock,
        *,
        clock: Clock,
        files: StoreFiles,
        remove_file: Callable[[str], None],
    ) -> None:
        self.commits = 0
        self.fullness = Fullness()
        self._database = Path(connection.execute("PRAGMA database_list").fetchone()[2])
        self._packer = Packer()
        self._freed: list[str] = []  # files that the transaction under way frees
        self._transactions = Transactions(
            connection, lock, clock=clock, packer=self._packer, file_freed=self._freed.append
        )
        self._clock = clock
        self._files = files
        self._remove_file = remove_file
        self._queue: deque[_Call] = deque()
        self._batch: _Batch | None = None  # the batch that is under way, or about to be
        self._task: asyncio.Task[None] | None = None  # commits batch after batch; None while nothing is queued
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fhirstore-writer")
        self._closed = False  # nothing is queued any more
        self._released = False  # connection and lock are closed

    def write(self, *requests: Request) -> asyncio.Future[list[PutAnswer]]:
        """Queue the requests, which stay together; the future has their answers once their batch has committed.

        Cancelling drops the requests, unless their batch is already under way, or one of them follows the others.
        """
        loop = asyncio.get_running_loop()
        if self._task is not None and self._task.get_loop() is not loop:
            raise RuntimeError("an embedded store serves one event loop at a time")
        call = _Call(requests, loop.create_future())
        if self._closed:
            call.answers.set_result(*_refused([call], OutcomeUnknown, "the store is closed"))
            return call.answers
        self._queue.append(call)
        if self._task is None:
            self._task = loop.create_task(self._run(), name="fhirstore-writer")
        if self._batch is None and len(self._queue) >= _ENOUGH:
            self._batch = self._begin_batch()
        return call.answers

    async def close(self) -> None:
        """Commit what is queued, then end the thread and close the connection. May be called again."""
        self._closed = True
        if self._task is not None:
            await asyncio.wait([self._task])
        if not self._released:
            self._released = True
            self._thread.submit(self._transactions.close)
        await asyncio.to_thread(self._thread.shutdown)

    async def _run(self) -> None:
        """Commit batch after batch until nothing is queued."""
        try:
            while self._queue or self._batch:
                if self._batch is None:
                    await self._gather()
                batch = self._batch = self._batch or self._begin_batch()
                answers = await self._commit(batch) if batch.calls else []
                self._batch = None
                self._reply(batch.calls, answers)
        except BaseException:
            calls = [] if self._batch is None else self._batch.calls
            # The loop ends, or this has a defect: every caller must get an answer, and no later request may queue.
            self._closed = True
            self._freed.clear()
            calls.extend(self._queue)
            self._queue.clear()
            self._reply(calls, _refused(calls, OutcomeUnknown, "the store is closed"))
            raise
        finally:
            self._task = None

    async def _gather(self) -> None:
        """Wait until the event loop has come round some times and brought no further call.

        A loop with nothing else to do comes round in microseconds; a busy one brings many calls, and a commit of one
        costs nearly what a commit of ten does. Once there are enough, `write` begins the batch.
        """
        known, quiet = len(self._queue), 0
        while quiet < _QUIET_ROUNDS and known < _ENOUGH and self._batch is None:
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self._queue) == known else 0
            known = len(self._queue)

    def _next_calls(self) -> list[_Call]:
        """Everything that is queued, within the bounds of a batch."""
        calls: list[_Call] = []
        count = size = 0
        while self._queue and count < _BATCH_ROWS and size < _BATCH_BYTES:
            call = self._queue.popleft()
            if call.answers.cancelled() and not call.stays:
                for request in call.requests:
                    if isinstance(request, PutRow) and request.file is not None:
                        self._remove_file(request.file)
                continue
            calls.append(call)
            for request in call.requests:
                count += len(request.keys) if isinstance(request, DeleteRows) else 1
                if isinstance(request, PutRow):
                    size += len(request.body or b"")
        return calls

    def _begin_batch(self) -> _Batch:
        """Take what is queued and hand it to the thread, if it is one statement."""
        calls = self._next_calls()
        self._freed.clear()
        now = self._clock.now()
        try:
            self._files.check("nothing was written")
        except StoreGone as gone:
            return _Batch(calls, now, gone=gone)
        puts: list[PutRow] = []
        windows: set[int | None] = set()
        for call in calls:
            for put in call.requests:
                if not isinstance(put, PutRow):
                    return _Batch(calls, now)
                windows.add(put.expires)
                puts.append(put)
        expires = min((end for end in windows if end is not None), default=None)
        if not puts:
            return _Batch(calls, now)
        packed: dict[str, bytes] = {}  # by ETag
        rows: list[Row] = []
        for put in puts:
            if put.body and put.etag not in packed:
                packed[put.etag] = self._packer.pack(put.body)
            rows.append(row_of(put, now, packed[put.etag] if put.body else None))
        return _Batch(calls, now, self._thread.submit(self._transactions.insert, rows, expires))

    async def _commit(self, batch: _Batch) -> _Answers:
        """See the batch through. The answers are final."""
        calls, run = batch.calls, asyncio.get_running_loop().run_in_executor
        try:
            if batch.gone is not None:
                raise batch.gone
            if batch.inserted is not None:
                if await asyncio.wrap_future(batch.inserted):
                    self._files.check("what was being written may be lost")
                    self.commits += 1
                    return [
                        [Written(put.etag, batch.now) for put in call.requests if isinstance(put, PutRow)]
                        for call in calls
                    ]
                self._freed.clear()
            begin = self._transactions.begin
            if not begin(0.0) and not await run(self._thread, begin, PATIENCE):
                return _refused(calls, StoreBusy, "other processes keep the store busy")
            answers = self._transactions.apply([call.requests for call in calls])
            await run(self._thread, self._transactions.commit)
            self._files.check("what was being written may be lost")
        except sqlite3.Error as error:
            self._freed.clear()
            why = None if is_busy(error) else await run(self._thread, why_sqlite, error, self._database)
            if why is not None:
                self.fullness.note(_size(calls))
                return _refused(calls, StoreFull, why)
            return _refused(calls, StoreBusy if is_busy(error) else OutcomeUnknown, meaning(error))
        except StoreGone as gone:
            return _refused(calls, StoreGone, gone.detail)
        except OSError as error:
            if (why := why_os(error)) is not None:
                self.fullness.note(_size(calls))
                return _refused(calls, StoreFull, why)
            return _refused(calls, OutcomeUnknown, f"lock files: {error.strerror}")
        self.commits += 1
        return answers

    def _reply(self, calls: list[_Call], answers: _Answers) -> None:
        """Answer all callers, then remove the files that the batch made superfluous."""
        for call, told in zip(calls, answers, strict=True):
            if not call.answers.done():  # it is done where the caller was cancelled while its batch was under way
                call.answers.set_result(told)
            for request, answer in zip(call.requests, told, strict=True):
                certain = not isinstance(answer, (OutcomeUnknown, StoreGone))
                if certain and isinstance(request, PutRow) and request.file is not None:
                    self._freed.append(request.file)
        for name in set(self._freed):
            if not self._transactions.names_file(name):  # another row of the batch may name it, with the same body
                self._remove_file(name)
        self._freed.clear()


def _size(calls: list[_Call]) -> int:
    """Bytes of their bodies."""
    return sum(put.size for call in calls for put in call.requests if isinstance(put, PutRow))


def _refused(calls: list[_Call], kind: type[ObjectError], detail: str) -> _Answers:
    """The same error for every request. Where nothing was done, a PUT that follows others was not even tried."""
    return [[_refusal(request, kind, detail) for request in call.requests] for call in calls]


def _refusal(request: Request, kind: type[ObjectError], detail: str) -> ObjectError:
    if kind is not OutcomeUnknown and isinstance(request, PutRow) and request.follows:
        return NotFollowed(request.key)
    return kind(key_of(request), detail)
