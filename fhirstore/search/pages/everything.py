"""`$everything`: what there is of a patient or an encounter, as a search of its compartment.

All resources of the compartment are matches; what they refer to outside of it comes along with the page that refers to
it. Paging is that of every search: all pages show one moment.

`start` and `end` are about dates of care: each type has one parameter that tells when what it records took place. A
resource without such a date is of all times.

https://hl7.org/fhir/R4/patient-operation-everything.html · https://hl7.org/fhir/R4/encounter-operation-everything.html
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from fhirstore.errors import InvalidResource
from fhirstore.fhir.json import instant
from fhirstore.fhir.times import Period, span
from fhirstore.index.local.catalogue import Catalogue, Indexed
from fhirstore.index.local.reader import Reader
from fhirstore.search.criteria.compartment import members
from fhirstore.search.criteria.criterion import (
    AnyOf,
    ById,
    ByTime,
    ByValue,
    Chained,
    Criterion,
    Include,
    InCompartment,
    Missing,
    Query,
)
from fhirstore.search.criteria.last_updated import periods_of
from fhirstore.search.criteria.limits import Limits
from fhirstore.search.criteria.query import shown
from fhirstore.search.criteria.request import count_of
from fhirstore.search.pages.finding import Name, find
from fhirstore.search.pages.snapshot import SnapshotPage, page
from fhirstore.search.plans.conditions import Conditions
from fhirstore.search.plans.sources import At, Binder

PARAMETERS = ("start", "end", "_since", "_type", "_count")
COMPARTMENTS = ("Patient", "Encounter")
"""The types that have the operation."""

CARE_DATES = (
    *("date", "period", "occurrence", "onset-date", "onset", "effective", "effective-time", "started", "collected"),
    *("when", "whenhandedover", "whenprepared", "identified", "start-date", "event-date", "received", "sent"),
    *("authoredon", "authored-on", "authored", "datewritten", "datetime", "created", "issued", "recorded"),
)
"""Codes of search parameters; the first that a type has tells when the care took place."""

_ANY_TIME = ByTime((Period(0, 10**13),))


def everything(
    catalogue: Catalogue,
    compartment: str,
    id: str | None,
    pairs: Iterable[tuple[str, str]],
    *,
    now: int,
    lenient: bool = False,
) -> Query:
    """Returns the search of a compartment; `id` None: of the compartments of all resources of that type.

    `pairs`: the operation's parameters. `now`: epoch ms. `lenient`: ignore unknown ones. Raises InvalidResource, which
    names the parameter.
    """
    given: dict[str, list[str]] = {name: [] for name in PARAMETERS}
    used, ignored = [], []
    for name, value in pairs:
        if name in given:
            given[name].append(value)
            used.append((name, value))
        elif lenient:
            ignored.append((name, value))
        else:
            known = ", ".join(PARAMETERS)
            raise InvalidResource(f"$everything has no parameter '{shown(name)}'; it has {known}", code="not-supported")
    within = _members(catalogue, compartment, id)
    since = tuple(_since(text, now) for text in given["_since"])
    dates = (*(_from("start", text) for text in given["start"]), *(_until("end", text) for text in given["end"]))
    types = _types(catalogue, given["_type"])
    branches = [
        (type_, (one, *since, *_of_care(catalogue, type_, dates)))
        for type_, one in within.items()
        if not types or type_ in types
    ]
    place = "/".join((compartment, *((id,) if id is not None else ()), "$everything"))
    return Query(
        tuple(branches),
        count=count_of(given["_count"]),
        includes=tuple(Include("*", "*", type_, reverse=False, iterate=False) for type_ in types or ("",)),
        used=tuple(used),
        ignored=tuple(ignored),
        everywhere=not types,
        place=place,
        members=within,
    )


def everything_page(reader: Reader, query: Query, cursor: str | None, *, now: int, limits: Limits) -> SnapshotPage:
    """Returns a page of `everything`. Raises as `page`.

    What comes along is outside of the compartment: what is inside is a match, or is left out on purpose.
    """
    found = page(reader, query, cursor, now=now, limits=limits)
    inside = _inside(reader, query, found.included, now=now, seq=found.seq)
    along = zip(found.included, found.origins, strict=True)
    kept = [(name, origin) for name, origin in along if name.rid not in inside]
    return replace(found, included=tuple(name for name, _ in kept), origins=tuple(origin for _, origin in kept))


def _inside(reader: Reader, query: Query, names: Sequence[Name], *, now: int, seq: int) -> set[int]:
    """Returns the numbers of those names that are members of the compartment."""
    some = [name for name in names if name.type in query.members]
    if not some:
        return set()
    types = sorted({name.type for name in some})
    one = query.members[types[0]]
    if isinstance(one, InCompartment):
        bind, at = Binder(), At.of(reader, seq)
        within = Conditions(reader, bind, now).in_compartment(types, one.type, one.id)
        listed = bind.listed([name.rid for name in some])
        statement = f"SELECT d.value FROM json_each({listed}) d WHERE {within.test('d.value', at, bind)}"
        return {row[0] for row in reader.connection.execute(statement, bind.values)}
    with_ids = ById(frozenset(name.id for name in some))
    branches = tuple((type_, (with_ids, query.members[type_])) for type_ in types)
    found = find(reader, Query(branches, count=len(types) * len(with_ids.ids)), now=now, seq=seq)
    return {name.rid for name in found.names}


def _members(catalogue: Catalogue, compartment: str, id: str | None) -> dict[str, Criterion]:
    """Returns what a member of the compartment meets, by type."""
    if id is not None:
        return {**members(catalogue, compartment, id)}
    found = {type_: _in_any(catalogue, compartment, type_) for type_ in catalogue.types}
    return {type_: within for type_, within in found.items() if within is not None}


def _in_any(catalogue: Catalogue, compartment: str, type: str) -> Criterion | None:
    """Returns what a resource meets that is in a compartment of this type."""
    if type == compartment:
        return _ANY_TIME
    found: list[tuple[Criterion, ...]] = [
        (Chained(one, ((compartment, _ANY_TIME),)),) for one in catalogue.members(compartment, type)
    ]
    return AnyOf(tuple(found)) if found else None


def _of_care(catalogue: Catalogue, type: str, dates: tuple[str, ...]) -> tuple[Criterion, ...]:
    """Returns what resources of a type meet whose care overlaps these bounds, dates with a prefix."""
    indexed = _care_date(catalogue, type) if dates else None
    if indexed is None:
        return ()
    within = tuple(ByValue(indexed, "", (date,)) for date in dates)
    return (AnyOf((within, (Missing(indexed, wanted=True),))),)


def _care_date(catalogue: Catalogue, type: str) -> Indexed | None:
    parameters = catalogue.parameters(type)
    found = (parameters[code] for code in CARE_DATES if code in parameters)
    return next((one for one in found if one.kind == "date"), None)


def _types(catalogue: Catalogue, given: Sequence[str]) -> tuple[str, ...]:
    wanted = {type_ for value in given for type_ in value.split(",")}
    if not wanted <= catalogue.definitions.resources:
        raise InvalidResource("_type names what is no resource type", code="value")
    return tuple(sorted(wanted))


def _from(name: str, text: str) -> str:
    """Returns the bound that what ends before this date does not reach."""
    return f"ge{instant(_span(name, text)[0])}"


def _until(name: str, text: str) -> str:
    """Returns the bound that what starts after this date does not reach."""
    return f"le{instant(_span(name, text)[1] - 1)}"


def _span(name: str, text: str) -> tuple[int, int]:
    try:
        return span(text)
    except ValueError as wrong:
        raise InvalidResource(f"{name} must be a date, like 2020-05 or 2020-05-01", code="value") from wrong


def _since(text: str, now: int) -> ByTime:
    try:
        span(text)
        return ByTime(periods_of(f"ge{text}", now=now))
    except ValueError as wrong:
        raise InvalidResource("_since must be an instant, like 2020-05-01T10:00:00Z", code="value") from wrong
