"""Conditional PUTs as one SQL statement, which does all of them or none.

SQLite runs a statement without Python's interpreter lock. So a batch that is one statement, sync included, runs beside
the event loop from begin to end (see docs/performance.md, group commit). The statement inserts into a temporary view,
whose triggers do what each row asks. If the condition of one row does not hold, the whole statement fails and has done
nothing; the writer then applies the batch row by row to find out which requests are refused.

A row may name a `twin`: a key that probably has the same body. If it has, judged by its ETag, the body is shared.

https://www.sqlite.org/lang_createtrigger.html#instead_of_trigger
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from fhirstore.objects.base import Condition, IfMatch
from fhirstore.objects.etag import OF_NOTHING

Row = tuple[str, int, int, bytes | None, str | None, int, str | None, bytes | None, str | None, int, str | None]
"""key, modified, seal, facts; etag, size, file and packed of a body that is not empty; twin; how; the ETag of IfMatch.
"""

# `how`, here and in the triggers, is the sum of two: the condition, and the kind of body.
_PLAIN, _IF_ABSENT, _IF_MATCH = 0, 10, 20
_EMPTY, _BODY, _TWIN = 0, 1, 2
_TIME = 90

_VIEW = """
    CREATE TEMP VIEW puts AS
    SELECT key, modified, seal, facts, '' AS etag, 0 AS size, '' AS file, x'' AS packed, '' AS twin, 0 AS how,
    '' AS base
    FROM main.objects WHERE 0
"""
_KEEP = {
    _EMPTY: "",
    _BODY: "INSERT INTO bodies (etag, size, file, packed) VALUES (new.etag, new.size, new.file, new.packed);",
    # The first statement makes a row if there is a twin, else the second does. Its row id is the body's id.
    _TWIN: """
        REPLACE INTO shares SELECT o.body, 1 + coalesce((SELECT more FROM shares WHERE body = o.body), 0)
        FROM objects o JOIN bodies b ON b.id = o.body WHERE o.key = new.twin AND b.etag = new.etag;
        INSERT INTO bodies (etag, size, file, packed) SELECT new.etag, new.size, new.file, new.packed
        WHERE changes() = 0;
    """,
}
_REFERENCE = {_EMPTY: "NULL", _BODY: "last_insert_rowid()", _TWIN: "last_insert_rowid()"}
_INSERT_OBJECT = (
    "INSERT INTO objects (key, modified, seal, body, facts) VALUES (new.key, new.modified, new.seal, {body}, new.facts)"
)
_WRITE = {
    _PLAIN: f"""
        {_INSERT_OBJECT}
        ON CONFLICT (key) DO UPDATE
        SET modified = excluded.modified, seal = excluded.seal, body = excluded.body, facts = excluded.facts;
    """,
    _IF_ABSENT: f"{_INSERT_OBJECT};",
    _IF_MATCH: f"""
        UPDATE objects SET modified = new.modified, seal = new.seal, body = {{body}}, facts = new.facts
        WHERE key = new.key
        AND coalesce((SELECT b.etag FROM bodies b WHERE b.id = objects.body), '{OF_NOTHING}') = new.base;
        SELECT RAISE (ABORT, 'condition') WHERE changes() = 0;
    """,
}
_TRIGGERS = {
    _TIME: "UPDATE clock SET reached = new.modified WHERE reached < new.modified;",
    **{
        condition + body: _KEEP[body] + write.format(body=_REFERENCE[body])
        for condition, write in _WRITE.items()
        for body in _KEEP
    },
}
_SETUP = (
    _VIEW,
    *(
        f"CREATE TEMP TRIGGER put_{how} INSTEAD OF INSERT ON puts WHEN new.how = {how} BEGIN {what} END"
        for how, what in _TRIGGERS.items()
    ),
)
_INSERT = "INSERT INTO puts (key, modified, seal, facts, etag, size, file, packed, twin, how, base) VALUES "
_VALUES = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_REFUSED = (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_TRIGGER)


def how(condition: Condition | None, *, empty: bool, twin: bool) -> int:
    """Returns which trigger handles a row."""
    asked = _PLAIN if condition is None else _IF_MATCH if isinstance(condition, IfMatch) else _IF_ABSENT
    return asked + (_EMPTY if empty else _TWIN if twin else _BODY)


def time_row(now: int) -> Row:
    """Returns the row that stores the time of its commit, epoch ms."""
    return ("", now, 0, None, None, 0, None, None, None, _TIME, None)


class PutBatch:
    """The view and its triggers on the writing connection. They are temporary, so other connections do not see them."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        for statement in _SETUP:
            connection.execute(statement)

    def accept(self, rows: Sequence[Row]) -> bool:
        """Write all rows and sync, or none. Returns False where a condition does not hold or a row cannot be stored.

        Raises the other errors of sqlite3, also where another connection holds the database's lock.
        """
        try:
            self._insert(rows)
        except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, ValueError, OverflowError):
            return False
        return True

    def put(self, row: Row) -> bool:
        """Write one row within a transaction. Returns whether its condition holds. Raises the errors of sqlite3."""
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
