"""What a connection has read of one moment of an index file: it is read once, however many searches need it.

The moment lasts until anyone changes the file. Then SQLite says so, and all of it is forgotten.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Hashable, Sequence
from typing import Concatenate, ParamSpec, TypeVar, cast

_MOST_KEPT = 2_000
_MOST_NAMES = 20_000
_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class Moment:
    """The moment that a transaction of a connection shows. For one thread at a time."""

    def __init__(self, connection: sqlite3.Connection, version: int, names: dict[int, int] | None = None) -> None:
        self.connection = connection
        self.version = version
        self._kept: dict[Hashable, object] = {}
        self._names = {} if names is None else names

    def once(
        self,
        ask: Callable[Concatenate[sqlite3.Connection, _Given], _Result],
        *given: _Given.args,
        **named: _Given.kwargs,
    ) -> _Result:
        """Returns what `ask` returns of the connection and what is given, which it was perhaps asked before.

        `ask` must depend on nothing else. Its answer must be small, and is never changed.
        """
        key = (ask, given, tuple(named.items()))
        if key in self._kept:
            return cast("_Result", self._kept[key])
        found = ask(self.connection, *given, **named)
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[key] = found
        return found

    def names(self, rids: Sequence[int]) -> dict[int, int]:
        """Returns the hashes of the names of resources, by their numbers. Those that were asked for before are known
        for as long as the connection lasts: a number is never that of another name, whatever becomes of the resource.
        """
        found = {rid: self._names[rid] for rid in rids if rid in self._names}
        for table in ("resource", "gone"):
            if len(found) < len(rids) and (missing := [rid for rid in rids if rid not in found]):
                query = f"SELECT rid, name FROM {table} WHERE rid IN (SELECT value FROM json_each(?))"
                found.update(self.connection.execute(query, (json.dumps(missing),)).fetchall())
        if len(self._names) + len(found) > _MOST_NAMES:
            self._names.clear()
        self._names.update(found)
        return found


class Connection(sqlite3.Connection):
    """A connection to an index file, with the moment that it has read last."""

    _moment: Moment | None = None
    _names: dict[int, int] | None = None

    def moment(self) -> Moment:
        """Returns the moment that the transaction shows; it begins here at the latest."""
        version = int(self.execute("PRAGMA data_version").fetchone()[0])
        if self._moment is None or self._moment.version != version:
            self._names = {} if self._names is None else self._names
            self._moment = Moment(self, version, self._names)
        return self._moment
