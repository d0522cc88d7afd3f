"""Where an index file lies: opening it, putting another in its place, and what SQLite's errors mean.

Connections are opened under a shared lock of `{path}.swap`, and a file is put in another's place under an exclusive
one, so that nobody joins a file with the log (`-wal`) of another one. The lock's file says whose log it is, by inode:
somebody else may have put a file there, while a process that was killed has left its log.

An index holds what patients' resources hold, in part in clear: the folder and the file are the user's alone.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from fhirstore.errors import Unavailable
from fhirstore.index.local.apply import IndexDamaged
from fhirstore.index.local.catalogue import Catalogue
from fhirstore.index.local.moment import Connection
from fhirstore.index.local.noted import all_noted, has_facts, note
from fhirstore.index.local.schema import LAYOUT

_BUSY = 5.0  # seconds to wait for another writer
_STATEMENTS = 512  # kept prepared: a search has some, and those of another shape have others
_CHECKPOINT = 8_192  # pages of the log that are moved into the file at once: those of many batches are the same
_LOG = 64 * 1024 * 1024  # bytes of the write-ahead log that are kept when it is empty
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR_SHORT_READ", "SQLITE_CONSTRAINT")
_UNUSABLE: Mapping[str, str] = {
    "SQLITE_FULL": "its disk is full",
    "SQLITE_IOERR": "its disk does not work",
    "SQLITE_READONLY": "its file cannot be written",
    "SQLITE_CANTOPEN": "its file cannot be opened",
    "SQLITE_PERM": "its file may not be used",
    "SQLITE_AUTH": "its file may not be used",
    "SQLITE_BUSY": "others are writing to it",
    "SQLITE_LOCKED": "others are writing to it",
}
READER_CACHE = 16 * 1024
"""KiB."""
FILES = ("", "-wal", "-shm")
_ASIDE, _WHY = ".damaged", ".damaged.why"
_NO_ROOM = 1024 * 1024  # bytes
_LOG_OF = logging.getLogger("fhirstore")


class IndexUnusable(Unavailable):
    """Retry later: the file of the search index cannot be used, because its disk is full, for instance."""


@contextmanager
def noticing(path: Path) -> Iterator[None]:
    """Raises IndexDamaged, or IndexUnusable, where SQLite or the system says so of the file."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        name = str(getattr(error, "sqlite_errorname", ""))
        if name.startswith(_DAMAGED):
            raise IndexDamaged(f"The index at {path} is damaged ({name})") from error
        if name.startswith("SQLITE_IOERR") and _is_full(path):
            name = "SQLITE_FULL"  # for its `-shm` SQLite does not say so
        why = next((said for code, said in _UNUSABLE.items() if name.startswith(code)), None)
        if why is None:
            raise
        raise IndexUnusable(f"The search index cannot be used now: {why}") from error
    except OSError as error:
        raise IndexUnusable(f"The search index cannot be used now: {os.strerror(error.errno or 0)}") from error


@contextmanager
def swapping(path: Path, how: int) -> Iterator[None]:
    """Holds the lock on what file is at a path: `LOCK_SH` to open it, `LOCK_EX` to put another there."""
    with Path(f"{path}.swap").open("ab") as lock:
        fcntl.flock(lock, how)
        yield


def make_room(path: Path) -> None:
    """Makes the folder, and the file, with permissions for this user alone, where they are not there.

    Where the file alone was removed, so is what was beside it: whoever still has the old one open uses that as well,
    and two files that share a log damage each other.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if _owner(path) == inode(path) is not None:
        return
    with swapping(path, fcntl.LOCK_EX):
        if inode(path) is None:
            for suffix in FILES:
                Path(f"{path}{suffix}").unlink(missing_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        if not _has_log(path):
            _own(path)


def free_at(path: Path) -> int:
    """Returns the free bytes of the disk that a file is on."""
    return shutil.disk_usage(path.parent).free


def inode(path: Path) -> int | None:
    """Returns the inode of what is at a path; None where nothing is."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def connected(path: Path, *, cache: int) -> Connection:
    """Returns a connection. `cache`: KiB. The caller holds the lock. Raises IndexDamaged: it is not the log's file."""
    if _has_log(path) and _owner(path) not in (None, inode(path)):
        raise IndexDamaged("Another file was put in the place of the index, whose log is still there")
    with ExitStack() as undo:
        connection = sqlite3.connect(
            path,
            timeout=_BUSY,
            isolation_level=None,
            check_same_thread=False,
            factory=Connection,
            cached_statements=_STATEMENTS,
        )
        undo.callback(connection.close)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{cache}")
        connection.execute("PRAGMA mmap_size = 0")  # a page that the disk cannot give would end the process
        connection.execute(f"PRAGMA journal_size_limit = {_LOG}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT}")
        connection.execute("PRAGMA temp_store = MEMORY")
        undo.pop_all()
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commits what is written meanwhile; all of it is rolled back where anything is raised. Waits for other writers."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")


def set_aside(path: Path, why: str, *, only: int | None = None) -> None:
    """Renames a file that is of no use, so that it can be looked at, and says so in the log; one such file is kept.
    `why`: a sentence for operators. `only`: that inode.
    """
    with swapping(path, fcntl.LOCK_EX):
        if inode(path) is None or (only is not None and inode(path) != only):
            return
        for suffix in FILES:
            with suppress(FileNotFoundError):
                Path(f"{path}{suffix}").replace(Path(f"{path}{_ASIDE}{suffix}"))
        with suppress(OSError):
            Path(f"{path}{_WHY}").write_text(f"{datetime.now(UTC).strftime('%Y-%m-%dT%H:%M:%SZ')} {why}\n")
    _LOG_OF.warning("fhirstore: the search index %s was set aside (%s), and is built again: %s", path, _ASIDE, why)


def why_aside(path: Path) -> str | None:
    """Returns when and why the file was set aside that is kept beside an index; None where none is."""
    if not Path(f"{path}{_ASIDE}").exists():
        return None
    try:
        return Path(f"{path}{_WHY}").read_text(errors="replace").strip()
    except OSError:
        return "it is not known when and why"


def remove(path: Path, *, only: int | None = None) -> bool:
    """Removes an index file and all that is beside it, but locks. Returns whether there was one. `only`: that inode."""
    with swapping(path, fcntl.LOCK_EX):
        there = path.exists()
        if only is not None and inode(path) != only:
            return False
        for suffix in FILES:
            Path(f"{path}{suffix}").unlink(missing_ok=True)
            Path(f"{path}{_ASIDE}{suffix}").unlink(missing_ok=True)
        Path(f"{path}{_WHY}").unlink(missing_ok=True)
        return there


def install(path: Path, ready: Path, catalogue: Catalogue, *, identity: str) -> None:
    """Puts a copy of an index, made by another machine, at `path`, in the place of what is there.

    It becomes the index of `identity`, with a `uuid` of its own. Raises IndexDamaged where it is none of this layout
    and release; then nothing has changed.
    """
    with noticing(ready), closing(sqlite3.connect(ready, isolation_level=None)) as connection:
        found = all_noted(connection) if has_facts(connection) else {}
        if (found.get("layout"), found.get("catalogue")) != (LAYOUT, catalogue.digest):
            raise IndexDamaged("The copy is no index of this layout and release")
        with transaction(connection):
            note(connection, "identity", identity)
            note(connection, "uuid", os.urandom(8).hex())
    with swapping(path, fcntl.LOCK_EX):
        for suffix in FILES:
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        ready.replace(path)
        _own(path)


def _own(path: Path) -> None:
    """Says that the log is that of the file which is there now. The caller holds the lock exclusively."""
    Path(f"{path}.swap").write_text(str(inode(path)))


def _owner(path: Path) -> int | None:
    """Returns the inode of the file whose log it is; None where that is not known."""
    try:
        said = Path(f"{path}.swap").read_text()
    except FileNotFoundError:
        return None
    return int(said) if said.isdecimal() else None


def _has_log(path: Path) -> bool:
    log = Path(f"{path}-wal")
    return log.exists() and log.stat().st_size > 0


def _is_full(path: Path) -> bool:
    try:
        return free_at(path) < _NO_ROOM
    except OSError:
        return False
