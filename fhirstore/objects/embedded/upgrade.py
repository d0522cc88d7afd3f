"""Upgrades a database of an earlier format in place.

Format 1 had each body in its object's row. Each step moves a few hundred rows from the old table to the new ones in one
transaction, so the next process can continue after one that died. The database has the new format's number from the
first step on: an earlier fhirstore does not open a half upgraded database, and one that is running fails, because the
old table is gone.

Format 2 had no facts. One transaction adds the column, whatever the number of objects, and renames the column that
every commit writes, so that an earlier fhirstore that is running fails: it would leave an object's facts behind when it
replaces the body.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress

from fhirstore.errors import StoreMisconfigured
from fhirstore.objects.embedded.bodies import Packer, seal_of
from fhirstore.objects.etag import etag_of

OLDEST = 1
"""The earliest format that can be upgraded."""

_WITHOUT_FACTS = 2

_STEP = 200  # objects; with bodies below a file's size some MB of log
_OLD = "objects_of_format_1"
_NEXT = f"SELECT id, key, etag, size, modified, file, body FROM {_OLD} ORDER BY key LIMIT ?"
_Body = tuple[str, int, str | None, bytes | None]  # ETag, size, file, content
_SHARE = "INSERT INTO shares VALUES (?, 1) ON CONFLICT (body) DO UPDATE SET more = more + 1"


def upgrade(connection: sqlite3.Connection, tables: str, *, version: int) -> None:
    """Upgrade, or continue an upgrade. `tables`: SQL that makes the new ones. The caller holds the write lock.

    Raises StoreMisconfigured where the old tables are damaged; then nothing was changed.
    """
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found == OLDEST:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise StoreMisconfigured("", f"the database is damaged ({verdict}); restore the directory from a backup")
        connection.executescript(
            f"BEGIN IMMEDIATE; ALTER TABLE objects RENAME TO {_OLD}; {tables}"
            f" UPDATE clock SET reached = coalesce((SELECT max(modified) FROM {_OLD}), 0);"
            f" PRAGMA user_version = {version}; COMMIT;"
        )
    if found == _WITHOUT_FACTS:
        connection.executescript(
            "BEGIN IMMEDIATE; ALTER TABLE objects ADD COLUMN facts BLOB;"
            f" ALTER TABLE clock RENAME COLUMN high TO reached; PRAGMA user_version = {version}; COMMIT;"
        )
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_OLD,)).fetchone() is None:
        return
    # Damaged text becomes a stray key, which fsck reports.
    connection.text_factory = lambda text: text.decode(errors="replace")
    packer = Packer()
    while _moved(connection, packer):
        pass
    connection.execute(f"DROP TABLE {_OLD}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # takes effect with the next VACUUM
    with suppress(sqlite3.OperationalError):  # a full disk or a reader; `fhirstore compact` does it later
        connection.execute("VACUUM")


def _moved(connection: sqlite3.Connection, packer: Packer) -> bool:
    """Move some objects. Returns whether there were any."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        rows = connection.execute(_NEXT, (_STEP,)).fetchall()
        known: dict[str, int | None] = {}  # ETag -> body id; a version and its `current.json` are neighbours
        for _, key, etag, size, modified, file, body in rows:
            connection.execute(
                "INSERT INTO objects (key, modified, seal, body) VALUES (?, ?, ?, ?)",
                (key, modified, seal_of(key, etag), _kept(connection, packer, known, (etag, size, file, body))),
            )
        connection.executemany(f"DELETE FROM {_OLD} WHERE id = ?", [row[:1] for row in rows])
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return bool(rows)


def _kept(connection: sqlite3.Connection, packer: Packer, known: dict[str, int | None], body_of: _Body) -> int | None:
    """Returns the id of the stored body; None if it is empty. A damaged body stays damaged: reading it raises."""
    etag, size, file, body = body_of
    if file is None and not body:
        return None
    if file is None and etag in known:
        connection.execute(_SHARE, (known[etag],))
        return known[etag]
    packed = None if body is None else packer.pack(body)
    if body is not None and etag_of(body) != etag:
        packed = b""  # no frame, so it is never taken for what was written
    cursor = connection.execute(
        "INSERT INTO bodies (etag, size, file, packed) VALUES (?, ?, ?, ?)", (etag, size, file, packed)
    )
    if file is None and packed:
        known[etag] = cursor.lastrowid
    return cursor.lastrowid
