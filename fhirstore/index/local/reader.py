"""Reading an index as of one moment: a sequence number, and what belongs to the file as a whole."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from fhirstore.index.local.catalogue import Catalogue
from fhirstore.index.local.hashing import Hash
from fhirstore.index.local.moment import Moment
from fhirstore.index.local.noted import BUILDING, READY, all_noted, noted
from fhirstore.index.local.numbering import unit_of
from fhirstore.index.local.rows import Unit

_LONGEST_KEPT = 256  # characters of what is asked for, or bytes
_MOST_KEPT_VALUES = 8
_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")
_TYPES = """
    WITH RECURSIVE there (type) AS (
        SELECT min(type) FROM shape
        UNION ALL SELECT (SELECT min(type) FROM shape WHERE type > there.type) FROM there WHERE there.type IS NOT NULL
    ) SELECT type FROM there WHERE type IS NOT NULL
"""
"""By seeks: there are few types, and many shapes."""


class Reader:
    """A connection that reads, in one transaction: all that it returns is of one sequence number, `seq`.

    `hurried`: its statements are interrupted when they have taken too long (`IndexFile.read_at_once`). `left`: is set
    when nobody waits any more for what is read; None: somebody does to the end.
    """

    def __init__(self, moment: Moment, catalogue: Catalogue, hashed: Hash, *, hurried: bool = False) -> None:
        self.connection = moment.connection
        self._moment = moment
        self.hurried = hurried
        self.left: threading.Event | None = None
        self.catalogue = catalogue
        self.hashed = hashed
        facts = moment.once(all_noted)
        self.seq: int = facts.get("seq", 0)
        self.uuid: str = facts.get("uuid", "")
        self.ready: bool = facts.get("state", BUILDING) == READY
        self.oldest: int = facts.get("oldest", 0)

    @property
    def types(self) -> Sequence[str]:
        """The types of which the index has, or ever had, a resource."""
        return [self.catalogue.type_name(number) for number in self.once(_types)]

    def rows(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """Returns all rows of a query."""
        return self.connection.execute(query, values).fetchall()

    def once(
        self,
        ask: Callable[Concatenate[sqlite3.Connection, _Given], _Result],
        *given: _Given.args,
        **named: _Given.kwargs,
    ) -> _Result:
        """Returns what `ask` returns of the connection: see `Moment.once`."""
        return self._moment.once(ask, *given, **named)

    def counted(self, query: str, values: Mapping[str, object]) -> int:
        """Returns the number that a query counts: how many rows an access has is asked again and again."""
        given = tuple(values.items())
        few = len(given) <= _MOST_KEPT_VALUES and all(
            not isinstance(value, (str, bytes)) or len(value) <= _LONGEST_KEPT for value in values.values()
        )
        return self.once(_counted, query, given) if few else _counted(self.connection, query, given)

    def names(self, rids: Sequence[int]) -> Mapping[int, int]:
        """Returns the hashes of the names of these resources, by number; also of such as are gone."""
        return self._moment.names(rids)

    def system(self, uri: str) -> int | None:
        """Returns the number of a code system; None where no resource has it."""
        return self.once(_system, uri) if len(uri) <= _LONGEST_KEPT else _system(self.connection, uri)

    def at(self, seq: int) -> int:
        """Returns the time before which all that was acknowledged is in a sequence number, epoch ms; 0 where that is
        not known.
        """
        return self.once(_at, seq)

    def first_since(self, t: int) -> int:
        """Returns the first sequence number that surely holds all that was acknowledged before `t`, epoch ms. What was
        applied while the index was built does not count: it ends some seconds before it was read. The caller must have
        ensured that the index is up to date: then it is the newest if nothing has been applied since `t`.
        """
        whole = int(noted(self.connection, "whole", 0))
        query = "SELECT min(seq) FROM moment WHERE at >= ? AND seq > ?"
        found = self.connection.execute(query, (t, whole)).fetchone()[0]
        return self.seq if found is None else int(found)

    def name_of(self, rid: int) -> tuple[str, str] | None:
        """Returns the type and the id of what has this number, or had it before it was deleted; None: nothing."""
        query = "SELECT type, id FROM resource WHERE rid = ?1 UNION ALL SELECT type, id FROM gone WHERE rid = ?1"
        row = self.connection.execute(query, (rid,)).fetchone()
        return None if row is None else (self.catalogue.type_name(row[0]), row[1])

    def cut(self) -> frozenset[str]:
        """Returns the types of resources of which some have more values than the index."""
        return frozenset(self.catalogue.type_name(number) for number in self.once(_cut))

    def units(self) -> Mapping[int, Unit]:
        """Returns all units that quantities have, by number."""
        return self.once(all_units)


def _counted(connection: sqlite3.Connection, query: str, values: tuple[tuple[str, object], ...]) -> int:
    return int(connection.execute(query, dict(values)).fetchone()[0])


def _system(connection: sqlite3.Connection, uri: str) -> int | None:
    row = connection.execute("SELECT number FROM system WHERE uri = ?", (uri,)).fetchone()
    return None if row is None else int(row[0])


def _at(connection: sqlite3.Connection, seq: int) -> int:
    row = connection.execute("SELECT at FROM moment WHERE seq = ?", (seq,)).fetchone()
    return 0 if row is None else int(row[0])


def _types(connection: sqlite3.Connection) -> tuple[int, ...]:
    return tuple(row[0] for row in connection.execute(_TYPES))


def _cut(connection: sqlite3.Connection) -> tuple[int, ...]:
    return tuple(row[0] for row in connection.execute("SELECT DISTINCT type FROM cut"))


def all_units(connection: sqlite3.Connection) -> dict[int, Unit]:
    """Returns all units that quantities have, by number."""
    rows = connection.execute("SELECT number, written FROM unit")
    return {number: unit_of(written) for number, written in rows}
