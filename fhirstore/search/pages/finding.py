"""A page of a search as of one moment: the names of the matches in order, the total, and whether others follow.

Contents are not read here.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from heapq import merge
from itertools import count, islice

import msgspec

from fhirstore.errors import AccessDenied, InvalidResource
from fhirstore.index.local.reader import Reader
from fhirstore.search.criteria.criterion import OF_ANY_TYPE, Criterion, Query
from fhirstore.search.criteria.limits import Limits, everything
from fhirstore.search.plans.branch import Branch
from fhirstore.search.plans.order import Key, Order, Position, Row
from fhirstore.search.plans.plan import Planner
from fhirstore.search.plans.sources import At, Binder

_MOST_STEPS, _MOST_SECONDS = 20_000, 4.0
"""Steps that a page with its total may take, and seconds of a processor: a step may take thirty times as long as
another one."""
_STEP = 20_000
"""Of these, SQLite takes so many between looks: some milliseconds."""
_TOO_LARGE = ("too large", "too many", "too big", "stack overflow")


class Name(msgspec.Struct, frozen=True, order=True):
    """A version of a resource in an index. `t`: epoch ms. `keys`: of the sort."""

    rid: int
    type: str
    id: str
    version: int
    t: int
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """`names`: of the matches of a page, in order. `more`: others follow; or, read backwards, others come before.
    `total`: of all pages, None where it was not asked.
    """

    names: tuple[Name, ...]
    more: bool
    total: int | None


def names_of(reader: Reader, query: Query, most: int, *, now: int, limits: Limits = everything) -> list[Name]:
    """Returns up to `most` matches as of the newest sequence number, whatever the search says of order and size.

    `now`: epoch ms, for `ap`. Raises as `find`.
    """
    asked = replace(query, sort=(), count=most, total="none")
    return list(find(reader, asked, now=now, limits=limits).names)


def find(
    reader: Reader,
    query: Query,
    *,
    now: int,
    seq: int | None = None,
    after: Position | None = None,
    before: Position | None = None,
    limits: Limits = everything,
) -> Found:
    """Returns a page as of the sequence number `seq`; None: the newest. `after`: the last match of the page before.
    `before`: the first match of the page that follows, for a page read backwards.

    `now`: epoch ms, for `ap`. `limits`: what may be found. A type of which nothing may be is left out of a search of
    all types. Raises AccessDenied, InvalidResource (too-costly, or a malformed value), Unsupported.
    """
    order = Order(tuple(key.descending for key in query.sort), backwards=before is not None)
    finding = _Finding(reader, At.of(reader, seq), now, limits, query, order)
    with bounded(reader):
        return finding.find(before if order.backwards else after)


@contextmanager
def bounded(reader: Reader) -> Iterator[None]:
    """While it lasts, a reader works so long at most. Raises InvalidResource (too-costly) where it wants more, and for
    statements that are larger than SQLite takes.

    One that is hurried has a nearer bound of its own.
    """
    if not reader.hurried:
        until, taken, left = time.thread_time() + _MOST_SECONDS, count(1), reader.left

        def is_over() -> bool:
            return next(taken) > _MOST_STEPS or time.thread_time() > until or (left is not None and left.is_set())

        reader.connection.set_progress_handler(is_over, _STEP)
    try:
        yield
    except (sqlite3.OperationalError, sqlite3.DataError) as error:
        if _is_interrupt(error) and not reader.hurried:
            text = "The search looks at too many resources; add criteria that few resources meet"
        elif any(words in str(error) for words in _TOO_LARGE):
            text = "The search has too many criteria and values"
        else:
            raise
        raise InvalidResource(text, code="too-costly") from error
    finally:
        if not reader.hurried:
            reader.connection.set_progress_handler(None, 0)


def _is_interrupt(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "interrupted" in str(error)


@dataclass(frozen=True, slots=True)
class _Finding:
    reader: Reader
    at: At
    now: int
    limits: Limits
    query: Query
    order: Order

    def find(self, place: Position | None) -> Found:
        query = self.query
        branches = list(self._branches())
        rows: list[Row] = []
        if query.count:
            streams = [self._rows(*branch, place) for branch in branches]
            rows = list(
                islice(merge(*streams, key=self.order.key) if len(streams) != 1 else streams[0], query.count + 1)
            )
        total = self._total(branches)
        page = rows[: query.count]
        names = named(self.reader, self.at, page[::-1] if self.order.backwards else page)
        return Found(tuple(names), len(rows) > len(page), total)

    def _total(self, branches: Sequence[tuple[Sequence[str], Sequence[Criterion]]]) -> int | None:
        if self.query.count and self.query.total not in ("accurate", "estimate"):
            return None
        try:
            return sum(self._counted(*branch) for branch in branches)
        except sqlite3.OperationalError as error:
            if self.query.total != "estimate" or not _is_interrupt(error):
                raise
            return None

    def _branches(self) -> Iterator[tuple[tuple[str, ...], tuple[Criterion, ...]]]:
        """Yields what may be searched: types, with their criteria. Raises AccessDenied for a type that is named.

        Types are searched together whose criteria are the same and of any type, as their keys are.
        """
        branches = self.query.branches
        if len(branches) > 1:
            there = set(self.reader.types)
            branches = tuple(one for one in branches if one[0] in there or not self.query.everywhere)
        plain = all(key.code in ("_id", "_lastUpdated") for key in self.query.sort)
        together: list[tuple[tuple[Criterion, ...], list[str]]] = []
        for type_, criteria in branches:
            try:
                limit = self.limits(type_)
            except AccessDenied:
                if not self.query.everywhere:
                    raise
                continue
            if not plain or limit is not None:
                yield (type_,), criteria
            elif (types := next((some for same, some in together if same == criteria), None)) is not None:
                types.append(type_)
            elif all(isinstance(one, OF_ANY_TYPE) for one in criteria):
                together.append((criteria, [type_]))
            else:
                yield (type_,), criteria
        for criteria, types in together:
            yield tuple(types), criteria

    def _rows(self, types: Sequence[str], criteria: Sequence[Criterion], place: Position | None) -> Iterator[Row]:
        planner = Planner(self.reader, self.at, self.now, Binder(), self.limits)
        return Branch(planner, types, criteria, self.query.sort, self.order, place).rows(self.query.count + 1)

    def _counted(self, types: Sequence[str], criteria: Sequence[Criterion]) -> int:
        planner = Planner(self.reader, self.at, self.now, Binder(), self.limits)
        plan = planner.plan(types, criteria, whole=True)
        if plan is None:
            return 0
        statement = f"SELECT count(*) FROM ({plan.statement(self.at, planner.bind)})"
        return int(self.reader.connection.execute(statement, planner.bind.values).fetchone()[0])


def named(reader: Reader, at: At, rows: Sequence[Row]) -> list[Name]:
    """Returns the names of these resources, as of `at`, in the same order; not of what was not there then."""
    if not rows:
        return []
    bind = Binder()
    found: dict[int, tuple[int, str, int, int]] = {}
    some = bind.each_of([rid for rid, _ in rows])
    for table, valid in at.tables("resource", "r", bind):
        query = f"SELECT r.rid, r.type, r.id, r.version, r.t FROM {table} r WHERE r.rid IN {some}{valid}"
        for rid, *there in reader.connection.execute(query, bind.values):
            found[rid] = tuple(there)
    type_name = reader.catalogue.type_name
    return [
        Name(rid, type_name(there[0]), there[1], there[2], there[3], keys)
        for rid, keys in rows
        if (there := found.get(rid)) is not None
    ]
