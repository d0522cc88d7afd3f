"""How the resources that meet criteria are found: which access leads to them, and what tests them.

Each criterion tests a resource; some also lead to all resources that pass. The access with the fewest rows drives,
which a bounded count tells; all other criteria are tests. Where no access leads to few, one whose rows come in the
order of `rid` does, since a page then ends as soon as it is full; otherwise all resources of the type are walked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from fhirstore.errors import InvalidResource
from fhirstore.index.local.catalogue import Indexed
from fhirstore.index.local.reader import Reader
from fhirstore.search.criteria.criterion import (
    AnyOf,
    ById,
    ByTime,
    ByValue,
    Chained,
    Criterion,
    InCompartment,
    InElement,
    Missing,
    Referred,
)
from fhirstore.search.criteria.last_updated import within_times
from fhirstore.search.criteria.limits import Limits, check_limits, everything, may_search
from fhirstore.search.plans import bounds
from fhirstore.search.plans.conditions import Conditions
from fhirstore.search.plans.elements import spread
from fhirstore.search.plans.links import NOWHERE, Links, Near
from fhirstore.search.plans.pairs import Known, Pairs
from fhirstore.search.plans.sources import At, Binder, Condition, Source, all_tests, any_test, several

_EVERY = "1"
"""The test of all resources."""
_RANGES = ("date", "number", "quantity")

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class Plan:
    """`drives`: the accesses that lead to all candidates. `tests`: of a candidate `{d}`. `every`: the tests of any
    resource `{d}` of the type (`of_type`), for what another access leads to; not for a page in the order of `rid`, nor
    where the candidates are `few` enough to sort them. `once`: no candidate comes twice. `referred`: those of the tests
    that say no more than that the resource is referred to in some pairings, each with these (`Pairs.among`).
    `walked`: accesses that lead to all that have a date to sort by, in its order, to be tested with `beside`; empty
    where there are none, or sorting takes less.
    """

    drives: tuple[Source, ...]
    tests: tuple[str, ...]
    every: tuple[str, ...]
    of_type: Source
    few: bool
    once: bool
    walked: tuple[Source, ...] = ()
    beside: tuple[str, ...] = ()
    referred: Mapping[str, str] = field(default_factory=dict)

    @property
    def unordered(self) -> bool:
        """Whether the candidates are few, and come in no order; they are tested as resources `{d}`."""
        in_order = len(self.drives) == 1 and self.drives[0].ordered
        return self.few and not in_order and not any(one.table == "resource" for one in self.drives)

    def statement(self, at: At, bind: Binder, keys: Sequence[str] = (), more: str = "", *, tested: bool = True) -> str:
        """Returns the statement for all that is found: `rid`, then `k0`, `k1` … for expressions of the resource `{d}`.

        `more`: a test of `{d}` beside. Not `tested`: for all candidates, of which one may come twice.
        """
        tests: tuple[str, ...] = () if not tested else (*self.tests, more) if more else self.tests
        columns = "".join(f", {key} AS k{n}" for n, key in enumerate(keys)).replace("{d}", "d.rid")
        arms = []
        for source in self.drives:
            for table, valid in at.tables(source.table, "d", bind):
                where = all_tests((source.on("d") + valid, *tests)).replace("{d}", "d.rid")
                how = " NOT INDEXED" if source.test == _EVERY else ""  # but by `rid`
                arms.append(f"SELECT d.rid AS rid{columns} FROM {table} d{how} WHERE {where}")
        if self.once or not tested:
            return " UNION ALL ".join(arms)
        return arms[0].replace("SELECT", "SELECT DISTINCT", 1) if len(arms) == 1 else " UNION ".join(arms)


@dataclass(slots=True)
class _Met:
    """What a resource must meet. `known`: conditions, with the criteria of one parameter that they are of. `linking`:
    criteria about other resources. `tests`: others, of the resource `{d}`. `fixed`: the only resources that pass one,
    which is number `of_fixed`.
    """

    conditions: list[Condition]
    known: list[Known]
    linking: list[Criterion] = field(default_factory=list)
    tests: list[str] = field(default_factory=list)
    fixed: Sequence[int] | None = None
    of_fixed: int = -1
    referred: dict[str, str] = field(default_factory=dict)

    def add(self, test: str, few: Sequence[int] | None) -> None:
        """`few`: the resources that pass the test; None: they are not known."""
        if few is not None and (self.fixed is None or len(few) < len(self.fixed)):
            self.fixed, self.of_fixed = few, len(self.tests)
        self.tests.append(test)


@dataclass(slots=True)
class Planner:
    """Plans searches of one reader, as of `at`. `now`: epoch ms, for the prefix `ap`. `limits`: of every type."""

    reader: Reader
    at: At
    now: int
    bind: Binder
    limits: Limits = everything
    _sizes: list[tuple[Condition, int, int]] = field(default_factory=list)

    def plan(
        self,
        types: Sequence[str],
        criteria: Sequence[Criterion],
        *,
        ordered: bool = False,
        date: Indexed | None = None,
        whole: bool = False,
    ) -> Plan | None:
        """Returns how the resources of a type that meet the criteria and its limit are found; None where nothing can.

        Of several types, the criteria must be `OF_ANY_TYPE`, and without limits.
        `ordered`: a page in the order of `rid` is looked for, not all; `date`: a page in the order of that date;
        `whole`: all, in any order. Raises AccessDenied, InvalidResource, Unsupported.
        """
        for criterion in criteria:
            check_limits(self.limits, criterion)
        limited = criteria if len(types) != 1 else self.limited(types[0], criteria)
        return self._meeting(types, limited, ordered=ordered, date=date, whole=whole)

    def limited(self, type: str, criteria: Sequence[Criterion]) -> Sequence[Criterion]:
        """Returns the criteria with the limit of a type. Raises AccessDenied."""
        limit = self.limits(type)
        return criteria if limit is None else (*criteria, limit)

    def _meeting(
        self,
        types: Sequence[str],
        criteria: Sequence[Criterion],
        *,
        ordered: bool = False,
        date: Indexed | None = None,
        whole: bool = False,
    ) -> Plan | None:
        met = self._met(types, criteria)
        if met is None:
            return None
        pairs = Pairs(self.reader, self.at, self.bind, self.now)
        together = list(pairs.together(met.known)) if len(met.known) > 1 else []
        if not all(one.drives for one in together):
            return None  # no resource has both
        leading = [*together, *met.conditions]
        near = self._near(leading, met.fixed, ordered=ordered) if met.linking else NOWHERE
        for criterion in met.linking:
            linked = Links(self).of(types[0], criterion, "{d}", 1, near)
            met.add(linked.text, linked.few)
            if linked.among:
                met.referred[linked.text] = linked.among
        if met.fixed is not None and not met.fixed:
            return None
        of_type = self._of_type(types)
        in_order = [] if date is None else list(pairs.in_order(met.known, date))
        lone = [one for one in leading if one.drives] if in_order and met.fixed is None else []
        if len(lone) == 1 and lone[0] is in_order[0][0]:
            driver, few, size = lone[0], False, 0  # however many there are
        else:
            driver, few, size = self._driver(leading, met.fixed, of_type, ordered=ordered, whole=whole)
        found = self._led(driver, met, of_type, few=few, all_tested=not (few or ordered))
        for condition, sources in in_order:
            if not few or (condition is driver and size > bounds.SORTED_SOON):
                beside = (*self._tests(one for one in met.conditions if one is not condition), *met.tests)
                return replace(found, walked=sources, beside=beside)
        return found

    def _met(self, types: Sequence[str], criteria: Sequence[Criterion]) -> _Met | None:
        """Returns the conditions of criteria; None where nothing can meet them."""
        known, alone = self._together(spread(self.reader, within_times(criteria), seq=self.at.seq, now=self.now))
        met = _Met([condition for _, condition in known], known)
        for criterion in alone:
            condition = self._plain(types, criterion)
            if condition is None:
                met.linking.append(criterion)
            elif len(condition.drives) > bounds.MOST_DRIVES and (some := self.rids(condition, bounds.FEW)) is not None:
                met.add(f"{{d}} IN {self.bind.any_of(some)}", some)
            else:
                met.conditions.append(condition)
                if isinstance(criterion, ByValue):
                    known.append(([criterion], condition))
        return met if all(one.sources or one.negated for one in met.conditions) else None

    def _led(self, driver: Condition, met: _Met, of_type: Condition, *, few: bool, all_tested: bool) -> Plan:
        """Returns the plan with this driver."""
        of_resource = [source.table == "resource" for source in driver.drives]
        covered = (driver, *driver.covers)
        beside = [one for one in met.conditions if not any(one is other for other in covered)]
        if any(of_resource) and driver is not of_type and not driver.typed:
            beside.append(of_type)
        mine = tuple(self._tested(one, of_resource=all(of_resource)) for one in beside)
        tests = [test for number, test in enumerate(met.tests) if not driver.fixed or number != met.of_fixed]
        every = self._tests(met.conditions) if all_tested else ()
        once = driver.once or (len(driver.drives) == 1 and driver.drives[0].ordered)
        of_type_ = of_type.sources[0]
        return Plan(driver.drives, (*mine, *tests), (*every, *met.tests), of_type_, few, once, referred=met.referred)

    def _tests(self, conditions: Iterable[Condition]) -> tuple[str, ...]:
        return tuple(one.test("{d}", self.at, self.bind) for one in conditions)

    def _near(self, leading: Sequence[Condition], fixed: Sequence[int] | None, *, ordered: bool) -> Near:
        """Returns to how many resources the best access leads."""
        near = bounds.FEW + 1 if fixed is None else len(fixed)
        for one in sorted(leading, key=lambda one: (not one.covers, len(one.drives))):
            if 0 < len(one.drives) <= bounds.MOST_DRIVES and near > bounds.CHEAP:
                near = min(near, self.size(one, min(near, bounds.FEW)))
        return Near(near, ordered)

    def _of_type(self, types: Sequence[str]) -> Condition:
        numbers = [self.reader.catalogue.type_number(one) for one in types]
        if len(numbers) > 1 and set(types).issuperset(self.reader.types):
            test = _EVERY
        else:
            test = f"{{x}}.type = {numbers[0]}" if len(numbers) == 1 else f"{{x}}.type IN {self.bind.any_of(numbers)}"
        source = Source("resource", test, ordered=len(numbers) == 1 or test == _EVERY)
        return Condition((source,), drives=(source,), once=True)

    def _tested(self, condition: Condition, *, of_resource: bool) -> str:
        """Returns the test of a candidate, which is a row of `resource` itself if `of_resource`."""
        if of_resource and condition.sources and all(source.table == "resource" for source in condition.sources):
            some = any_test([source.on("d") for source in condition.sources])
            return f"NOT ({some})" if condition.negated else f"({some})"
        return condition.test("{d}", self.at, self.bind)

    def _driver(
        self,
        conditions: Sequence[Condition],
        fixed: Sequence[int] | None,
        of_type: Condition,
        *,
        ordered: bool,
        whole: bool,
    ) -> tuple[Condition, bool, int]:
        """Returns what leads to the candidates, whether these are few, and how many rows it has if they are."""
        leading = [one for one in conditions if 0 < len(one.drives) <= bounds.MOST_DRIVES]
        if fixed is None and len(leading) == 1 and (whole or (ordered and _in_order(leading[0]))):
            return leading[0], False, 0
        if ordered and fixed is None and len(leading) == 1 and leading[0].few:
            return leading[0], True, 0
        if ordered and fixed is None and len(leading) == 1 and self._is_dense(leading[0], of_type):
            return of_type, False, 0
        size, best = bounds.SORTED + 1, of_type
        for one in sorted(leading, key=lambda one: (not one.covers, len(one.drives))):
            # a larger one than the smallest need not be counted
            found = size if size <= bounds.CHEAP else self.size(one, min(size, bounds.SORTED))
            if found < size:
                size, best = found, one
        if fixed is not None and len(fixed) < size:
            some = Source("resource", f"{{x}}.rid IN {self.bind.any_of(fixed)} AND {of_type.sources[0].test}")
            return Condition((some,), drives=(some,), typed=True, once=True, fixed=True), True, len(fixed)
        if size <= bounds.SORTED or not leading:
            return best, size <= bounds.SORTED, size
        if ordered:
            leading = [one for one in leading if _in_order(one)]
        if len(leading) > 1:
            leading = [min(leading, key=lambda one: self.size(one, bounds.COUNTED))]
        return (leading[0] if leading else of_type), False, size

    def _is_dense(self, condition: Condition, of_type: Condition) -> bool:
        """Returns whether many resources pass a condition about their own row, so that a page is full soon."""
        if not _in_order(of_type) or not all(one.table == "resource" for one in condition.sources):
            return False
        test = any_test([one.on("d") for one in condition.sources])
        how = " NOT INDEXED" if of_type.sources[0].test == _EVERY else ""
        columns, which = "x.rid, x.name, x.type, x.t, x.shape", of_type.sources[0].on("x")
        first = f"SELECT {columns} FROM resource x{how} WHERE {which} ORDER BY x.rid LIMIT {bounds.FIRST}"
        query = f"SELECT count(*) FROM (SELECT 1 FROM ({first}) d WHERE {test} LIMIT {bounds.DENSE})"
        found = self.reader.connection.execute(query, self.bind.values).fetchone()[0]
        return bool(found >= bounds.DENSE)

    def visible(self, types: Iterable[str], alias: str) -> str:
        """Returns the test whether a row of `resource` is of one of these types and meets its limit; it is empty where
        all of them may be found.
        """
        free: list[int] = []
        tests: list[str] = []
        limited = False
        for one in types:
            number = self.reader.catalogue.type_number(one)
            if not may_search(self.limits, one):
                limited = True
            elif (limit := self.limits(one)) is None:
                free.append(number)
            else:
                tests.append(f"({alias}.type = {number} AND {self.test(one, (limit,), f'{alias}.rid', 1)})")
        if not limited and not tests:
            return ""
        return f"({' OR '.join((f'{alias}.type IN {self.bind.any_of(free)}', *tests))})"

    def sees(self, type: str, rid: int) -> bool:
        """Returns whether a resource of a type may be found, by its limit alone. One of a type without limits may be,
        whether it was there then or not.
        """
        test = self.visible([type], "r")
        return not test or any(
            self.reader.connection.execute(
                f"SELECT 1 FROM {table} r WHERE r.rid = {self.bind(rid)}{valid} AND {test}", self.bind.values
            ).fetchone()
            for table, valid in self.at.tables("resource", "r", self.bind)
        )

    # --- criteria -------------------------------------------------------------------------------------------

    def _together(self, criteria: Sequence[Criterion]) -> tuple[list[Known], list[Criterion]]:
        """Returns conditions for the dates and numbers of which several criteria demand something, and all other
        criteria.
        """
        ranges: dict[int, list[ByValue]] = {}
        for one in criteria:
            if isinstance(one, ByValue) and one.indexed.kind in _RANGES and len(one.texts) == 1:
                ranges.setdefault(one.indexed.pid, []).append(one)
        make = Conditions(self.reader, self.bind, self.now)
        found: list[Known] = []
        done: list[ByValue] = []
        for some in ranges.values():
            together = make.dates_together if some[0].indexed.kind == "date" else make.sizes_together
            condition = None if len(some) == 1 else self._readable(together, some, some[0])
            if condition is not None:
                found.append((some, replace(condition, once=True)))
                done += some
        return found, [one for one in criteria if not any(one is other for other in done)]

    def _readable(self, make: Callable[[_Given], _Made], given: _Given, criterion: ByValue) -> _Made:
        """Returns what `make` makes. Raises InvalidResource where it raises ValueError."""
        try:
            return make(given)
        except ValueError as wrong:
            name = criterion.indexed.name.partition(":")[0]
            raise InvalidResource(f"The search parameter '{name}' cannot be read: {wrong}", code="value") from wrong

    def _plain(self, types: Sequence[str], criterion: Criterion) -> Condition | None:
        """Returns the condition of a criterion that needs nothing but rows of the resource itself; None for others."""
        if isinstance(criterion, (Chained, Referred, InElement)):
            return None
        if not isinstance(criterion, AnyOf):
            return self.condition(types, criterion)
        some = [self._plain(types, one) for alternative in criterion.alternatives for one in alternative]
        parts = [one for one in some if one is not None and not one.negated]
        if len(parts) < len(some) or any(len(one) != 1 for one in criterion.alternatives):
            return None
        drive = all(one.drives for one in parts if one.sources)
        return Condition(
            tuple(source for one in parts for source in one.sources),
            drives=tuple(source for one in parts for source in one.drives) if drive else (),
        )

    def condition(
        self, types: Sequence[str], criterion: ByValue | Missing | ById | ByTime | InCompartment
    ) -> Condition:
        """Returns the condition of a criterion about the resource itself. Raises InvalidResource."""
        make = Conditions(self.reader, self.bind, self.now)
        match criterion:
            case ById(ids):
                names = [self.reader.hashed(f"{type_}/{id_}") for type_ in types for id_ in sorted(ids)]
                source = Source("resource", f"{{x}}.name IN {self.bind.any_of(names)}")
                some = (source,) if names else ()
                return Condition(some, drives=some, typed=True, once=True, few=True)
            case ByTime(periods):
                times = tuple(Source("resource", f"{{x}}.t >= {one.start} AND {{x}}.t < {one.end}") for one in periods)
                return Condition(times, drives=times, once=len(times) == 1)
            case InCompartment(compartment, id_):
                return make.in_compartment(types, compartment, id_)
            case Missing():
                return make.missing(criterion, self.reader.catalogue.type_number(types[0]))
            case ByValue():
                condition = self._readable(make.of_value, criterion, criterion)
                single = criterion.indexed.kind in _RANGES and len(criterion.texts) == 1
                once = single and not several(self.reader, criterion.indexed)
                return replace(condition, once=True) if once else condition

    def size(self, condition: Condition, most: int) -> int:
        """Returns how many rows the accesses have, up to a little more than `most`."""
        for one, most_then, counted in self._sizes:
            if one is condition and (counted <= most_then or most <= most_then):
                return counted
        total = 0
        for source in condition.drives:
            for table, valid in self.at.tables(source.table, "x", self.bind):
                query = f"SELECT count(*) FROM (SELECT 1 FROM {table} x WHERE {source.on('x')}{valid} LIMIT {most + 1})"
                total += self.reader.counted(query, self.bind.values)
            if total > most:
                break
        self._sizes.append((condition, most, total))
        return total

    def test(self, type: str, criteria: Iterable[Criterion], rid: str, depth: int) -> str:
        """Returns the test whether the resource `rid` meets all criteria, an expression."""
        tests = []
        for one in spread(self.reader, tuple(criteria), seq=self.at.seq, now=self.now):
            condition = self._plain((type,), one)
            if condition is None:
                tests.append(Links(self).of(type, one, rid, depth).text)
            else:
                tests.append(condition.test(rid, self.at, self.bind, depth))
        return f"({all_tests(tests)})"

    def few(
        self, type: str, criteria: Sequence[Criterion], *, limited: bool = True, most: int | None = None
    ) -> list[int] | None:
        """Returns the resources of a type that meet criteria, and its limit; None if there are more than `most`, or
        than `bounds.FEW` without it.
        """
        most = bounds.FEW if most is None else most
        plan = self._meeting((type,), self.limited(type, criteria) if limited else criteria, whole=True)
        if plan is None:
            return []
        statement = f"{plan.statement(self.at, self.bind)} LIMIT {most + 1}"
        found = self.reader.connection.execute(statement, self.bind.values).fetchall()
        return None if len(found) > most else [row[0] for row in found]

    def rids(self, condition: Condition, most: int) -> list[int] | None:
        """Returns the resources that the accesses of a condition lead to; None where these have more rows than that."""
        found: list[int] = []
        for source in condition.drives:
            for table, valid in self.at.tables(source.table, "x", self.bind):
                query = f"SELECT x.rid FROM {table} x WHERE {source.on('x')}{valid} LIMIT {most + 1 - len(found)}"
                found += [row[0] for row in self.reader.connection.execute(query, self.bind.values)]
                if len(found) > most:
                    return None
        return sorted(set(found))


def _in_order(condition: Condition) -> bool:
    """Returns whether the candidates come in the order of `rid`, so that a page ends as soon as it is full."""
    return all(source.ordered for source in condition.drives)
