"""The newest of each kind of Observation: what `Observation/$lastn` answers.

Observations that share a coding, directly or by way of others, are of one kind; those without codings are of one kind
if their text is the same.

https://hl7.org/fhir/R4/observation-operation-lastn.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field

from fhirstore.errors import InvalidResource
from fhirstore.index.local.apply import tokens_held
from fhirstore.index.local.reader import Reader
from fhirstore.index.local.rows import NO_CODE
from fhirstore.search.criteria.criterion import Query, SortKey
from fhirstore.search.criteria.limits import Limits, everything
from fhirstore.search.pages.finding import Name, bounded, named
from fhirstore.search.plans.keys import Keys
from fhirstore.search.plans.plan import Planner
from fhirstore.search.plans.sources import At, Binder

MOST = 20_000
"""Matches that are looked at."""


def last_of_each(reader: Reader, query: Query, most: int, *, now: int, limits: Limits = everything) -> tuple[Name, ...]:
    """Returns of the matches of a search of Observations the newest `most` of each kind, the newest first, as of the
    newest sequence number. Those without a date are older than all others. `now`: epoch ms, for `ap`.

    Raises AccessDenied, Unsupported, InvalidResource (too-costly: more than `MOST` match).
    """
    at = At.of(reader, None)
    with bounded(reader):
        rids = _newest_first(reader, query, at, now=now, limits=limits)
        kinds = _kinds(reader, query.branches[0][0], rids)
        left: defaultdict[Hashable, int] = defaultdict(lambda: most)
        kept: list[int] = []
        for rid in rids:
            kind = kinds[rid]
            left[kind] -= 1
            if left[kind] >= 0:
                kept.append(rid)
        return tuple(named(reader, at, [(rid, ()) for rid in kept]))


def _newest_first(reader: Reader, query: Query, at: At, *, now: int, limits: Limits) -> list[int]:
    ((type_, criteria),) = query.branches
    planner = Planner(reader, at, now, Binder(), limits)
    plan = planner.plan((type_,), criteria)
    if plan is None:
        return []
    dates = Keys(planner, type_, [SortKey("date", descending=True)]).expressions()
    statement = f"{plan.statement(at, planner.bind, [str(one) for one in dates])} LIMIT {MOST + 1}"
    found = reader.connection.execute(statement, planner.bind.values).fetchall()
    if len(found) > MOST:
        text = f"More than {MOST:,} resources match, of which the newest of each code are asked for; add criteria"
        raise InvalidResource(text, code="too-costly")
    found.sort(key=lambda row: (row[1] is not None, row[1], row[0]), reverse=True)
    return [row[0] for row in found]


@dataclass(slots=True)
class _Joined:
    """Sets of things that belong together, each known by one of them."""

    above: dict[Hashable, Hashable] = field(default_factory=dict)

    def top(self, one: Hashable) -> Hashable:
        while (above := self.above.setdefault(one, one)) != one:
            self.above[one] = self.above[above]
            one = self.above[one]
        return one

    def join(self, some: Sequence[Hashable]) -> None:
        for one in some[1:]:
            self.above[self.top(one)] = self.top(some[0])


def _kinds(reader: Reader, type: str, rids: Sequence[int]) -> dict[int, Hashable]:
    """Returns what tells the kind of each of these resources."""
    code = reader.catalogue.parameters(type)["code"]
    bind = Binder()
    held = f"SELECT rid, held FROM resource WHERE rid IN {bind.any_of(rids)}"
    codings: dict[int, list[Hashable]] = {}
    joined = _Joined()
    for rid, packed in reader.connection.execute(held, bind.values):
        tokens = tokens_held(packed)
        codings[rid] = [(token, system) for pid, token, system in tokens if pid == code.pid and token != NO_CODE]
        joined.join(codings[rid])
    texts = _texts(reader, type, [rid for rid, some in codings.items() if not some])
    return {rid: joined.top(some[0]) if some else texts.get(rid, "") for rid, some in codings.items()}


def _texts(reader: Reader, type: str, rids: Iterable[int]) -> dict[int, Hashable]:
    """Returns the texts of each of these resources, by their numbers in the index."""
    pid = reader.catalogue.parameters(type)["code:text"].pid
    bind = Binder()
    query = (
        "SELECT s.rid, s.phrase FROM text s INDEXED BY text_by_rid"
        f" WHERE s.rid IN {bind.any_of(rids)} AND s.pid = {pid} ORDER BY s.rid, s.phrase"
    )
    found: dict[int, list[int]] = {}
    for rid, phrase in reader.connection.execute(query, bind.values):
        found.setdefault(rid, []).append(phrase)
    return {rid: ("text", *phrases) for rid, phrases in found.items()}
