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
