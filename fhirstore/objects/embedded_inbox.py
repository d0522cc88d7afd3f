"""The embedded store's inbox: a batch of conditional PUTs as one SQL statement, which is its own transaction.

While SQLite runs a statement, Python lets go of the interpreter. So a batch that is one statement, sync included, runs
beside the event loop from its begin to its end, where four statements a create would stand in its way or wait for it.
The statement inserts into a view, whose triggers do what each row asks. Should one row's condition not hold, the
statement fails as a whole and has done nothing: the writer then goes through the batch row by row, to tell who lost.

https://www.sqlite.org/lang_createtrigger.html#instead_of_trigger
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from fhirstore.objects.base import Condition, IfMatch

Row = tuple[str, str, int, int, str | None, bytes | None, int, str | None]
"""key, etag, size, modified, file, body; how, base: as `asking` says."""

_PLAIN, _IF_ABSENT, _IF_MATCH = 0, 1, 2  # the values of `how`, in the triggers too

_SETUP = (
    """
    CREATE TEMP VIEW inbox AS
    SELECT key, etag, size, modified, file, body, 0 AS how, '' AS base FROM main.objects WHERE 0
    """,
    """
    CREATE TEMP TRIGGER put_plain INSTEAD OF INSERT ON inbox WHEN new.how = 0
    BEGIN
        INSERT INTO objects (etag, size, modified, file, body, key)
        VALUES (new.etag, new.size, new.modified, new.file, new.body, new.key)
        ON CONFLICT (key) DO UPDATE SET
            etag = excluded.etag, size = excluded.size, modified = excluded.modified,
            file = excluded.file, body = excluded.body;
    END
    """,
    """
    CREATE TEMP TRIGGER put_if_absent INSTEAD OF INSERT ON inbox WHEN new.how = 1
    BEGIN
        INSERT INTO objects (etag, size, modified, file, body, key)
        VALUES (new.etag, new.size, new.modified, new.file, new.body, new.key);
    END
    """,
    """
    CREATE TEMP TRIGGER put_if_match INSTEAD OF INSERT ON inbox WHEN new.how = 2
    BEGIN
        UPDATE objects SET etag = new.etag, size = new.size, modified = new.modified, file = new.file, body = new.body
        WHERE key = new.key AND etag = new.base;
        SELECT RAISE (ABORT, 'condition') WHERE changes() = 0;
    END
    """,
)
_INSERT = "INSERT INTO inbox (key, etag, size, modified, file, body, how, base) VALUES "
_VALUES = "(?, ?, ?, ?, ?, ?, ?, ?)"


def asking(condition: Condition | None) -> tuple[int, str | None]:
    """A row's last two columns: what must hold for it to be written."""
    if condition is None:
        return _PLAIN, None
    return (_IF_MATCH, condition.etag) if isinstance(condition, IfMatch) else (_IF_ABSENT, None)


class Inbox:
    """The writing connection's inbox. Its view and triggers are temporary, the connection's own."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        for statement in _SETUP:
            connection.execute(statement)

    def accept(self, rows: Sequence[Row]) -> bool:
        """Write all rows and sync, or none. False: some condition does not hold, or a row is not fit to be stored.

        Raises the other errors of sqlite3, also when something else holds the database's lock.
        """
        values = [value for row in rows for value in row]
        try:
            self._connection.execute(_INSERT + ", ".join([_VALUES] * len(rows)), values)
        except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, ValueError, OverflowError):
            return False
        return True
