"""Shrinks the database file of an embedded store while other processes use it.

SQLite keeps the pages of deleted rows and writes over them later. Here the pages at the end of the file move into free
ones, a few megabytes per transaction, with the write lock released in between so that writers never wait long. Then the
file is cut.
https://www.sqlite.org/pragma.html#pragma_incremental_vacuum
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fhirstore.errors import StoreBusy, StoreMisconfigured
from fhirstore.objects.embedded.database import DATABASE, WAL, connect, meaning, prepare
from fhirstore.objects.embedded.write_lock import WriteLock

_STEP = 256  # pages
_PATIENCE = 30.0  # seconds to wait for the write lock
_INCREMENTAL = 2


@dataclass(frozen=True, slots=True)
class Compacted:
    """Bytes of the database and its log, before and after. `held`: a reader kept the file from being cut."""

    before: int
    after: int
    held: bool


def compact(directory: Path) -> Compacted:
    """Cut the free pages off the file. Blocks. Raises StoreMisconfigured where there is no store, StoreBusy."""
    if not (directory / DATABASE).is_file():
        raise StoreMisconfigured("", f"{directory} holds no fhirstore database; name the directory of a store")
    lock = WriteLock(directory)
    try:
        _acquire(lock)
        prepare(directory)
        lock.release()
        before = _size(directory)
        with closing(connect(directory, patience=_PATIENCE)) as connection:
            if connection.execute("PRAGMA auto_vacuum").fetchone() != (_INCREMENTAL,):
                _rebuild(connection, lock)
            while _step(connection, lock):
                pass
            held, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return Compacted(before, _size(directory), bool(held))
    except sqlite3.Error as error:
        raise StoreMisconfigured("", f"{directory}: {meaning(error)}") from error
    finally:
        lock.close()


def _step(connection: sqlite3.Connection, lock: WriteLock) -> bool:
    """Move some pages. Returns whether there is more to do."""
    _acquire(lock)
    try:
        (before,) = connection.execute("PRAGMA freelist_count").fetchone()
        if before == 0:
            return False
        connection.execute(f"PRAGMA incremental_vacuum({_STEP})").fetchall()
        (after,) = connection.execute("PRAGMA freelist_count").fetchone()
        return bool(0 < after < before)
    finally:
        lock.release()


def _rebuild(connection: sqlite3.Connection, lock: WriteLock) -> None:
    """Rewrite a database that was made without incremental vacuum, in one transaction while writers wait."""
    _acquire(lock)
    try:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("VACUUM")
    finally:
        lock.release()


def _acquire(lock: WriteLock) -> None:
    if not lock.acquire(_PATIENCE):
        raise StoreBusy("", "other processes keep the write lock; try again")


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in (directory / DATABASE, directory / WAL) if path.exists())
