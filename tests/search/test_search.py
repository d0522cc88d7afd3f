"""A search finds all that match and nothing else, at a cost that does not depend on what else there is."""

from __future__ import annotations

import asyncio

import pytest

import fhirstore.indexing.indexer
from conformance.s3servers import S3Server
from fhirstore import FhirStore, IndexBehind, S3Options, TenantStore
from fhirstore.errors import InvalidResource, UnknownType
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.search.pages.searchset import SearchPage
from fhirstore.tenancy import PrefixTenancy


@pytest.fixture
def store() -> MeteredStore:
    """Empty, and counting."""
    return MeteredStore(MemoryStore())


@pytest.fixture
def clinic(store: MeteredStore) -> TenantStore:
    """A tenant in it."""
    return FhirStore(PrefixTenancy(store, None)).tenant("clinic")


def patient(id: str, *identifiers: str, **more: object) -> dict[str, object]:
    """A Patient with identifiers written as `system|value`."""
    carried = [
        {"system": system, "value": value} if system else {"value": value}
        for system, _, value in (one.rpartition("|") for one in identifiers)
    ]
    return {"resourceType": "Patient", "id": id, **({"identifier": carried} if carried else {}), **more}


async def ids(clinic: TenantStore, *parameters: tuple[str, str], count: int | None = None) -> list[str]:
    """What is found, over all pages."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await clinic.search_page(clinic.query("Patient", parameters), count=count, cursor=cursor)
        found += [version.id for version in page.matches]
        if page.next is None:
            return found
        cursor = page.next


async def test_identifiers_are_found_in_all_token_forms(clinic: TenantStore) -> None:
    """By value, by system and value, without a system, by system alone; several are or-ed and and-ed."""
    await clinic.update(patient("a", "s|1", "t|2"))
    await clinic.update(patient("b", "s|2"))
    await clinic.update(patient("c", "1"))
    assert sorted(await ids(clinic, ("identifier", "1"))) == ["a", "c"]
    assert sorted(await ids(clinic, ("identifier", "s|1"))) == ["a"]
    assert sorted(await ids(clinic, ("identifier", "|1"))) == ["c"]
    assert sorted(await ids(clinic, ("identifier", "s|"))) == ["a", "b"]
    assert sorted(await ids(clinic, ("identifier", "s|2,|1"))) == ["b", "c"]
    assert sorted(await ids(clinic, ("identifier", "1"), ("identifier", "2"))) == ["a"]
    assert sorted(await ids(clinic, ("identifier", "2"), ("identifier", "s|"))) == ["a", "b"]
    assert sorted(await ids(clinic, ("identifier", "2"), ("_id", "b,c"))) == ["b"]
    assert sorted(await ids(clinic, ("identifier", "3"))) == []


async def test_only_current_versions_are_found(clinic: TenantStore) -> None:
    """What a resource no longer carries does not find it; a deleted one is not found at all."""
    await clinic.update(patient("a", "s|1"))
    await clinic.update(patient("a", "s|2"))
    await clinic.update(patient("b", "s|2"))
    await clinic.delete("Patient", "b")
    assert sorted(await ids(clinic, ("identifier", "s|1"))) == []
    assert sorted(await ids(clinic, ("identifier", "s|2"))) == ["a"]
    assert sorted(await ids(clinic)) == ["a"]
    assert sorted(await ids(clinic, ("_id", "a,b,c"))) == ["a"]
    await clinic.update(patient("a", "s|1"))
    assert sorted(await ids(clinic, ("identifier", "s|1"))) == ["a"]


async def test_a_search_costs_what_it_finds(store: MeteredStore, clinic: TenantStore) -> None:
    """1 LIST and 1 GET per match, by whatever criteria and however many others there are."""
    for number in range(30):
        await clinic.update(patient(f"p{number}", f"s|{number % 10}", f"t|{number}", birthDate=f"19{number + 10}"))
    await clinic.count("Patient")
    costs = {
        (("identifier", "t|7"),): 1,
        (("identifier", "s|7"), ("birthdate", "lt1930")): 2,
        (("identifier", "s|"), ("birthdate", "1911,1912"), ("_sort", "-birthdate")): 2,
        (("identifier", "t|none"),): 0,
        (("_count", "0"),): 0,
    }
    for parameters, matches in costs.items():
        with store.measure() as cost:
            assert len(await ids(clinic, *parameters)) == matches
        assert cost.requests == {"LIST": 1} | ({"GET": matches} if matches else {})
        assert cost.round_trips == (2 if matches else 1)
    with store.measure() as cost:
        assert await ids(clinic, ("_id", "p1,p2,none")) == ["p1", "p2"]
    assert (cost.requests, cost.round_trips) == ({"GET": 3}, 1)


async def test_what_has_changed_since_costs_two_more(store: MeteredStore, clinic: TenantStore) -> None:
    """A later page shows the version of the first page's moment: 1 GET tells that another has followed, 2 read it."""
    for number in range(4):
        await clinic.update(patient(f"p{number}"))
        await asyncio.sleep(0.002)
    query = clinic.query("Patient", [("_count", "2")])
    first = await clinic.search_page(query)
    await clinic.update(patient("p3", "s|1"))
    with store.measure() as cost:
        second = await clinic.search_page(query, cursor=first.next)
    assert [(match.id, match.version_id) for match in second.matches] == [("p2", 1), ("p3", 1)]
    assert cost.requests == {"LIST": 1, "GET": 4}


async def test_ids_that_begin_alike_are_met_once(clinic: TenantStore) -> None:
    """Whatever the page size and the token."""
    await _met_once(clinic)


async def test_ids_that_begin_alike_are_met_once_on_s3(seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same on an S3 server."""
    seaweedfs.use(monkeypatch)
    s3 = S3Options(endpoint_url=seaweedfs.endpoint_url, allow_http=True)
    async with FhirStore.open(seaweedfs.location(), s3=s3) as store:
        await _met_once(store.tenant("default"))


async def _met_once(clinic: TenantStore) -> None:
    names = ["a", "a-1", "a.b", "aB", "ab", "a1", "B", "b", "0", "a-", "a--1"]
    for id_ in names:
        await clinic.update(patient(id_, "s|1", "t|1"))
        await clinic.update(patient(id_, "s|2", "t|1"))
    for count in (1, 2, 3, 50):
        for token in ("s|", "s|2", "2", "1", "s|,t|", "2,t|1"):
            found = await ids(clinic, ("identifier", token), count=count)
            assert sorted(found) == sorted(names)
        assert sorted(await ids(clinic, ("_id", ",".join(names)), count=count)) == sorted(names)
        assert sorted(await ids(clinic, ("identifier", "t|1"), ("identifier", "s|2"), count=count)) == sorted(names)


async def test_the_release_says_where_identifiers_are() -> None:
    """Those of a practitioner's qualifications are searched for in R5, and not in R4; also in conditions."""
    qualified: dict[str, object] = {
        "resourceType": "Practitioner",
        "id": "p",
        "qualification": [{"identifier": [{"system": "s", "value": "q"}], "code": {"text": "c"}}],
    }
    for release, found in (("4.0", []), ("5.0", ["p"])):
        async with FhirStore.open("memory:", fhir_version=release) as store:
            clinic = store.tenant("default")
            await clinic.update(qualified)
            for token in ("s|q", "q", "s|"):
                page = await clinic.search_page(clinic.query("Practitioner", [("identifier", token)]))
                assert [version.id for version in page.matches] == found
            if found:
                assert not (await clinic.create(qualified, if_none_exist="identifier=s|q")).created
            else:  # each time it would make another one
                with pytest.raises(InvalidResource, match="does not meet the criteria"):
                    await clinic.create(qualified, if_none_exist="identifier=s|q")


async def test_pages_hold_each_match_once(clinic: TenantStore) -> None:
    """Whatever the page size, the oldest resource first; or in the order that is asked for."""
    for number in range(23):
        await clinic.update(patient(f"p{number:02}", "s|1"))
        await asyncio.sleep(0.002)
    for number in range(0, 23, 3):
        await clinic.update(patient(f"p{number:02}", "s|1", active=True))
    everything = [f"p{number:02}" for number in range(23)]
    for count in (1, 5, 23, 100):
        assert await ids(clinic, ("identifier", "s|1"), count=count) == everything
        assert await ids(clinic, count=count) == everything
        newest_first = await ids(clinic, ("_sort", "-_lastUpdated"), count=count)
        assert sorted(newest_first) == everything
        assert sorted(newest_first[:8]) == everything[::3]


async def test_all_pages_show_the_moment_of_the_first(clinic: TenantStore) -> None:
    """What is created, changed or deleted while they are read changes nothing on them."""
    for number in range(40):
        await clinic.update(patient(f"p{number:02}", "s|1"))
    found: dict[str, int] = {}
    cursor: str | None = None
    query = clinic.query("Patient", [("identifier", "s|1"), ("_total", "accurate")])
    while True:
        page: SearchPage = await clinic.search_page(query, count=7, cursor=cursor)
        for version in page.matches:
            assert version.id not in found
            found[version.id] = version.version_id
        assert page.total == 40
        for number in (0, 1, 38):
            await clinic.update(patient(f"p{number:02}", "s|2", active=len(found) % 2 == 0))
        await clinic.delete("Patient", "p39")
        await clinic.create(patient("new", "s|1"))
        if page.next is None:
            break
        cursor = page.next
    assert found == {f"p{number:02}": 1 for number in range(40)}
    await clinic.upkeep.purge("Patient", "p37", by="test")
    assert "p37" not in await ids(clinic)


async def test_the_time_of_the_last_change_narrows_a_search(clinic: TenantStore) -> None:
    """`_lastUpdated` finds what changed since, alone and together with others."""
    await clinic.update(patient("a", "s|1"))
    second = await clinic.update(patient("b", "s|1"))
    await asyncio.sleep(0.005)
    await clinic.update(patient("a", "s|1", active=True))
    when = second.json()["meta"]["lastUpdated"]  # type: ignore[index] # meta is an object
    assert sorted(await ids(clinic, ("_lastUpdated", f"ge{when}"))) == ["a", "b"]
    assert await ids(clinic, ("_lastUpdated", f"gt{when}")) == ["a"]
    assert await ids(clinic, ("_lastUpdated", f"gt{when}"), ("identifier", "s|1")) == ["a"]
    assert await ids(clinic, ("_lastUpdated", f"eq{when}"), ("_id", "a,b")) == ["b"]
    assert await ids(clinic, ("_lastUpdated", f"gt{str(when).removesuffix('Z')}")) == ["a"]
    assert sorted(await ids(clinic, ("_lastUpdated", "ge2000-01-01T10:00"), ("identifier", "s|1"))) == ["a", "b"]
    assert await ids(clinic, ("_lastUpdated", "lt2000")) == []


async def test_the_total_is_told_where_it_is_known_or_asked_for(clinic: TenantStore) -> None:
    """When one page holds everything, when only the total is asked for, and with `_total=accurate`."""
    for number in range(5):
        await clinic.update(patient(f"p{number}", "s|1"))
    query = clinic.query("Patient", [("identifier", "1")])
    assert (await clinic.search_page(query)).total == 5
    assert (await clinic.search_page(query, count=2)).total is None
    assert (await clinic.search_page(query, count=0)).total == 5
    assert (await clinic.search_page(query, count=0)).matches == ()
    assert (await clinic.search_page(clinic.query("Patient", [("_total", "accurate")]), count=2)).total == 5
    assert await clinic.count("Patient", identifier="s|1") == 5


async def test_all_types_at_once(clinic: TenantStore) -> None:
    """Without a type everything is found; `_type` chooses."""
    await clinic.update(patient("a"))
    await clinic.update({"resourceType": "Basic", "id": "b", "code": {"text": "c"}})
    page = await clinic.search_page(clinic.query(None, ()))
    assert sorted(version.type for version in page.matches) == ["Basic", "Patient"]
    page = await clinic.search_page(clinic.query(None, [("_type", "Patient,Group")]))
    assert [version.id for version in page.matches] == ["a"]
    with pytest.raises(InvalidResource):
        clinic.query(None, [("identifier", "1")])


async def test_resources_are_found_by_identifier_while_the_index_is_built(
    clinic: TenantStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bucket's own index leads to them; by id, too. Every other search is told to come again."""
    for number in range(5):
        await clinic.update(patient(f"p{number}", "s|1", f"t|{number}"))
    monkeypatch.setattr(fhirstore.indexing.indexer, "PATIENCE", 0.0)
    assert await ids(clinic, ("identifier", "t|3,t|1")) == ["p1", "p3"]
    assert await ids(clinic, ("identifier", "s|1"), ("_id", "p2,none")) == ["p2"]
    for parameters in ([], [("identifier", "s|")], [("identifier", "t|1"), ("_sort", "_id")], [("active", "true")]):
        with pytest.raises(IndexBehind):
            await clinic.search_page(clinic.query("Patient", parameters))
    with pytest.raises(IndexBehind):  # more than a page
        await clinic.search_page(clinic.query("Patient", [("identifier", "s|1")]), count=4)


async def test_bad_questions_are_refused(clinic: TenantStore) -> None:
    """A type that is none, a cursor that nobody gave out."""
    with pytest.raises(UnknownType):
        clinic.query("patient", ())
    for cursor in ("x", "W10", "WyJvIiwxLCJ4Il0", "é"):
        with pytest.raises(InvalidResource):
            await clinic.search_page(clinic.query("Patient", ()), cursor=cursor)


async def test_a_search_tells_where_the_index_does_not_hold_all(
    clinic: TenantStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the types that are searched; others are answered without a word."""
    monkeypatch.setattr("fhirstore.index.local.rows.MOST_ROWS", 3)
    await clinic.update(patient("a", *[f"s|{number}" for number in range(9)]))
    await clinic.update({"resourceType": "Basic", "id": "b", "code": {"text": "b"}})
    whole = await clinic.search("Basic")
    partly = await clinic.search("Patient", _count=5)
    assert (whole.outcomes, [one.code for one in partly.outcomes]) == ((), ["incomplete"])
    assert partly.outcomes[0].diagnostics.endswith(": Patient")
