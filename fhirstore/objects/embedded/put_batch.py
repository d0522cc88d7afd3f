"""The embedded store's inbox: conditional PUTs as one SQL statement, which does all of them or none.

While SQLite runs a statement, Python lets go of the interpreter. So a batch that is one statement, sync included, runs
beside the event loop from its begin to its end, where four statements a create would stand in its way or wait for it.
The statement inserts into a view, whose triggers do what each row asks. Should one row's condition not hold, the
statement fails as a whole and has done nothing: the writer then goes through the batch row by row, to tell who lost.

A row may name a `twin`: a key that is thought to have the same body. Where it has, by its ETag, the body is shared.

https://www.sqlite.org/lang_createtrigger.html#instead_of_trigger
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from fhirstore.objects.base import Condition, IfMatch
from fhirstore.objects.etag import OF_NOTHING

Row = tuple[str, int, int, str | None, int, str | None, bytes | None, str | None, int, str | None]
"""key, modified, seal; etag, size, file, packed of a body that is not empty; twin; how; the ETag of IfMatch."""

# `how`, in the triggers too: what must hold, plus what the body is.
_PLAIN, _IF_ABSENT, _IF_MATCH = 0, 10, 20
_EMPTY, _BODY, _TWIN = 0, 1, 2
_TIME = 90

_VIEW = """
    CREATE TEMP VIEW inbox AS
    SELECT key, modified, seal, '' AS etag, 0 AS size, '' AS file, x'' AS packed, '' AS twin, 0 AS how, '' AS base
    FROM main.objects WHERE 0
"""
_KEEP = {
    _EMPTY: "",
    _BODY: "INSERT INTO bodies (etag, size, file, packed) VALUES (new.etag, new.size, new.file, new.packed);",
    # Either of the two makes a row, whose number is that of the body: where there is no twin, the second.
    _TWIN: """
        REPLACE INTO shares SELECT o.body, 1 + coalesce((SELECT more FROM shares WHERE body = o.body), 0)
        FROM objects o JOIN bodies b ON b.id = o.body WHERE o.key = new.twin AND b.etag = new.etag;
        INSERT INTO bodies (etag, size, file, packed) SELECT new.etag, new.size, new.file, new.packed
        WHERE changes() = 0;
    """,
}
_REFERENCE = {_EMPTY: "NULL", _BODY: "last_insert_rowid()", _TWIN: "last_insert_rowid()"}
_INSERT_OBJECT = "INSERT INTO objects (key, modified, seal, body) VALUES (new.key, new.modified, new.seal, {body})"
_WRITE = {
    _PLAIN: f"""
        {_INSERT_OBJECT}
        ON CONFLICT (key) DO UPDATE SET modified = excluded.modified, seal = excluded.seal, body = excluded.body;
    """,
    _IF_ABSENT: f"{_INSERT_OBJECT};",
    _IF_MATCH: f"""
        UPDATE objects SET modified = new.modified, seal = new.seal, body = {{body}}
        WHERE key = new.key
        AND coalesce((SELECT b.etag FROM bodies b WHERE b.id = objects.body), '{OF_NOTHING}') = new.base;
        SELECT RAISE (ABORT, 'condition') WHERE changes() = 0;
    """,
}
_TRIGGERS = {
    _TIME: "UPDATE clock SET high = new.modified WHERE high < new.modified;",
    **{
        condition + body: _KEEP[body] + write.format(body=_REFERENCE[body])
        for condition, write in _WRITE.items()
        for body in _KEEP
    },
}
_SETUP = (
    _VIEW,
    *(
        f"CREATE TEMP TRIGGER put_{how} INSTEAD OF INSERT ON inbox WHEN new.how = {how} BEGIN {what} END"
        for how, what in _TRIGGERS.items()
    ),
)
_INSERT = "INSERT INTO inbox (key, modified, seal, etag, size, file, packed, twin, how, base) VALUES "
_VALUES = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_REFUSED = (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_TRIGGER)


def how(condition: Condition | None, *, empty: bool, twin: bool) -> int:
    """What a row's trigger does."""
    asked = _PLAIN if condition is None else _IF_MATCH if isinstance(condition, IfMatch) else _IF_ABSENT
    return asked + (_EMPTY if empty else _TWIN if twin else _BODY)


def time_row(now: int) -> Row:
    """A row that keeps the time of its commit, epoch ms."""
    return ("", now, 0, None, 0, None, None, None, _TIME, None)


class PutBatch:
    """The writing connection's inbox. Its view and triggers are temporary, the connection's own."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        for statement in _SETUP:
            connection.execute(statement)

    def accept(self, rows: Sequence[Row]) -> bool:
        """Write all rows and sync, or none. False: some condition does not hold, or a row is not fit to be stored.

        Raises the other errors of sqlite3, also when something else holds the database's lock.
        """
        try:
            self._insert(rows)
        except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, ValueError, OverflowError):
            return False
        return True

    def put(self, row: Row) -> bool:
        """Write one row within a transaction; False: its condition does not hold. Raises the errors of sqlite3."""
        try:
            self._insert((row,))
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode in _REFUSED:
                return False
            raise
        return True

    def _insert(self, rows: Sequence[Row]) -> None:
        values = [value for row in rows for value in row]
        self._connection.execute(_INSERT + ", ".join([_VALUES] * len(rows)), values)
