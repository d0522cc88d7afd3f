"""A store that takes no more: how that is recognised, and how it is found out that it does again.

A full disk has several names: ENOSPC, a used-up quota (EDQUOT), a limit on the size of files (EFBIG), a file system
that went read-only (EROFS). SQLite passes on the first; for the others it reports an I/O error without saying which, so
a small file beside the database is tried instead. Space that comes back is not announced by anyone: `Fullness` lets the
next readiness check try.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

from fhirstore.objects.base import ObjectStore

_TRIED = "_probe/full"  # below the folder of `objects.probe`, whose leftovers it removes
_TRIED_BYTES = 64 * 1024
_MOST_BYTES = 256 * 1024
_WHY = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space or raise the quota",
    errno.EFBIG: "files may grow no more; raise the process's limit on file sizes (ulimit -f)",
    errno.EROFS: "the file system is read-only; make it writable",
}
_MOVED = 1032  # SQLITE_READONLY_DBMOVED: the database is gone, not its disk full
_FSYNC = (1034, 1290)  # SQLITE_IOERR_FSYNC, …_DIR_FSYNC: what was to be synced may be there


class Fullness:
    """Of one store. `noted`: a write was refused because it takes no more, and nobody has tried since."""

    def __init__(self) -> None:
        self.noted = False
        self._size = _TRIED_BYTES

    def note(self, size: int) -> None:
        """A write of so many bytes was refused."""
        self.noted = True
        self._size = min(max(size, _TRIED_BYTES), _MOST_BYTES)

    async def try_again(self, store: ObjectStore) -> None:
        """Writes and removes an object of that size, where a write was refused. Raises StoreFull, or as `put`."""
        if self.noted:
            await store.put(_TRIED, os.urandom(self._size))  # what cannot be compressed
            self.noted = False
            await store.delete(_TRIED)


def why_os(error: OSError) -> str | None:
    """Why the file system takes no more; None: this error is about something else."""
    return None if error.errno is None else _WHY.get(error.errno)


def why_sqlite(error: sqlite3.Error, database: Path) -> str | None:
    """The same for an error of SQLite's. Blocks where a file must be tried to find out."""
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
    """Writes a file where the database's own would grow, and removes it; why that was not possible."""
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
