"""What comes along with the matches of a page: `_include` and `_revinclude`, as of the same moment.

With `:iterate` they are also followed from what came along, until nothing new does. A resource comes once, and not if
it is a match itself. A page takes at most `MOST` of them; where there are more, it says so.

https://hl7.org/fhir/R4/search.html#include
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhirstore.index.local.catalogue import Indexed
from fhirstore.index.local.reader import Reader
from fhirstore.search.criteria.criterion import Include, Query
from fhirstore.search.criteria.limits import Limits, everything
from fhirstore.search.pages.finding import Name, bounded
from fhirstore.search.plans.plan import Planner
from fhirstore.search.plans.sources import At, Binder

MOST = 1_000
_FEW_PARAMETERS = 8
"""Parameters by each of which a resource's references are looked for, rather than looking at all that it has."""
_MOST_FOLLOWED = 3_000
"""How often all resources of a round are followed along one include."""


@dataclass(frozen=True, slots=True)
class Included:
    """`names`: in the order in which they were met. `origins`: which match, from 0, was the first that led to each;
    with `:iterate` always 0, since several ways may lead there. `cut`: there is more than a page takes, or may be.
    """

    names: tuple[Name, ...] = ()
    origins: tuple[int, ...] = ()
    cut: bool = False


def included(
    reader: Reader,
    query: Query,
    matches: Sequence[Name],
    *,
    now: int,
    seq: int | None = None,
    limits: Limits = everything,
) -> Included:
    """Returns what comes along with these matches, which were found as of `seq`; None: the newest.

    `now`: epoch ms, for `ap` in `limits`, which say what may come along.
    """
    if not query.includes:
        return Included()
    along = _Along(reader, At.of(reader, seq), now, limits)
    iterates = any(one.iterate for one in query.includes)
    left = _MOST_FOLLOWED
    seen = {one.rid for one in matches}
    found: dict[int, tuple[Name, int]] = {}
    fresh, first = list(matches), True
    with bounded(reader):
        while fresh and left > 0:
            met: dict[int, tuple[Name, int]] = {}
            for one in query.includes:
                if first or one.iterate:
                    left -= 1
                    follow = along.backwards if one.reverse else along.forwards
                    for name, origin in follow(one, fresh):
                        if name.rid not in seen:
                            earliest = min(origin, met[name.rid][1]) if name.rid in met else origin
                            met[name.rid] = name, 0 if iterates else earliest
                        if len(found) + len(met) > MOST:
                            break
            fresh, first = [name for name, _ in met.values()], False
            found |= met
            seen |= met.keys()
            if len(found) > MOST:
                break
    kept = list(found.values())[:MOST]
    return Included(
        tuple(name for name, _ in kept), tuple(origin for _, origin in kept), cut=len(found) > MOST or bool(fresh)
    )


_COLUMNS = "t.rid, t.type, t.id, t.version, t.t"


@dataclass(frozen=True, slots=True)
class _Along:
    """Follows references, as of `at`."""

    reader: Reader
    at: At
    now: int
    limits: Limits

    def forwards(self, include: Include, names: Sequence[Name]) -> Iterator[tuple[Name, int]]:
        """Yields what these resources refer to, with which of them does."""
        types = sorted({one.type for one in names if include.type in ("*", one.type)})
        parameters = [one for type_ in types for one in self._references(type_, include.code)]
        if not parameters:
            return
        bind = Binder()
        test = ""
        if include.target:
            test = f" AND t.type = {self.reader.catalogue.type_number(include.target)}"
        test += self._visible([include.target] if include.target else self.reader.types, bind)
        targets = self._targets({one.rid: at for at, one in enumerate(names)}, [one.pid for one in parameters])
        hashes = bind.any_of(targets)
        found: dict[int, tuple[Name, int]] = {}
        for target, there in self.at.tables("resource", "t", bind):
            query = f"SELECT {_COLUMNS}, t.name FROM {target} t WHERE t.name IN {hashes}{there}{test}"
            for row in self.reader.connection.execute(query, bind.values):
                found[row[5]] = self._name(row), targets[row[5]]
        yield from (found[one] for one in targets if one in found)

    def _targets(self, rids: Mapping[int, int], pids: Sequence[int]) -> dict[int, int]:
        """Returns the hashes of what these resources refer to, each with the first place of one that does. `rids`: the
        places of the resources.
        """
        bind, found = Binder(), dict[int, int]()
        some, among = bind.any_of(rids), bind.any_of(pids)
        pid = "x.pid" if len(pids) <= _FEW_PARAMETERS else "+x.pid"  # a resource has fewer references than these
        for table, valid in self.at.tables("reference", "x", bind):
            query = (
                f"SELECT x.target, x.rid FROM {table} x INDEXED BY {table}_by_rid"
                f" WHERE x.rid IN {some} AND {pid} IN {among}{valid}"
            )
            for target, rid in self.reader.connection.execute(query, bind.values):
                place = rids[rid]
                if place <= found.get(target, place):
                    found[target] = place
        return found

    def backwards(self, include: Include, names: Sequence[Name]) -> Iterator[tuple[Name, int]]:
        """Yields what refers to these resources, with to which of them."""
        types = [include.type] if include.type != "*" else self.reader.types
        parameters = [one.pid for type_ in types for one in self._references(type_, include.code)]
        targets = {
            self.reader.hashed(f"{one.type}/{one.id}"): at
            for at, one in enumerate(names)
            if include.target in ("", one.type)
        }
        if not targets or not parameters:
            return
        bind = Binder()
        test = self._visible(types, bind)
        hashes, pids = bind.any_of(targets), bind.any_of(parameters)
        for table, valid in self.at.tables("reference", "x", bind):
            for source, there in self.at.tables("resource", "t", bind):
                query = (
                    f"SELECT {_COLUMNS}, x.target FROM {table} x CROSS JOIN {source} t ON t.rid = x.rid"
                    f" WHERE x.pid IN {pids} AND x.target IN {hashes}{valid}{there}{test}"
                )
                yield from self._named(query, bind, targets)

    def _visible(self, types: Iterable[str], bind: Binder) -> str:
        test = Planner(self.reader, self.at, self.now, bind, self.limits).visible(types, "t")
        return f" AND {test}" if test else ""

    def _references(self, type: str, code: str) -> list[Indexed]:
        found = self.reader.catalogue.references(type)
        return [*found.values()] if code == "*" else [found[code]] if code in found else []

    def _named(self, query: str, bind: Binder, ends: Mapping[int, int]) -> Iterator[tuple[Name, int]]:
        """`ends`: the place of each resource that was followed, by the last column."""
        for row in self.reader.connection.execute(query, bind.values):
            yield self._name(row), ends[row[5]]

    def _name(self, row: tuple[Any, ...]) -> Name:
        rid, type_, id_, version, t, _ = row
        return Name(rid, self.reader.catalogue.type_name(type_), id_, version, t)
