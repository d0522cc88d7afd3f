"""Recognises a store that is full, and finds out when it accepts writes again.

A full disk has several error codes: ENOSPC, a used-up quota (EDQUOT), a limit on the size of files (EFBIG), a file
system that became read-only (EROFS). SQLite passes on the first; for the others it reports an I/O error without saying
which, so a small file is written beside the database instead. Nothing announces that there is space again: `Fullness`
lets the next readiness check try.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from fhirstore.objects.base import ObjectStore

_TRIED = "_probe/full"  # below the folder of `objects.probe`, which removes leftovers
_TRIED_BYTES = 64 * 1024
_MOST_BYTES = 256 * 1024
_WHY = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space or raise the quota",
    errno.EFBIG: "files may grow no more; raise the process's limit on file sizes (ulimit -f)",
    errno.EROFS: "the file system is read-only; make it writable",
}
_MOVED = 1032  # SQLITE_READONLY_DBMOVED: the database is gone; the disk is not full
_FSYNC = (1034, 1290)  # SQLITE_IOERR_FSYNC, …_DIR_FSYNC: the data may have been written


class Fullness:
    """Whether one store is full. `noted`: a write was refused for that reason, and none was tried since."""

    def __init__(self) -> None:
        self.noted = False
        self._size = _TRIED_BYTES

    def note(self, size: int) -> None:
        """Note that a write of `size` bytes was refused."""
        self.noted = True
        self._size = min(max(size, _TRIED_BYTES), _MOST_BYTES)

    async def try_again(self, store: ObjectStore) -> None:
        """Write and remove an object of that size, if a write was refused. Raises as `ObjectStore.put`."""
        if self.noted:
            await store.put(_TRIED, os.urandom(self._size))  # random, because it cannot be compressed
            self.noted = False
            await store.delete(_TRIED)


def why_os(error: OSError) -> str | None:
    """Returns why the file system is full; None where the error means something else."""
    return None if error.errno is None else _WHY.get(error.errno)


def why_sqlite(error: sqlite3.Error, database: Path) -> str | None:
    """The same for an error of SQLite. Blocks, because it may write a file to find out."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    kind = code & 0xFF
    if kind == sqlite3.SQLITE_FULL:
        return _tried(database) or _WHY[errno.ENOSPC]
    if kind == sqlite3.SQLITE_READONLY and code != _MOVED:
        return _tried(database) or "the database file is read-only; make it writable"
    if kind in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and code not in _FSYNC:
        return _tried(database)
    return None


def _tried(database: Path) -> str | None:
    """Write a file that ends where the database would grow, and remove it. Returns why that was not possible."""
    path = database.with_name(f"full-{os.getpid()}.tmp")
    try:
        sizes = [file.stat().st_size for file in database.parent.glob(f"{database.name}*")]
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(handle, bytes(_TRIED_BYTES), max(sizes, default=0))
            os.fsync(handle)
        finally:
            os.close(handle)
            path.unlink(missing_ok=True)
    except OSError as error:
        return why_os(error)
    return None
