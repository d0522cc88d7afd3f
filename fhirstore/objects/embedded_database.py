"""The embedded store's SQLite database: its file, its schema, how it is opened, and what its errors mean.

WAL with synchronous=FULL: a commit is on the disk when it returns, and readers never wait for writers
(https://www.sqlite.org/wal.html). A rowid table with an index on the key, because a LIST then reads short index rows
in key order and finds neighbours on the same pages; keys compare as their UTF-8 bytes (COLLATE BINARY).
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from fhirstore.errors import StoreMisconfigured

DATABASE = "objects.sqlite"
_OURS = 0x46485253  # application_id: "FHRS"
_STATEMENTS = 512  # kept prepared per connection; a batch of n PUTs is a statement of its own
_VERSION = 1  # user_version: the schema below

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE objects (
    id       INTEGER PRIMARY KEY,
    key      TEXT    NOT NULL UNIQUE COLLATE BINARY,
    etag     TEXT    NOT NULL,
    size     INTEGER NOT NULL,
    modified INTEGER NOT NULL,  -- epoch ms
    file     TEXT,              -- where a large body lies, below `bodies`; then body is NULL
    body     BLOB               -- last, so that a LIST never reads its overflow pages
) STRICT;
CREATE UNIQUE INDEX objects_file ON objects (file) WHERE file IS NOT NULL;
PRAGMA application_id = {_OURS};
PRAGMA user_version = {_VERSION};
COMMIT;
"""

_MEANING = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_READONLY: "the directory or its disk is read-only; make it writable",
    sqlite3.SQLITE_CANTOPEN: "the database file cannot be opened; check the directory's owner and permissions",
    sqlite3.SQLITE_PERM: "the database file may not be opened; check the directory's owner and permissions",
    sqlite3.SQLITE_CORRUPT: "the database file is damaged; restore the directory from a backup",
    sqlite3.SQLITE_NOTADB: "the database file is no SQLite database; name another directory or restore it",
    sqlite3.SQLITE_IOERR: "the disk reported an error; check the disk and its free space",
    sqlite3.SQLITE_BUSY: "another process keeps the database locked",
}


def meaning(error: sqlite3.Error) -> str:
    """One line for people: what is wrong and what to do."""
    code = getattr(error, "sqlite_errorcode", None)
    known = _MEANING.get(code & 0xFF) if code is not None else None
    return f"{known} ({error})" if known else str(error)


def is_busy(error: sqlite3.Error) -> bool:
    """Did a lock refuse the statement, so that it may be tried again?"""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def connect(directory: Path, *, patience: float) -> sqlite3.Connection:
    """A connection in autocommit, for any one thread at a time; waits `patience` seconds where SQLite itself locks."""
    connection = sqlite3.connect(
        directory / DATABASE,
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
    )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -32768")  # KiB
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA secure_delete = ON")  # what was purged is overwritten
    connection.execute("PRAGMA journal_size_limit = 67108864")  # bytes the WAL may keep after a burst
    return connection


def prepare(directory: Path) -> None:
    """Make the database, or see that it is one of ours. The caller holds the turn to write.

    Raises StoreMisconfigured for a database of another make or version, sqlite3.Error for a broken one.
    """
    connection = connect(directory, patience=10)
    try:
        (made_by,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables == 0 and version == 0:
            connection.execute("PRAGMA page_size = 8192")  # three records of 2 KB
            if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
                raise StoreMisconfigured("", f"{directory}: no shared memory on this file system; name a local disk")
            connection.executescript(_SCHEMA)
        elif made_by != _OURS:
            raise StoreMisconfigured("", f"{directory / DATABASE} is not a fhirstore database; name another directory")
        elif version != _VERSION:
            raise StoreMisconfigured(
                "",
                f"{directory} has format {version}, this fhirstore knows {_VERSION}; use the fhirstore that wrote it",
            )
    finally:
        connection.close()


def is_ours(connection: sqlite3.Connection) -> bool:
    """Whether the database says that fhirstore made it."""
    return bool(connection.execute("PRAGMA application_id").fetchone() == (_OURS,))
