"""Criteria about other resources: chains, `_has`, and alternatives with several criteria.

A chain leads from the targets to what refers to them if the targets are few; otherwise it is tested reference by
reference. `_has` is the same in the other direction. How many are few depends on how many resources the other criteria
lead to: where these are fewer, each of them is tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fhirstore.index.local.catalogue import Indexed
from fhirstore.search.criteria.criterion import AnyOf, ByValue, Chained, Criterion, Referred
from fhirstore.search.criteria.limits import targets_to_search
from fhirstore.search.plans import bounds
from fhirstore.search.plans.pairs import Pairs
from fhirstore.search.plans.sources import Condition, Source, any_test

if TYPE_CHECKING:
    from fhirstore.search.plans.plan import Planner


@dataclass(frozen=True, slots=True)
class Linked:
    """A criterion about another resource. `few`: the numbers of the resources that it leads to; None: too many.
    `among`: where the test is that the resource is referred to in some pairings, these (`Pairs.among`).
    """

    text: str
    few: Sequence[int] | None
    among: str = ""


@dataclass(frozen=True, slots=True)
class Near:
    """To how many resources the other criteria lead, `found`: up to so many are each tested for less than all are found
    at the other end of a chain. `ordered`: a page in the order of `rid` is looked for.
    """

    found: int
    ordered: bool

    def worth(self, each: int, *, cheap: bool = False) -> int:
        """Returns how many resources may be looked up at the other end. `each`: how many of them a test looks at.
        `cheap`: it is a seek.
        """
        if self.found > bounds.FEW:
            return bounds.FEW // 4 if cheap and self.ordered else bounds.FEW
        return min(max(bounds.LEAST, self.found * each // (4 if cheap else 1)), bounds.FEW)


NOWHERE = Near(bounds.FEW + 1, ordered=False)


@dataclass(frozen=True, slots=True)
class Links:
    """Those of one planner."""

    planner: Planner

    def of(self, type: str, criterion: Criterion, rid: str, depth: int, near: Near = NOWHERE) -> Linked:
        """Returns what a chain, `_has` or alternatives come to. Raises AccessDenied."""
        match criterion:
            case Chained(reference):
                targets = targets_to_search(self.planner.limits, criterion)
                parts = [self._chained(reference, target, rid, depth, near) for target in targets]
            case Referred(reference, inner):
                paired = self._paired(criterion, rid, depth, near)
                parts = [paired or self._referred(reference, inner, rid, depth, near)]
            case AnyOf(alternatives):
                parts = [
                    Linked(self.planner.test(type, some, rid, depth), self.planner.few(type, some, limited=False))
                    for some in alternatives
                ]
            case _:
                raise AssertionError(criterion)
        if len(parts) == 1:
            (part,) = parts
            return replace(part, text=f"({part.text})")
        few: set[int] | None = set()
        for part in parts:
            few = None if few is None or part.few is None else few.union(part.few)
        return Linked(f"({any_test([part.text for part in parts])})", None if few is None else sorted(few))

    def _chained(self, reference: Indexed, target: tuple[str, Criterion], rid: str, depth: int, near: Near) -> Linked:
        """`reference` of the resource `rid` leads to one of a type that meets a criterion, the `target`."""
        type, criterion = target
        targets = self.planner.few(type, (criterion,), most=near.worth(1))
        if targets is not None:
            names = self._names(targets)
            source = Source(
                "reference", f"{{x}}.pid = {reference.pid} AND {{x}}.target IN {self.planner.bind.any_of(names)}"
            )
            condition = Condition((source,), drives=(source,))
            few = self.planner.rids(condition, bounds.FEW)
            return Linked(condition.test(rid, self.planner.at, self.planner.bind, depth), few)
        r, t = f"r{depth}", f"t{depth}"
        inner = self.planner.test(type, self.planner.limited(type, (criterion,)), f"{t}.rid", depth + 1)
        number = self.planner.reader.catalogue.type_number(type)
        arms = [
            f"EXISTS (SELECT 1 FROM {table} {r} INDEXED BY {table}_by_rid CROSS JOIN {other} {t}"
            f" ON {t}.name = {r}.target WHERE {r}.rid = {rid} AND {r}.pid = {reference.pid}{valid}"
            f" AND {t}.type = {number}{there} AND {inner})"
            for table, valid in self.planner.at.tables("reference", r, self.planner.bind)
            for other, there in self.planner.at.tables("resource", t, self.planner.bind)
        ]
        return Linked(" OR ".join(arms), None)

    def _paired(self, referred: Referred, rid: str, depth: int, near: Near) -> Linked | None:
        """As `_referred`, where pairs tell which resources are referred to; None where they do not."""
        reference, criterion = referred.reference, referred.criterion
        if not isinstance(criterion, ByValue) or self.planner.limits(reference.type) is not None:
            return None
        condition = self.planner.condition((reference.type,), criterion)
        pairs = Pairs(self.planner.reader, self.planner.at, self.planner.bind, self.planner.now)
        pairings = pairs.pairings(criterion.indexed, condition, reference).get(0, ())
        if not pairings:
            return None
        among = pairs.among(pairings)
        p, t = f"p{depth}", f"t{depth}"
        arms = [
            f"EXISTS (SELECT 1 FROM {other} {t} CROSS JOIN {table} {p} ON {p}.pairing {among} AND {p}.low = +{t}.name"
            f" WHERE {t}.rid = {rid}{there}{valid})"
            for table, valid in self.planner.at.tables("pair", p, self.planner.bind)
            for other, there in self.planner.at.tables("resource", t, self.planner.bind)
        ]
        return Linked(" OR ".join(arms), self._few_paired(among, near.worth(1, cheap=True)), among)

    def _few_paired(self, among: str, most: int) -> list[int] | None:
        """Returns the resources that are referred to in some pairings; None if that may be more than `most`."""
        names: set[int] = set()
        for table, valid in self.planner.at.tables("pair", "p", self.planner.bind):
            test = f"p.pairing {among}{valid} LIMIT {most + 1}"
            count = f"SELECT count(*) FROM (SELECT 1 FROM {table} p WHERE {test})"
            if self.planner.reader.counted(count, self.planner.bind.values) > most:
                return None
            query = f"SELECT p.low FROM {table} p WHERE {test}"
            names |= {row[0] for row in self.planner.reader.connection.execute(query, self.planner.bind.values)}
        found: set[int] = set()
        for table, valid in self.planner.at.tables("resource", "r", self.planner.bind):
            query = f"SELECT r.rid FROM {table} r WHERE r.name IN {self.planner.bind.any_of(names)}{valid}"
            found |= {row[0] for row in self.planner.reader.connection.execute(query, self.planner.bind.values)}
        return sorted(found)

    def _referred(self, reference: Indexed, criterion: Criterion, rid: str, depth: int, near: Near) -> Linked:
        """A resource refers to the resource `rid` by `reference`, and meets the criterion."""
        sources = self.planner.few(reference.type, (criterion,), most=near.worth(bounds.REFERRING))
        r, t = f"r{depth}", f"t{depth}"
        if sources is not None:
            found: set[int] = set()
            some = self.planner.bind.any_of(sources)
            for table, valid in self.planner.at.tables("reference", r, self.planner.bind):
                for other, there in self.planner.at.tables("resource", t, self.planner.bind):
                    query = (
                        f"SELECT {t}.rid FROM {table} {r} INDEXED BY {table}_by_rid CROSS JOIN {other} {t} ON"
                        f" {t}.name = {r}.target WHERE {r}.rid IN {some} AND {r}.pid = {reference.pid}{valid}{there}"
                    )
                    found |= {row[0] for row in self.planner.reader.connection.execute(query, self.planner.bind.values)}
            return Linked(f"{rid} IN {self.planner.bind.any_of(sorted(found))}", sorted(found))
        inner = self.planner.test(
            reference.type, self.planner.limited(reference.type, (criterion,)), f"{r}.rid", depth + 1
        )
        arms = [
            f"EXISTS (SELECT 1 FROM {other} {t} CROSS JOIN {table} {r} ON {r}.pid = {reference.pid} AND"
            f" {r}.target = {t}.name WHERE {t}.rid = {rid}{there}{valid} AND {inner})"
            for table, valid in self.planner.at.tables("reference", r, self.planner.bind)
            for other, there in self.planner.at.tables("resource", t, self.planner.bind)
        ]
        return Linked(" OR ".join(arms), None)

    def _names(self, rids: Sequence[int]) -> list[int]:
        """Returns the hashes of the names of resources."""
        found: set[int] = set()
        for table, valid in self.planner.at.tables("resource", "r", self.planner.bind):
            query = f"SELECT r.name FROM {table} r WHERE r.rid IN {self.planner.bind.any_of(rids)}{valid}"
            found |= {row[0] for row in self.planner.reader.connection.execute(query, self.planner.bind.values)}
        return sorted(found)
