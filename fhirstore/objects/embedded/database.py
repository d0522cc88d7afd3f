"""The embedded store's SQLite database: its file, its schema, how it is opened, and what its errors mean.

WAL with synchronous=FULL: a commit is on the disk when it returns, and readers never wait for writers
(https://www.sqlite.org/wal.html).

| table | content |
|---|---|
| `objects` | key -> its body and facts, in key order; keys compare as their UTF-8 bytes (COLLATE BINARY) |
| `bodies` | a body, compressed (`bodies.py`), or the name of its file |
| `shares` | for a body that several keys have: how many keys more than one |
| `clock` | one row: the store's clock has reached this time (`clock.py`) |

A version and `current.json` mostly have the same bytes, so they share a body. A key is stored once, because `objects`
is its own index (WITHOUT ROWID), and short rows keep that tree small. Triggers release the body of a key that is
replaced or deleted. `compact` gives pages that became free back to the disk.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from fhirstore.errors import StoreGone, StoreMisconfigured
from fhirstore.objects.embedded.large_bodies import has_bodies
from fhirstore.objects.embedded.upgrade import OLDEST, upgrade

DATABASE = "objects.sqlite"
WAL = f"{DATABASE}-wal"
_OURS = 0x46485253  # application_id: "FHRS"
_STATEMENTS = 512  # kept prepared per connection; a batch of n PUTs is a statement of its own
_VERSION = 3  # user_version: the schema below

_TABLES = """
CREATE TABLE objects (
    key      TEXT    PRIMARY KEY NOT NULL COLLATE BINARY,
    modified INTEGER NOT NULL,  -- epoch ms
    seal     INTEGER NOT NULL,  -- of key and ETag, see bodies.py
    body     INTEGER,           -- bodies.id; NULL: an empty body
    facts    BLOB               -- see facts.py; NULL: none
) STRICT, WITHOUT ROWID;
CREATE TABLE bodies (
    id   INTEGER PRIMARY KEY,
    etag TEXT    NOT NULL,
    size INTEGER NOT NULL,      -- bytes, before compression
    file TEXT,                  -- where a large body lies, below `bodies`; then packed is NULL
    packed BLOB                 -- last, so that a LIST never reads its overflow pages
) STRICT;
CREATE UNIQUE INDEX bodies_file ON bodies (file) WHERE file IS NOT NULL;
CREATE TABLE shares (
    body INTEGER PRIMARY KEY,
    more INTEGER NOT NULL
) STRICT;
CREATE TABLE clock (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    reached INTEGER NOT NULL    -- epoch ms
) STRICT;
INSERT INTO clock VALUES (1, 0);
CREATE TRIGGER body_replaced AFTER UPDATE OF body ON objects WHEN old.body IS NOT NULL
BEGIN
    DELETE FROM bodies WHERE id = old.body AND NOT EXISTS (SELECT 1 FROM shares WHERE body = old.body);
    UPDATE shares SET more = more - 1 WHERE body = old.body;
    DELETE FROM shares WHERE body = old.body AND more = 0;
END;
CREATE TRIGGER body_deleted AFTER DELETE ON objects WHEN old.body IS NOT NULL
BEGIN
    DELETE FROM bodies WHERE id = old.body AND NOT EXISTS (SELECT 1 FROM shares WHERE body = old.body);
    UPDATE shares SET more = more - 1 WHERE body = old.body;
    DELETE FROM shares WHERE body = old.body AND more = 0;
END;
"""
_SCHEMA = f"""
BEGIN IMMEDIATE;
{_TABLES}
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
    """Returns one line for people: what is wrong and what to do."""
    code = getattr(error, "sqlite_errorcode", None)
    known = _MEANING.get(code & 0xFF) if code is not None else None
    return f"{known} ({error})" if known else str(error)


def is_busy(error: sqlite3.Error) -> bool:
    """Returns whether a lock refused the statement, so that it may be tried again."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def is_damage(error: sqlite3.Error) -> bool:
    """Returns whether the error means that the file is damaged. Text that is not UTF-8 has no error code."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return isinstance(error, sqlite3.OperationalError) and "decode to UTF-8" in str(error)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def connect(directory: Path, *, patience: float) -> sqlite3.Connection:
    """Returns a connection in autocommit mode, for one thread at a time. SQLite waits `patience` seconds for its
    locks."""
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
    """Make the database, or check that fhirstore made it and upgrade it to this format. The caller holds the write
    lock.

    Raises StoreMisconfigured for a database of another program or version, or where the database is missing beside its
    bodies or log; sqlite3.Error for a damaged one.
    """
    _refuse_remnants(directory)
    connection = connect(directory, patience=10)
    try:
        (made_by,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables == 0 and version == 0:
            connection.execute("PRAGMA page_size = 8192")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
                raise StoreMisconfigured("", f"{directory}: no shared memory on this file system; name a local disk")
            connection.executescript(_SCHEMA)
        elif made_by != _OURS:
            raise StoreMisconfigured("", f"{directory / DATABASE} is not a fhirstore database; name another directory")
        elif not OLDEST <= version <= _VERSION:
            raise StoreMisconfigured(
                "",
                f"{directory} has format {version}, this fhirstore knows {_VERSION}; use the fhirstore that wrote it",
            )
        else:
            upgrade(connection, _TABLES, version=_VERSION)
    finally:
        connection.close()


def is_ours(connection: sqlite3.Connection) -> bool:
    """Returns whether fhirstore made the database."""
    return bool(connection.execute("PRAGMA application_id").fetchone() == (_OURS,))


def version_of(connection: sqlite3.Connection) -> int:
    """Returns the format of the database. Raises StoreMisconfigured where this fhirstore does not know it."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if not OLDEST <= version <= _VERSION:
        raise StoreMisconfigured(
            "", f"the store has format {version}, this fhirstore knows {_VERSION}; use the fhirstore that wrote it"
        )
    return int(version)


class StoreFiles:
    """The identities of the database file and its log, to tell whether they are still those that were opened."""

    def __init__(self, directory: Path) -> None:
        """Call it after the first read, because that makes the log. Raises OSError."""
        self._directory = directory
        self._paths = [os.fspath(directory / name) for name in (DATABASE, WAL)]
        self._seen = self._identities()

    def check(self, consequence: str) -> None:
        """Raises StoreGone where a file was removed or replaced; `consequence` becomes part of its message."""
        try:
            if self._identities() == self._seen:
                return
            detail = "the database was replaced while in use"
        except OSError as error:
            detail = f"the store's files are gone ({error.strerror})"
        raise StoreGone("", f"{self._directory}: {detail}; {consequence}; restart")

    def _identities(self) -> list[tuple[int, int]]:
        return [(status.st_ino, status.st_dev) for status in map(os.stat, self._paths)]


def _refuse_remnants(directory: Path) -> None:
    """Raises StoreMisconfigured where an empty database lies beside bodies or a log: a damaged store, not a new one."""
    file, log = directory / DATABASE, directory / WAL
    empty = not file.exists() or file.stat().st_size == 0
    if empty and (has_bodies(directory) or (log.exists() and log.stat().st_size > 0)):
        raise StoreMisconfigured(
            "", f"{file} is missing or empty, but what belongs to it is there: restore the directory from a backup"
        )
