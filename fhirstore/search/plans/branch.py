"""The matches of one type in order, from a place on.

Few candidates are sorted. Where there are many, the index is walked in the order of the first key, and each resource
on the way is tested, until nobody asks for more; then follow those without a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import chain, groupby, islice

import msgspec

from fhirstore.errors import InvalidResource
from fhirstore.search.criteria.criterion import Criterion, SortKey
from fhirstore.search.plans.keys import Keys, Walk
from fhirstore.search.plans.order import Order, Position, Row
from fhirstore.search.plans.plan import Plan, Planner
from fhirstore.search.plans.sources import all_tests, as_list

MOST_SORTED = 50_000
"""Resources whose keys are looked up to sort them."""
_AT_ONCE = 32
_rids = msgspec.json.Decoder(list[int]).decode
_BY = {"resource": " INDEXED BY resource_by_t"}


@dataclass(frozen=True, slots=True)
class Branch:
    """`types`: one; or several, whose criteria and keys are about the resource itself. `place`: rows come after it."""

    planner: Planner
    types: Sequence[str]
    criteria: Sequence[Criterion]
    sort: Sequence[SortKey]
    order: Order
    place: Position | None

    def rows(self, most: int) -> Iterator[Row]:
        """Yields the matches in order; at least `most` of them, if there are so many."""
        keys = Keys(self.planner, self.types[0], self.sort)
        plan = self.planner.plan(self.types, self.criteria, ordered=not self.sort, date=keys.date())
        if plan is None:
            return iter(())
        if not self.sort:
            return self._by_rid(plan, "", most)
        expressions = keys.expressions()
        walks, tests = keys.walks_of_pairs(plan.walked), plan.beside
        if not walks and not plan.few:
            walks, tests = keys.walks(plan.of_type), plan.every
        if not walks:
            return self._sorted(plan, keys, expressions, "", most)
        valued = self._walked(tests, walks, keys, expressions)
        missing = self._missing(keys, expressions, most)
        return chain(missing, valued) if self.order.backwards else chain(valued, missing)

    def _by_rid(self, plan: Plan, more: str, most: int, missing: int = 0) -> Iterator[Row]:
        """Yields the candidates in the order of `rid`, with so many keys `missing`. `more`: a test of `{d}`."""
        by_rid, bind = Order(backwards=self.order.backwards), self.planner.bind
        if plan.unordered and (plan.tests or more):
            for rid in self._tested(plan, more, most):
                yield rid, (None,) * missing
            return
        if self.place is not None and not any(key is not None for key in self.place.keys):
            beyond = by_rid.beyond(replace(self.place, keys=()), (), bind, "{d}")
            more = f"{more} AND {beyond}" if more else beyond
        statement = f"{plan.statement(self.planner.at, bind, more=more)} ORDER BY {by_rid.by(())} LIMIT {most}"
        for row in self._run(statement):
            yield row[0], (None,) * missing

    def _tested(self, plan: Plan, more: str, most: int) -> Iterator[int]:
        """Yields the candidates in the order of `rid`: sorted first, so that those after the page are not tested."""
        bind, run = self.planner.bind, self.planner.reader.connection.execute
        candidates = plan.statement(self.planner.at, bind, tested=False)
        ((listed,),) = run(f"SELECT json_group_array(rid) FROM ({candidates})", bind.values)  # half the time of rows
        in_order = sorted(set(_rids(listed)), reverse=self.order.backwards)
        if self.place is not None and not any(key is not None for key in self.place.keys):
            place = self.place.rid
            in_order = [one for one in in_order if (one < place if self.order.backwards else one > place)]
        tests = [one for one in plan.tests if one not in plan.referred]
        test = all_tests([*tests, more] if more else tests).replace("{d}", "d.value") if tests or more else ""
        some, start, found = bind.name(), 0, 0
        while start < len(in_order):
            # so many as the page probably needs, by how many of those before passed
            expected = most if not start else max(most - found, 1) * start // max(found, 1)
            end = start + min(max(expected, most), 4 * max(start, most))
            passed = in_order[start:end]
            for among in plan.referred.values():
                passed = self._referred(passed, among, some)
            if test:
                bind.values[some[1:]] = as_list(passed)
                statement = f"SELECT d.value FROM json_each({some}) d WHERE {test}"
                passed = sorted((row[0] for row in run(statement, bind.values)), reverse=self.order.backwards)
            yield from passed
            start, found = end, found + len(passed)

    def _referred(self, rids: Sequence[int], among: str, some: str) -> list[int]:
        """Returns those of the candidates that are referred to in some pairings (`Pairs.among`). `some`: the name of a
        value that is free.

        By their names, most of which are known: to find them is most of the work of the test in SQL.
        """
        at, bind = self.planner.at, self.planner.bind
        names = self.planner.reader.names(rids)
        bind.values[some[1:]] = as_list(names.values())
        found: set[int] = set()
        for table, valid in at.tables("pair", "p", bind):
            test = f"p.pairing {among} AND p.low IN (SELECT value FROM json_each({some})){valid}"
            query = f"SELECT p.low FROM {table} p WHERE {test}"
            found.update(row[0] for row in self.planner.reader.connection.execute(query, bind.values))
        return [rid for rid in rids if names.get(rid) in found]

    def _sorted(self, plan: Plan, keys: Keys, expressions: Sequence[str | None], more: str, most: int) -> Iterator[Row]:
        """Yields the candidates, sorted. `more`: a test of the resource `{d}`."""
        known = [one for one in expressions if one is not None]
        if len(known) < len(expressions):
            statement = f"{plan.statement(self.planner.at, self.planner.bind, more=more)} LIMIT {MOST_SORTED + 1}"
            yield from self._in_order(keys, [rid for rid, _ in self._run(statement)])
            return
        columns = [f"k{n}" for n in range(len(known))]
        where = f" WHERE {self._beyond(self.place, columns)}" if self.place is not None else ""
        yield from self._run(
            f"SELECT * FROM ({plan.statement(self.planner.at, self.planner.bind, known, more)}){where}"
            f" ORDER BY {self.order.by(columns)} LIMIT {most}"
        )

    def _in_order(self, keys: Keys, rids: Sequence[int]) -> list[Row]:
        """Returns rows of these resources that come after the place, sorted. Raises InvalidResource (too-costly)."""
        if len(rids) > MOST_SORTED:
            text = "The search would sort too many resources; add criteria that few resources meet, or sort by less"
            raise InvalidResource(text, code="too-costly")
        rows = [row for row in keys.of(rids).items() if self.order.is_beyond(row, self.place)]
        return sorted(rows, key=self.order.key)

    def _missing(self, keys: Keys, expressions: Sequence[str | None], most: int) -> Iterator[Row]:
        """Yields the matches without a value of the first key."""
        lacks = keys.lacks()
        has_value = self.place is not None and self.place.keys[0] is not None
        if not lacks or (self.order.backwards and has_value):
            return
        plan = self.planner.plan(self.types, self.criteria, ordered=len(self.sort) == 1)
        if plan is None:
            return
        if len(self.sort) == 1:
            yield from self._by_rid(plan, lacks, most, missing=1)
        else:
            yield from self._sorted(plan, keys, ["NULL", *expressions[1:]], lacks, most)

    def _walked(
        self, tests: Sequence[str], walks: Sequence[Walk], keys: Keys, expressions: Sequence[str | None]
    ) -> Iterator[Row]:
        """Yields the matches with a value of the first key."""
        if self.place is not None and self.place.keys[0] is None and not self.order.backwards:
            return iter(())
        known = [one for one in expressions[1:] if one is not None]
        whole = len(known) == len(expressions) - 1 and (
            expressions[0] is not None or not any(one.many for one in walks)
        )
        order = self.order if whole else replace(self.order, descending=self.order.descending[:1])
        given = [expressions[0] or "", *known] if whole else None
        rows = chain.from_iterable(self._merged(tests, some, given, order) for some in self._in_turn(walks))
        return _distinct(rows) if whole else self._looked_up(keys, _distinct(rows))

    def _in_turn(self, walks: Sequence[Walk]) -> Iterator[Sequence[Walk]]:
        """Yields walks whose rows all come before those of the next ones; rows of the same ones are mixed."""
        if not all(one.constant for one in walks):
            yield walks
            return
        down = self.order.descending[0] is not self.order.backwards
        texts = {one.column: str(self.planner.bind.values[one.column[1:]]) for one in walks}
        in_order = sorted(walks, key=lambda one: texts[one.column], reverse=down)
        for _, some in groupby(in_order, key=lambda one: texts[one.column]):
            yield list(some)

    def _merged(
        self, tests: Sequence[str], walks: Sequence[Walk], keys: Sequence[str] | None, order: Order
    ) -> Iterator[Row]:
        """Yields the rows of walks that pass the tests of a resource `{d}`. `keys`: see `_walk`."""
        at, bind = self.planner.at, self.planner.bind
        streams = [
            self._run(
                self._walk(
                    f"{walk.texts}{' CROSS JOIN ' if walk.texts else ''}{table} d{_BY.get(table, '')}",
                    [walk.source.on("d") + valid, *tests],
                    walk,
                    keys,
                )
            )
            for walk in walks
            for table, valid in at.tables(walk.source.table, "d", bind)
        ]
        yield from merge(*streams, key=order.key)

    def _looked_up(self, keys: Keys, rows: Iterator[Row]) -> Iterator[Row]:
        """Yields rows that have all keys from rows that have the first one: group by group, or some at once where it is
        the only one.
        """
        for first, group in groupby(rows, key=lambda row: row[1][0]):
            rids = (rid for rid, _ in group)
            while some := list(islice(rids, _AT_ONCE if len(self.sort) == 1 else MOST_SORTED + 1)):
                yield from (row for row in self._in_order(keys, some) if row[1][0] == first)

    def _walk(self, table: str, tests: list[str], walk: Walk, keys: Sequence[str] | None) -> str:
        """Returns the statement of a walk through a table `d`. `keys`: the expressions of all keys; None: the rows have
        the first one alone, and those before the place with the same one are among them.
        """
        column, first = walk.column.replace("{x}", "d"), walk.key.replace("{x}", "d")
        others = [key.replace("{d}", "d.rid") for key in keys[1:]] if keys is not None else []
        down = self.order.descending[0] is not self.order.backwards
        if walk.many and keys is not None:
            tests.append(f"{first} = {keys[0]}")
        if self.place is not None and self.place.keys[0] is not None:
            tests.append(f"{column} {'<=' if down else '>='} {self.planner.bind(walk.bound(self.place.keys[0]))}")
            if keys is not None:
                tests.append(self._beyond(self.place, (first, *others), "d.rid"))
        where = all_tests(tests).replace("{d}", "d.rid")
        columns = "".join(f", {one}" for one in (first, *others))
        rest = replace(self.order, descending=self.order.descending[1 : 1 + len(others)]).by(others, "d.rid")
        by = "" if walk.constant else f"{column}{' DESC' if down else ''}, "
        return f"SELECT d.rid{columns} FROM {table} WHERE {where} ORDER BY {by}{rest}"

    def _beyond(self, place: Position, keys: Sequence[str], rid: str = "rid") -> str:
        return self.order.beyond(place, keys, self.planner.bind, rid)

    def _run(self, statement: str) -> Iterator[Row]:
        """Yields rows as they are found."""
        for row in self.planner.reader.connection.execute(statement, self.planner.bind.values):
            yield row[0], tuple(row[1:])


def _distinct(rows: Iterable[Row]) -> Iterator[Row]:
    """Yields rows in order once each."""
    last = None
    for row in rows:
        if row != last:
            yield row
        last = row
