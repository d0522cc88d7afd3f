"""A search finds all that match and nothing else, at a cost that does not depend on what else there is."""

from __future__ import annotations

import asyncio

import pytest

from conformance.s3servers import S3Server
from fhirstore import FhirStore, S3Options, TenantStore
from fhirstore.errors import InvalidResource, UnknownType, Unsupported
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.search.page import SearchPage
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
        page = await clinic.search_page(clinic.criteria("Patient", parameters), count=count, cursor=cursor)
        found += [version.id for version in page.matches]
        if page.next is None:
            return found
        cursor = page.next


async def test_identifiers_are_found_in_all_token_forms(clinic: TenantStore) -> None:
    """By value, by system and value, without a system, by system alone; several are or-ed and and-ed."""
    await clinic.update(patient("a", "s|1", "t|2"))
    await clinic.update(patient("b", "s|2"))
    await clinic.update(patient("c", "1"))
    assert await ids(clinic, ("identifier", "1")) == ["a", "c"]
    assert await ids(clinic, ("identifier", "s|1")) == ["a"]
    assert await ids(clinic, ("identifier", "|1")) == ["c"]
    assert sorted(await ids(clinic, ("identifier", "s|"))) == ["a", "b"]
    assert await ids(clinic, ("identifier", "s|2,|1")) == ["b", "c"]
    assert await ids(clinic, ("identifier", "1"), ("identifier", "2")) == ["a"]
    assert await ids(clinic, ("identifier", "2"), ("identifier", "s|")) == ["a", "b"]
    assert await ids(clinic, ("identifier", "2"), ("_id", "b,c")) == ["b"]
    assert await ids(clinic, ("identifier", "3")) == []


async def test_only_current_versions_are_found(clinic: TenantStore) -> None:
    """What a resource no longer carries does not find it; a deleted one is not found at all."""
    await clinic.update(patient("a", "s|1"))
    await clinic.update(patient("a", "s|2"))
    await clinic.update(patient("b", "s|2"))
    await clinic.delete("Patient", "b")
    assert await ids(clinic, ("identifier", "s|1")) == []
    assert await ids(clinic, ("identifier", "s|2")) == ["a"]
    assert await ids(clinic) == ["a"]
    assert await ids(clinic, ("_id", "a,b,c")) == ["a"]
    await clinic.update(patient("a", "s|1"))
    assert await ids(clinic, ("identifier", "s|1")) == ["a"]


async def test_a_search_costs_what_it_finds(store: MeteredStore, clinic: TenantStore) -> None:
    """1 GET per id; 1 LIST and 1 GET per candidate for an identifier, however many others there are."""
    for number in range(30):
        await clinic.update(patient(f"p{number}", f"s|{number % 10}", f"t|{number}"))
    with store.measure() as by_id:
        await ids(clinic, ("_id", "p1,p2"))
    with store.measure() as by_identifier:
        await ids(clinic, ("identifier", "t|7"))
    with store.measure() as by_value:
        await ids(clinic, ("identifier", "s|7"))
    with store.measure() as nothing:
        await ids(clinic, ("identifier", "t|none"))
    assert (by_id.requests, by_id.round_trips) == ({"GET": 2}, 1)
    assert (by_identifier.requests, by_identifier.round_trips) == ({"LIST": 1, "GET": 1}, 2)
    assert (by_value.requests, by_value.round_trips) == ({"LIST": 1, "GET": 3}, 2)
    assert (nothing.requests, nothing.round_trips) == ({"LIST": 1}, 1)


async def test_a_system_costs_what_a_page_holds(store: MeteredStore, clinic: TenantStore) -> None:
    """`system|` looks at its own matches only, 1 LIST per page however many others there are; so does the last page."""
    for number in range(30):
        await clinic.update(patient(f"p{number:02}", f"s|{number}"))
        await clinic.update(patient(f"q{number:02}", f"t|{number}"))
    await clinic.update(patient("q07", "s|7", "t|7", "t|8"))
    by_system = clinic.criteria("Patient", [("identifier", "s|")])
    with store.measure() as first_page:
        first = await clinic.search_page(by_system, count=10)
    with store.measure() as second_page:
        second = await clinic.search_page(by_system, count=20, cursor=first.next)
    with store.measure() as third_page:
        third = await clinic.search_page(by_system, count=20, cursor=second.next)
    assert [version.id for version in first.matches + second.matches] == [f"p{number:02}" for number in range(30)]
    assert [version.id for version in third.matches] == ["q07"]
    assert third.next is None
    assert (first_page.requests, first_page.round_trips) == ({"LIST": 1, "GET": 10}, 2)
    assert second_page.requests == {"LIST": 1, "GET": 20}
    assert (third_page.requests, third_page.round_trips) == ({"LIST": 1, "GET": 1}, 2)
    assert len(await ids(clinic, ("identifier", "s|,t|"), count=7)) == 60
    assert await ids(clinic, ("identifier", "s|"), ("identifier", "t|")) == ["q07"]
    assert await ids(clinic, ("identifier", "u|")) == []


async def test_a_page_looks_at_so_many_and_no_more(store: MeteredStore, clinic: TenantStore) -> None:
    """Where nothing of what the index leads to matches, a page ends after a thousand looks, with a cursor."""
    for _ in range(11):
        await asyncio.gather(*(clinic.create(patient("x", "s|1")) for _ in range(100)))
    rare = clinic.criteria("Patient", [("identifier", "s|1"), ("_lastUpdated", "lt2000")])
    with store.measure() as first_page:
        first = await clinic.search_page(rare)
    second = await clinic.search_page(rare, cursor=first.next)
    assert (first.matches, second.matches, second.next) == ((), (), None)
    assert first.next is not None
    assert first_page.requests["GET"] in range(1_000, 1_064)
    assert await clinic.search_total(clinic.criteria("Patient", [("identifier", "s|")])) is None


async def test_ids_that_begin_alike_are_met_once(clinic: TenantStore) -> None:
    """Pages go by the order of keys, which is not that of ids: after `a` comes `b`, but `a-1` and `aB` before it."""
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
                page = await clinic.search_page(clinic.criteria("Practitioner", [("identifier", token)]))
                assert [version.id for version in page.matches] == found
            if found:
                assert not (await clinic.create(qualified, if_none_exist="identifier=s|q")).created
            else:  # each time it would make another one
                with pytest.raises(InvalidResource, match="does not meet the criteria"):
                    await clinic.create(qualified, if_none_exist="identifier=s|q")


async def test_pages_hold_each_match_once(clinic: TenantStore) -> None:
    """Whatever the page size, by the index and by time; newest first where there is no index to go by."""
    for number in range(23):
        await clinic.update(patient(f"p{number:02}", "s|1"))
    await asyncio.sleep(0.005)
    for number in range(0, 23, 3):
        await clinic.update(patient(f"p{number:02}", "s|1", active=True))
    everything = [f"p{number:02}" for number in range(23)]
    for count in (1, 5, 23, 100):
        assert await ids(clinic, ("identifier", "s|1"), count=count) == everything
        newest_first = await ids(clinic, count=count)
        assert sorted(newest_first) == everything
        assert sorted(newest_first[:8]) == everything[::3]


async def test_writes_between_pages_neither_repeat_nor_lose_a_resource(clinic: TenantStore) -> None:
    """A resource that changes while the pages are read is met once, as it is then."""
    for number in range(40):
        await clinic.update(patient(f"p{number:02}", "s|1"))
    found: dict[str, int] = {}
    cursor: str | None = None
    while True:
        page: SearchPage = await clinic.search_page(clinic.criteria("Patient", ()), count=7, cursor=cursor)
        for version in page.matches:
            assert version.id not in found
            found[version.id] = version.version_id
        await asyncio.sleep(0.002)  # a search begins at one ms
        for number in (0, 1, 38, 39):
            await clinic.update(patient(f"p{number:02}", "s|1", active=len(found) % 2 == 0))
        await clinic.create(patient("new", "s|1"))
        if page.next is None:
            break
        cursor = page.next
    assert sorted(found) == [f"p{number:02}" for number in range(40)]
    assert found["p00"] > 1


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
    assert await ids(clinic, ("_lastUpdated", "lt2000")) == []


async def test_the_total_is_told_where_it_is_known(clinic: TenantStore) -> None:
    """When one page holds everything, or when only the total is asked for and an index leads to it."""
    for number in range(5):
        await clinic.update(patient(f"p{number}", "s|1"))
    by_index, recent = clinic.criteria("Patient", [("identifier", "1")]), clinic.criteria("Patient", ())
    assert (await clinic.search_page(by_index)).total == 5
    assert (await clinic.search_page(by_index, count=2)).total is None
    assert (await clinic.search_page(by_index, count=0)).total == 5
    assert (await clinic.search_page(by_index, count=0)).matches == ()
    assert (await clinic.search_page(recent)).total == 5
    assert (await clinic.search_page(recent, count=2)).total is None


async def test_all_types_at_once(clinic: TenantStore) -> None:
    """Without a type everything is found, newest first; `_type` chooses."""
    await clinic.update(patient("a"))
    await clinic.update({"resourceType": "Basic", "id": "b", "code": {"text": "c"}})
    page = await clinic.search_page(clinic.criteria(None, ()))
    assert sorted(version.type for version in page.matches) == ["Basic", "Patient"]
    page = await clinic.search_page(clinic.criteria(None, [("_type", "Patient,Group")]))
    assert [version.id for version in page.matches] == ["a"]
    with pytest.raises(Unsupported):
        clinic.criteria(None, [("identifier", "1")])


async def test_bad_questions_are_refused(clinic: TenantStore) -> None:
    """A type that is none, a cursor that nobody gave out."""
    with pytest.raises(UnknownType):
        clinic.criteria("patient", ())
    for cursor in ("x", "W10", "WyJvIiwxLCJ4Il0", "é"):
        with pytest.raises(InvalidResource):
            await clinic.search_page(clinic.criteria("Patient", ()), cursor=cursor)
