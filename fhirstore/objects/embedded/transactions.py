"""Transactions of the embedded store's writing connection, each under the write lock of the directory.

A batch commits in one of two ways:

* `insert`: a batch of PUTs whose conditions all hold, which is nearly every batch, is one statement (`put_batch`).
* `begin`, `apply`, `commit`: any other batch goes statement by statement (`statements`).

All of these block, and each says which thread it is for. The caller uses the connection from one thread at a time.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from fhirstore.clock import Clock
from fhirstore.objects.base import PutAnswer
from fhirstore.objects.embedded.bodies import Packer
from fhirstore.objects.embedded.database import is_busy
from fhirstore.objects.embedded.put_batch import PutBatch, Row, time_row
from fhirstore.objects.embedded.statements import Request, Statements
from fhirstore.objects.embedded.write_lock import WriteLock

PATIENCE = 30.0  # seconds to wait for other processes before a batch is answered with StoreBusy
_NAP = 0.0005  # seconds between tries when something other than a fhirstore holds SQLite's lock

# Reports the files that a transaction frees. A temporary trigger, so that it belongs to this connection alone.
_FILE_FREED = (
    "CREATE TEMP TRIGGER file_freed AFTER DELETE ON main.bodies WHEN old.file IS NOT NULL"
    " BEGIN SELECT file_freed(old.file); END"
)
_NAMED = "SELECT 1 FROM bodies WHERE file = ?"
_KEEP_TIME = "UPDATE clock SET reached = ? WHERE reached < ?"


class Transactions:
    """Owns the writing connection and the write lock.

    `file_freed` is called, in the thread of the statement, with each body file that a row stops naming.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        lock: WriteLock,
        *,
        clock: Clock,
        packer: Packer,
        file_freed: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._lock = lock
        self._clock = clock
        self._puts = PutBatch(connection)
        self._statements = Statements(self._cursor, self._puts, clock, packer)
        connection.create_function("file_freed", 1, file_freed)
        connection.execute(_FILE_FREED)
        connection.execute("PRAGMA busy_timeout = 0")  # the write lock keeps order; see `begin`

    def insert(self, rows: list[Row], expires: int | None) -> bool:
        """The commit point of most batches: write all rows and sync, by `expires` (epoch ms).

        For a thread. Returns False, and has written nothing, where a condition does not hold, a row cannot be stored,
        the time is over or other processes keep the lock. Raises the other errors of sqlite3.
        """
        if not self._lock.acquire(PATIENCE):
            return False
        try:
            now = self._clock.now()
            rows.append(time_row(now))
            return (expires is None or now <= expires) and self._puts.accept(rows)
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            return False
        finally:
            self._lock.release()

    def begin(self, patience: float) -> bool:
        """Acquire the lock and begin a transaction. Returns False when that took longer than `patience` seconds.

        With patience 0 for the event loop, else for a thread. The lock keeps other stores out; a backup tool or a
        closing connection may still hold SQLite's own lock.
        """
        deadline = time.monotonic() + patience
        if not self._lock.acquire(patience):
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
                self._lock.release()

    def apply(self, calls: Sequence[Sequence[Request]]) -> list[list[PutAnswer]]:
        """Returns the answers to each call's requests, in the transaction that has begun.

        For the event loop. Raises the errors of sqlite3 that end the transaction; then it is rolled back.
        """
        try:
            answers = [self._statements.apply(requests) for requests in calls]
            self._statements.keep_time()
            return answers
        except BaseException:
            self._roll_back()
            self._lock.release()
            raise

    def commit(self) -> None:
        """The commit point of the other batches, which syncs. For a thread. Raises the errors of sqlite3."""
        try:
            self._cursor.execute("COMMIT")
        except sqlite3.Error:
            self._roll_back()
            raise
        finally:
            self._lock.release()

    def names_file(self, file: str) -> bool:
        """Returns whether a row names this body file; True where that cannot be read, so that the file stays."""
        try:
            return self._cursor.execute(_NAMED, (file,)).fetchone() is not None
        except sqlite3.Error:
            return True  # a file that no row names is removed at a later start

    def close(self) -> None:
        """Keep the time that readers may have been told since the last commit, then close connection and lock.

        For a thread.
        """
        now = self._clock.now()
        with suppress(sqlite3.Error, OSError):  # needed only if the machine's clock is set back before the next start
            if self._lock.acquire(PATIENCE):
                self._connection.execute(_KEEP_TIME, (now, now))
        self._connection.close()
        self._lock.close()

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # SQLite may have rolled back by itself
            self._cursor.execute("ROLLBACK")
