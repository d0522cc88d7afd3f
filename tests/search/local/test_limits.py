"""Whoever may find only some resources finds what would be found if there were no others."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fhirstore.errors import AccessDenied
from fhirstore.fhir.json import JsonObject
from fhirstore.index.local.file import IndexFile
from fhirstore.search.criteria.criterion import AnyOf, Criterion, Query
from fhirstore.search.criteria.limits import Limits, everything
from fhirstore.search.criteria.request import parse_search
from fhirstore.search.pages.finding import find, names_of
from fhirstore.search.pages.includes import included
from fhirstore.search.pages.snapshot import SnapshotPage, page
from fhirstore.search.plans import bounds
from tests.search.local.drawing import TYPES, ids, resources, searches
from tests.search.local.indexing import asked, fill, new_index
from tests.search.local.naive import Stored
from tests.search.local.test_oracle import Search, expected
from tests.search.matching.asking import NOW

Pairs = list[tuple[str, str]]
Alternatives = list[Pairs]


def criteria(index: IndexFile, type: str, pairs: Pairs) -> tuple[Criterion, ...]:
    """What these parameters demand."""
    return parse_search(index.catalogue, type, pairs, now=NOW).branches[0][1]


def any_of(index: IndexFile, type: str, alternatives: Alternatives) -> AnyOf:
    """All of one of these."""
    return AnyOf(tuple(criteria(index, type, pairs) for pairs in alternatives))


def hidden(*types: str) -> Limits:
    """Of these types nothing may be searched."""

    def limits(type: str) -> Criterion | None:
        if type in types:
            raise AccessDenied(f"{type} may not be searched")
        return None

    return limits


NAMED = [(type_, id_) for type_ in TYPES for id_ in ids(type_)]
THERE = st.lists(
    st.sampled_from(NAMED).flatmap(lambda one: st.tuples(st.just(one), resources(one[0]))),
    min_size=1,
    max_size=12,
    unique_by=lambda one: one[0],
).map(lambda some: [{"resourceType": type_, "id": id_, **resource} for (type_, id_), resource in some])
ALTERNATIVES = st.lists(searches().filter(lambda one: all("." not in name for name, _ in one[1])), max_size=6)


@settings(
    max_examples=25,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(THERE, ALTERNATIVES, st.lists(searches(), min_size=1, max_size=10))
@pytest.mark.slow
def test_what_is_hidden_changes_nothing(there: list[JsonObject], visible: list[Search], queries: list[Search]) -> None:
    """Neither matches, order and total, nor what chains and `_has` lead to, nor what comes along."""
    alternatives: dict[str, Alternatives] = {}
    for type_, pairs, _ in visible:
        alternatives.setdefault(type_, []).append([one for one in pairs if not one[0].startswith("_has")])
    stored = Stored({f"{one['resourceType']}/{one['id']}": one for one in there})
    seen = [
        one
        for one in there
        if (some := alternatives.get(str(one["resourceType"]))) is None
        or any(all(stored.meets(one, *pair) for pair in pairs) for pairs in some)
    ]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        whole, part = new_index(Path(folder)), new_index(Path(other))
        fill(whole, there)
        fill(part, seen)

        def limits(type: str) -> Criterion | None:
            return any_of(whole, type, alternatives[type]) if type in alternatives else None

        for search in queries:
            found = outcome(whole, search, limits)
            assert found == outcome(part, search, everything), search
            assert found[0] == expected(Stored({f"{one['resourceType']}/{one['id']}": one for one in seen}), search), (
                search
            )
        whole.close()
        part.close()


def outcome(index: IndexFile, search: Search, limits: Limits) -> tuple[list[str], int | None, list[str]]:
    """Matches in order, the total, and what comes along."""
    type_, pairs, sort = search
    more = [("_total", "accurate"), ("_include", "*"), ("_revinclude", "*"), ("_include:iterate", "*")]
    more += [("_sort", ",".join(sort))] if sort else []
    query = parse_search(index.catalogue, type_, [*pairs, *more], now=NOW)
    with index.read() as reader:
        found = find(reader, query, now=NOW, limits=limits)
        along = included(reader, query, found.names, now=NOW, limits=limits)
    names, others = ([f"{one.type}/{one.id}" for one in some] for some in (found.names, along.names))
    return names, found.total, sorted(others)


# --- alternatives, and types that are hidden as a whole -----------------------------------------------------


@pytest.fixture
def index(tmp_path: Path) -> Iterator[IndexFile]:
    """Some Patients, Observations of them, and an Organization."""
    index = new_index(tmp_path)
    organization = {"reference": "Organization/o"}
    patients: list[JsonObject] = [
        {"resourceType": "Patient", "id": f"p{n}", "gender": "male", "managingOrganization": organization}
        for n in range(3)
    ]
    observations: list[JsonObject] = [
        {
            "resourceType": "Observation",
            "id": f"o{n}",
            "status": ("final", "amended", "preliminary")[n % 3],
            "subject": {"reference": f"Patient/p{n % 2}"},
            "effectiveDateTime": f"20{10 + n}",
        }
        for n in range(12)
    ]
    fill(index, [{"resourceType": "Organization", "id": "o"}, *patients, *observations])
    yield index
    index.close()


def with_any_of(index: IndexFile, query: str, *alternatives: str) -> Query:
    """A search of Observations with these alternatives beside."""
    made = asked(index, "Observation", query)
    some = tuple(asked(index, "Observation", one).branches[0][1] for one in alternatives)
    return replace(made, branches=(("Observation", (*made.branches[0][1], AnyOf(some))),))


@pytest.mark.parametrize(
    ("alternatives", "numbers"),
    [
        ([], []),
        (["status=final"], [0, 3, 6, 9]),
        (["status=final", "status=amended"], [0, 1, 3, 4, 6, 7, 9, 10]),
        (["status=final&subject=Patient/p1", "status=amended&subject=Patient/p0"], [3, 4, 9, 10]),
        (["status=none", "date=2011"], [1]),
        (["status:not=final&date=lt2014"], [1, 2]),
        (["subject:Patient.gender=female", "_id=o4,o5"], [4, 5]),
        (["_id=o1", ""], list(range(12))),
    ],
)
def test_all_of_one_alternative_are_met(index: IndexFile, alternatives: list[str], numbers: list[int]) -> None:
    """As a criterion of the search, with others, sorted, and counted; without an alternative nothing matches."""
    for query in ("", "_sort=-date"):
        search = with_any_of(index, f"{query}&_total=accurate&date=ge2000", *alternatives)
        with index.read() as reader:
            found = find(reader, search, now=NOW)
            assert [one.id for one in names_of(reader, search, 2, now=NOW)] == [f"o{n}" for n in numbers[:2]]
        wanted = [f"o{n}" for n in (reversed(numbers) if query else numbers)]
        assert ([one.id for one in found.names], found.total) == (wanted, len(wanted))


def test_a_hidden_type_is_refused_where_it_is_named(index: IndexFile) -> None:
    """As the type of the search, of a chain, and of `_has`; a search of all types, and includes, leave it out."""
    refused = [
        ("Observation", "status=final", "Observation"),
        (None, "_type=Observation,Patient", "Observation"),
        ("Observation", "subject:Patient.gender=male", "Patient"),
        ("Observation", "patient.gender=male", "Patient"),
        ("Observation", "status=unknown&patient.gender=male", "Patient"),  # though nothing has that status
        ("Patient", "_has:Observation:patient:status=final", "Observation"),
    ]
    with index.read() as reader:
        for type_, query, name in refused:
            with pytest.raises(AccessDenied, match=name):
                find(reader, asked(index, type_, query), now=NOW, limits=hidden(name))
        everywhere = asked(index, None, "_lastUpdated=gt1990&_count=100")
        found = find(reader, everywhere, now=NOW, limits=hidden("Observation"))
        assert {one.type for one in found.names} == {"Patient", "Organization"}
        search = asked(index, "Observation", "_include=*&_include:iterate=*")
        names = find(reader, search, now=NOW).names
        assert not included(reader, search, names, now=NOW, limits=hidden("Patient")).names


@pytest.mark.parametrize("few", [0, 2_000])
@pytest.mark.parametrize(
    ("type", "query", "limited", "expected"),
    [
        ("Observation", "subject:Patient.gender=male&date=lt2013", "Patient", ["o1"]),
        ("Observation", "patient.organization.active:missing=true&date=lt2013", "Patient", ["o1"]),
        ("Observation", "patient.organization.active:missing=true", "Organization", []),
        ("Patient", "_has:Observation:patient:status=final", "Observation", ["p1"]),
        ("Organization", "_has:Patient:organization:_has:Observation:patient:date=2013", "Observation", ["o"]),
        ("Organization", "_has:Patient:organization:_has:Observation:patient:date=2012", "Observation", []),
    ],
)
def test_chains_lead_to_what_may_be_found(
    index: IndexFile, type: str, query: str, limited: str, expected: list[str], few: int
) -> None:
    """Whether few or many resources are at their end, the limit of each type on the way is met."""
    only = {
        "Patient": criteria(index, "Patient", [("_id", "p1")]),
        "Observation": criteria(index, "Observation", [("_id", "o3")]),
        "Organization": criteria(index, "Organization", [("_id", "none")]),
    }

    def limits(type: str) -> Criterion | None:
        return AnyOf((only[type],)) if type == limited else None

    with index.read() as reader, patch.object(bounds, "FEW", few):
        assert len(find(reader, asked(index, type, query), now=NOW).names) >= len(expected)
        assert [one.id for one in find(reader, asked(index, type, query), now=NOW, limits=limits).names] == expected


def test_the_items_of_a_list_are_found(index: IndexFile) -> None:
    """With other criteria, and only where the List may be seen."""
    items: list[JsonObject] = [
        {"item": {"reference": name}} for name in ("Observation/o1", "Observation/o4", "Patient/p0")
    ]
    fill(
        index,
        [{"resourceType": "List", "id": "l", "entry": items}, {"resourceType": "List", "id": "m", "entry": items[:1]}],
    )
    with index.read() as reader:
        for query, expected in (
            ("_list=l", ["o1", "o4"]),
            ("_list=List/m", ["o1"]),
            ("_list=m,none", ["o1"]),
            ("_list=l&date=2014", ["o4"]),
            ("_list=none", []),
        ):
            assert [one.id for one in find(reader, asked(index, "Observation", query), now=NOW).names] == expected
        assert [one.id for one in find(reader, asked(index, "Patient", "_list=l"), now=NOW).names] == ["p0"]
        with pytest.raises(AccessDenied, match="List"):
            find(reader, asked(index, "Observation", "_list=l"), now=NOW, limits=hidden("List"))


def test_an_untyped_chain_goes_to_the_types_that_may_be_searched(index: IndexFile) -> None:
    """`subject` may be a Group or a Device, too; whoever may not search those searches Patients."""
    with index.read() as reader:
        query = asked(index, "Observation", "subject.identifier:missing=true")
        assert len(find(reader, query, now=NOW, limits=hidden("Group", "Device", "Location")).names) == 12


# --- pages that are cut ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("matches", [1, 2, 4])
def test_a_page_that_is_cut_leads_to_what_follows(index: IndexFile, matches: int) -> None:
    """A page of too many bytes is cut after some match; what comes along is that of the matches which are left."""
    query = asked(index, "Observation", "_count=5&_sort=-date&_total=accurate&_include=Observation:subject")
    seen: list[str] = []
    cursor: str | None = None
    while True:
        with index.read() as reader:
            whole: SnapshotPage = page(reader, query, cursor, now=NOW)
        part = whole.ended_after(matches)
        seen += [one.id for one in part.matches]
        assert part.total == 12
        assert len(part.matches) <= matches
        subjects = {f"p{int(one.id[1:]) % 2}" for one in part.matches}
        assert {one.id for one in part.included} == subjects
        cursor = part.next
        if cursor is None:
            break
    assert seen == [f"o{n}" for n in reversed(range(12))]
