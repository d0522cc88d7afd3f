"""What a criterion becomes: tests of rows, as parts of a statement whose values are bound, never part of the text.

A *source* is a table with a test of its rows; a resource passes a condition if any row of any source passes. Names are
those of the tables in `fhirstore.index.local.schema`.

At the newest sequence number the tables of what ended are not looked at. As of an earlier one, each access has two
arms: rows that are still valid, and rows that ended later.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from fhirstore.index.local.catalogue import Indexed
from fhirstore.index.local.reader import Reader
from fhirstore.index.local.schema import BY_RESOURCE

if TYPE_CHECKING:
    from fhirstore.search.plans.ranges import Sizes

_encode = msgspec.json.Encoder().encode
_BROAD = 16
"""Tests that are joined side by side."""
_EACH, _ALIKE = 60, 20
"""Numbers that a statement has one by one, and in portions, so that one that is kept prepared is for many numbers."""


@dataclass(slots=True)
class Binder:
    """The values of one statement, by name."""

    values: dict[str, object] = field(default_factory=dict)

    def __call__(self, value: object) -> str:
        """Returns the name under which the statement has this value."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def name(self) -> str:
        """Returns the name of a value that is set later."""
        return self(None)

    def any_of(self, values: Iterable[int | str]) -> str:
        """Returns the right side of IN for whole numbers or texts, however many."""
        return f"(SELECT value FROM json_each({self.listed(values)}))"

    def each_of(self, values: Sequence[int]) -> str:
        """Returns the same for some numbers, which SQLite need not read from JSON. For many it is as slow."""
        if len(values) > _EACH:
            return self.any_of(values)
        filled = [*values, *[values[-1]] * (-len(values) % _ALIKE)]
        return f"({', '.join(map(self, filled))})"

    def listed(self, values: Iterable[int | str]) -> str:
        """Returns the name of whole numbers or texts, however many, for json_each."""
        return self(as_list(values))


@dataclass(frozen=True, slots=True)
class At:
    """The sequence number that a search is as of. `newest`: it is the reader's own."""

    seq: int
    newest: bool

    @classmethod
    def of(cls, reader: Reader, seq: int | None) -> At:
        """Returns the sequence number `seq` of a reader; None: its newest."""
        return cls(reader.seq if seq is None else seq, newest=seq is None or seq == reader.seq)

    def tables(self, table: str, alias: str, bind: Binder) -> list[tuple[str, str]]:
        """Returns the tables that have rows valid then, each with its test of validity (or "")."""
        if self.newest:
            return [(table, "")]
        seq = bind(self.seq)
        begun = f" AND {alias}.since <= {seq}"
        return [(table, begun), (f"{table}_old", f"{begun} AND {alias}.until > {seq}")]


@dataclass(frozen=True, slots=True)
class Source:
    """`table`: of values, or `resource`. `test`: of a row `{x}`. `ordered`: rows that pass come in the order of rid."""

    table: str
    test: str
    ordered: bool = False

    def exists(self, rid: str, at: At, bind: Binder, depth: int) -> str:
        """Returns the test whether the resource `rid` has such a row."""
        x = f"x{depth}"
        arms = []
        for table, valid in at.tables(self.table, x, bind):
            by = f" INDEXED BY {table}_by_rid" if table in _BY_RID else ""
            arms.append(f"EXISTS (SELECT 1 FROM {table} {x}{by} WHERE {x}.rid = {rid} AND {self.on(x)}{valid})")
        return any_test(arms)

    def on(self, alias: str) -> str:
        """Returns the test of the rows of an alias."""
        return self.test.replace("{x}", alias)


def as_list(values: Iterable[int | str]) -> str:
    """Returns whole numbers or texts for json_each. Of numbers, msgspec makes it in a tenth of the time."""
    some = list(values)
    return json.dumps(some) if some and isinstance(some[0], str) else _encode(some).decode()


def all_tests(tests: Sequence[str]) -> str:
    """Returns the test whether all of these hold; none always does."""
    return _joined(tests, " AND ") or "1"


def any_test(tests: Sequence[str]) -> str:
    """Returns the test whether any of these holds; none never does."""
    return _joined(tests, " OR ") or "0"


def _joined(tests: Sequence[str], by: str) -> str:
    """Joins a thousand as a tree that is a dozen deep: SQLite refuses expressions that are deeper than a thousand."""
    if len(tests) <= _BROAD:
        return by.join(tests)
    half = len(tests) // 2
    return f"({_joined(tests[:half], by)}){by}({_joined(tests[half:], by)})"


_BY_RID = frozenset(BY_RESOURCE)
_OF_PID = re.compile(r"\{x\}\.pid = -?\d+")


@dataclass(frozen=True, slots=True)
class Condition:
    """A resource passes if a row of any source does; with `negated`, if none does. `drives`: the sources as accesses to
    all resources that pass; empty where there is none worth it. `typed`: they lead to resources of the type only.
    `once`: they lead to no resource twice. `few`: they lead to few resources, without looking. `codes`: where a
    resource passes by having any of some codes, these: the hash of each, and its system; `sizes`: where by any of some
    sizes, these. `covers`: other conditions; it has no sources itself, and leads to all resources that pass all of
    these. `fixed`: the sources are the resources that another criterion leads to.
    """

    sources: tuple[Source, ...]
    negated: bool = False
    drives: tuple[Source, ...] = ()
    typed: bool = False
    once: bool = False
    few: bool = False
    codes: tuple[tuple[int, int], ...] = ()
    sizes: tuple[Sizes, ...] = ()
    covers: tuple[Condition, ...] = ()
    fixed: bool = False

    def test(self, rid: str, at: At, bind: Binder, depth: int = 0) -> str:
        """Returns the test of the resource `rid`, an expression. `depth`: of nesting, for the names of aliases."""
        some = any_test([one.exists(rid, at, bind, depth) for one in _of_one_look(self.sources)])
        return f"NOT ({some})" if self.negated else f"({some})"


def _of_one_look(sources: Sequence[Source]) -> Iterable[Source]:
    """Returns sources of the same rows: those of one parameter of a resource are looked at once, by its index."""
    parts: dict[tuple[str, str], list[str]] = {}
    for source in sources:
        pid, _, rest = source.test.partition(" AND ")
        if source.table in _BY_RID and rest and _OF_PID.fullmatch(pid):
            parts.setdefault((source.table, pid), []).append(rest)
        else:
            parts[source.table, source.test] = []
    for (table, begin), rests in parts.items():
        if len(rests) > 1:
            yield Source(table, f"{begin} AND ({any_test([f'({rest})' for rest in rests])})")
        else:
            yield Source(table, " AND ".join((begin, *rests)))


def several(reader: Reader, indexed: Indexed) -> bool:
    """Returns whether a resource may have, or may have had, more than one value of the parameter: by a seek.

    What elements of composites have is not told apart: their numbers are hashes, of which no shape knows.
    """
    if indexed.in_element:
        return True
    return reader.once(_several, 2 * indexed.pid + 1)


def _several(connection: sqlite3.Connection, member: int) -> bool:
    query = "SELECT 1 FROM shape_parameter WHERE member = ? LIMIT 1"
    return connection.execute(query, (member,)).fetchone() is not None
