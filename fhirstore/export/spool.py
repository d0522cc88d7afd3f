"""Facts of an export that are too many for memory: on this machine's disk, for as long as a task runs.

They are made anew by a worker that takes the task over, so nothing in the bucket depends on them. SQLite keeps a
database without a name in a temporary file, which goes with the connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

_LATEST = """
CREATE TABLE latest (target TEXT PRIMARY KEY, recorded INTEGER, t INTEGER, id TEXT) WITHOUT ROWID
"""
_KEEP = """
INSERT INTO latest VALUES (?, ?, ?, ?) ON CONFLICT (target)
DO UPDATE SET recorded = excluded.recorded, t = excluded.t, id = excluded.id
WHERE (excluded.recorded, excluded.t, excluded.id) > (recorded, t, id)
"""


class LatestSpool:
    """The id of the latest of many resources that refer to a target. About 100 bytes of disk per target."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._connection.execute(_LATEST)

    def add(self, rows: Iterable[tuple[str, int, int, str]]) -> None:
        """Adds (target, recorded, t, id): of one target, the greatest (recorded, t, id) is kept. Times are epoch ms."""
        self._connection.execute("BEGIN")
        self._connection.executemany(_KEEP, rows)
        self._connection.execute("COMMIT")

    def latest(self, targets: Sequence[str]) -> dict[str, str]:
        """Returns the id of the latest by target, of those that are known."""
        found: dict[str, str] = {}
        for target in targets:
            for (id_,) in self._connection.execute("SELECT id FROM latest WHERE target = ?", (target,)):
                found[target] = id_
        return found

    def close(self) -> None:
        """Removes it."""
        self._connection.close()


_ROWS = """
CREATE TABLE rows (
  patient TEXT, rank INTEGER, type TEXT, id TEXT, size INTEGER, PRIMARY KEY (patient, rank, type, id)
) WITHOUT ROWID
"""
_OTHERS = "CREATE TABLE others (kind TEXT, data BLOB)"
_NEXT = """
SELECT patient, rank, type, id FROM rows WHERE (patient, rank, type, id) > (?, ?, ?, ?) ORDER BY 1, 2, 3, 4 LIMIT ?
"""

Row = tuple[str, int, str, str]
"""Patient, rank, type, id: the order of the blocks, and of the resources in each."""


class BlockSpool:
    """Which resources belong to which patients. About 100 bytes of disk per resource and patient."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._connection.execute(_ROWS)
        self._connection.execute(_OTHERS)

    def add(self, rows: Iterable[tuple[str, int, str, str, int]], others: Iterable[tuple[str, bytes]]) -> None:
        """Adds rows, each with the size of the resource's line, and lines of other kinds."""
        self._connection.execute("BEGIN")
        self._connection.executemany("INSERT OR IGNORE INTO rows VALUES (?, ?, ?, ?, ?)", rows)
        self._connection.executemany("INSERT INTO others VALUES (?, ?)", others)
        self._connection.execute("COMMIT")

    def after(self, row: Row, limit: int) -> list[Row]:
        """Returns the rows that follow one."""
        return self._connection.execute(_NEXT, (*row, limit)).fetchall()

    def size(self, patient: str) -> tuple[int, int]:
        """Returns the bytes and lines of a patient's block, its header left out."""
        asked = "SELECT coalesce(sum(size), 0), count(*) FROM rows WHERE patient = ?"
        found: tuple[int, int] = self._connection.execute(asked, (patient,)).fetchone()
        return found

    def others(self) -> list[tuple[str, bytes]]:
        """Returns the lines of other kinds, in the order in which they were added."""
        return self._connection.execute("SELECT kind, data FROM others ORDER BY rowid").fetchall()

    def close(self) -> None:
        """Removes it."""
        self._connection.close()
