"""The connections of this process to one index file: one that writes, and readers, which are used again."""

from __future__ import annotations

import fcntl
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from fhirstore.index.local.apply import IndexDamaged, IndexReplaced
from fhirstore.index.local.moment import Connection
from fhirstore.index.local.placing import READER_CACHE, connected, noticing, swapping

_GLANCE = 1_000  # steps of SQLite between looks at the clock: some 30 µs


class TakesLonger(Exception):
    """What was read at once takes longer than that; nothing else is wrong."""


class Connections:
    """Its methods block; they may be called from several threads."""

    def __init__(self, path: Path, writer: Connection) -> None:
        self.path = path
        self.inode = path.stat().st_ino
        self.writer = writer
        self._writing = threading.Lock()  # of the writer, for as long as a batch takes
        self._lock = threading.Lock()  # of the readers that wait to be used again: never held for long
        self._readers: list[Connection] = []
        self._closed = False

    def close(self) -> None:
        """Closes them: at once for whoever begins, for readers at their end. Waits for a writer."""
        with self._writing, self._lock:
            self._closed = True
            for connection in (*self._readers, self.writer):
                connection.close()
            self._readers.clear()

    def check(self) -> None:
        """Raises IndexReplaced where the file was closed, removed or replaced."""
        if self._closed:
            raise IndexReplaced("The index is closed")
        try:
            there = self.path.stat().st_ino == self.inode
        except FileNotFoundError:
            there = False
        if not there:
            raise IndexReplaced(f"The index at {self.path} was removed or replaced")

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Gives the writer, to one thread at a time. Raises IndexDamaged, IndexUnusable."""
        with self._writing, self._noticing_damage():
            if self._closed:
                raise IndexReplaced("The index is closed")
            yield self.writer

    @contextmanager
    def reading(self, *, at_hand: bool = False) -> Iterator[Connection]:
        """Gives a connection in a transaction, which shows one moment of the file. `at_hand`: only one that is open.

        Raises IndexDamaged, IndexUnusable; TakesLonger where none is at hand.
        """
        with self._lock:
            if self._closed:
                raise IndexReplaced("The index is closed")
            connection = self._readers.pop() if self._readers else None
        if connection is None and at_hand:
            raise TakesLonger
        with self._noticing_damage():
            open_one = connection or self._another()
            try:
                open_one.execute("BEGIN")
                yield open_one
            finally:
                with suppress(sqlite3.Error):
                    open_one.execute("ROLLBACK")
                self._give_back(open_one)

    @contextmanager
    def reading_at_once(self, within: float, waiting: float) -> Iterator[Connection]:
        """Gives a connection as `reading` does, `at_hand`, whose statements end with TakesLonger after `within` seconds
        of work, or `waiting` with those that they wait.
        """
        with self.reading(at_hand=True) as connection:
            done, late = time.thread_time() + within, time.perf_counter() + waiting
            connection.set_progress_handler(lambda: time.thread_time() > done or time.perf_counter() > late, _GLANCE)
            try:
                yield connection
            except sqlite3.OperationalError as error:
                if error.sqlite_errorname == "SQLITE_INTERRUPT":
                    raise TakesLonger from error
                raise
            finally:
                connection.set_progress_handler(None, 0)

    @contextmanager
    def apart(self) -> Iterator[Connection]:
        """Gives a connection for what takes long, outside of a transaction. Raises IndexDamaged, IndexUnusable."""
        with self._noticing_damage(), closing(self._another()) as connection:
            yield connection

    def _another(self) -> Connection:
        self.check()
        with swapping(self.path, fcntl.LOCK_SH):
            self.check()
            return connected(self.path, cache=READER_CACHE)

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if self._closed:
                connection.close()
            else:
                self._readers.append(connection)

    @contextmanager
    def _noticing_damage(self) -> Iterator[None]:
        try:
            with noticing(self.path):
                yield
        except (sqlite3.DatabaseError, IndexDamaged):
            self.check()  # of a file that was removed, SQLite says all kinds of things
            raise
