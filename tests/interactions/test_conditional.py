"""Conditional interactions do what http.html says for none, one and several matches, at a known price."""

from __future__ import annotations

import asyncio

import pytest

from fhirstore import FhirStore, TenantStore
from fhirstore.errors import InvalidResource, MultipleMatches, Unsupported, VersionConflict
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.tenancy import PrefixTenancy

S1 = "identifier=s|1"


@pytest.fixture
def store() -> MeteredStore:
    """Empty, and counting."""
    return MeteredStore(MemoryStore())


@pytest.fixture
def clinic(store: MeteredStore) -> TenantStore:
    """A tenant in it."""
    return FhirStore(PrefixTenancy(store, None)).tenant("clinic")


def patient(value: str = "1", **more: object) -> dict[str, object]:
    """A Patient with one identifier."""
    return {"resourceType": "Patient", "identifier": [{"system": "s", "value": value}], **more}


async def total(clinic: TenantStore) -> int:
    """How many Patients there are."""
    return (await clinic.search_page(clinic.query("Patient", ()))).total or 0


async def test_a_create_that_meets_a_match_leaves_it_as_it_is(clinic: TenantStore) -> None:
    """The second one gets the first one's resource and creates nothing; once that is deleted, one is created again."""
    first = await clinic.create(patient(), if_none_exist=S1)
    second = await clinic.create(patient(active=True), if_none_exist=S1)
    assert first.created
    assert (second.id, second.version_id, second.created) == (first.id, 1, False)
    await clinic.delete("Patient", first.id)
    third = await clinic.create(patient(), if_none_exist=S1)
    assert third.created
    assert third.id != first.id


async def test_what_conditional_interactions_cost(store: MeteredStore, clinic: TenantStore) -> None:
    """A create: 2 LIST + 7 PUT in 5 round trips; a hit 1 LIST + 1 GET; an update 1 LIST + 1 GET + 4 PUT in 4."""
    with store.measure() as miss:
        await clinic.create(patient(), if_none_exist=S1)
    with store.measure() as hit:
        await clinic.create(patient(), if_none_exist=S1)
    with store.measure() as update:
        await clinic.conditional_update(patient(active=True), S1)
    with store.measure() as next_update:
        await clinic.update(patient(id=(await clinic.create(patient(), if_none_exist=S1)).id))
    with store.measure() as by_id:
        await clinic.conditional_update(patient("2", id="chosen"), "_id=chosen")
    assert (miss.requests, miss.round_trips) == ({"LIST": 2, "PUT": 7}, 5)
    assert (hit.requests, hit.round_trips) == ({"LIST": 1, "GET": 1}, 2)
    assert (update.requests, update.round_trips) == ({"LIST": 1, "GET": 1, "PUT": 4}, 4)
    assert next_update.requests == {"LIST": 1, "GET": 1, "PUT": 4}  # the update itself reads nothing
    assert (by_id.requests, by_id.round_trips) == ({"GET": 2, "PUT": 6}, 4)


async def test_what_does_not_meet_its_own_criteria_claims_nothing(store: MeteredStore, clinic: TenantStore) -> None:
    """It is refused after one look, and whoever creates on the same condition next is not held up."""
    with store.measure() as refused, pytest.raises(InvalidResource):
        await clinic.create(patient("2"), if_none_exist=S1)
    with store.measure() as update, pytest.raises(InvalidResource):
        await clinic.conditional_update(patient("2", id="chosen"), S1)
    with store.measure() as created:
        await clinic.create(patient(), if_none_exist=S1)
    assert refused.requests == update.requests == {"LIST": 1}
    assert created.requests == {"LIST": 2, "PUT": 7}


async def test_several_matches_are_refused(clinic: TenantStore) -> None:
    """Criteria that are not selective enough change nothing, whatever the interaction."""
    await clinic.create(patient())
    await clinic.create(patient())
    with pytest.raises(MultipleMatches):
        await clinic.create(patient(), if_none_exist=S1)
    with pytest.raises(MultipleMatches):
        await clinic.conditional_update(patient(), S1)
    with pytest.raises(MultipleMatches):
        await clinic.conditional_delete("Patient", S1)
    assert await total(clinic) == 2


async def test_an_update_creates_or_updates(clinic: TenantStore) -> None:
    """No match: created, under a fresh id; one match: its next version; the id in the body must agree."""
    first = await clinic.conditional_update(patient(), S1)
    second = await clinic.conditional_update(patient(active=True), S1)
    third = await clinic.conditional_update(patient(id=first.id), S1)
    assert (first.created, first.version_id, first.method) == (True, 1, "PUT")
    assert (second.created, second.id, second.version_id) == (False, first.id, 2)
    assert (third.id, third.version_id) == (first.id, 3)
    with pytest.raises(InvalidResource):
        await clinic.conditional_update(patient(id="another"), S1)
    with pytest.raises(VersionConflict):
        await clinic.conditional_update(patient(), S1, if_match=2)
    unchanged = await clinic.conditional_update(patient(id=first.id), S1, skip_unchanged=True)
    assert unchanged.version_id == 3


async def test_an_update_without_a_match_creates_under_the_id_in_the_body(clinic: TenantStore) -> None:
    """Update as create; over a tombstone too, but never over a resource that does not match."""
    created = await clinic.conditional_update(patient(id="chosen"), S1)
    assert (created.id, created.created) == ("chosen", True)
    await clinic.delete("Patient", "chosen")
    again = await clinic.conditional_update(patient(id="chosen"), S1)
    assert (again.version_id, again.created) == (3, True)
    with pytest.raises(VersionConflict):
        await clinic.conditional_update(patient("2", id="chosen"), "identifier=s|2")
    assert (await clinic.read("Patient", "chosen")).version_id == 3


async def test_a_delete_takes_what_matches(clinic: TenantStore) -> None:
    """One match is deleted, none is nothing to do."""
    created = await clinic.create(patient())
    tombstone = await clinic.conditional_delete("Patient", S1)
    assert tombstone is not None
    assert (tombstone.id, tombstone.deleted) == (created.id, True)
    assert await clinic.conditional_delete("Patient", S1) is None
    other = await clinic.create(patient())
    assert await clinic.conditional_delete("Patient", f"{S1}&_id=x") is None
    with pytest.raises(VersionConflict):
        await clinic.conditional_delete("Patient", S1, if_match=7)
    assert await clinic.conditional_delete("Patient", f"_id={other.id}") is not None


async def test_conditions_that_lead_nowhere_are_refused(clinic: TenantStore) -> None:
    """Unknown parameters are never ignored in a condition, and one that all resources meet is none."""
    with pytest.raises(Unsupported):
        await clinic.create(patient(), if_none_exist="_filter=x")
    nothing = ("", "?", "identifier=", "nope=x", "identifier=s|1&nope=x")
    about_the_answer = ("identifier=s|1&_sort=name", "_count=1", "_include=Patient:organization&_id=a", "_summary=true")
    for criteria in (*nothing, *about_the_answer):
        with pytest.raises(InvalidResource):
            await clinic.create(patient(), if_none_exist=criteria)
        with pytest.raises(InvalidResource):
            await clinic.conditional_delete("Patient", criteria)


async def test_a_system_alone_is_a_condition_to_change_on(store: MeteredStore, clinic: TenantStore) -> None:
    """Where nothing can be created, a system does; several are refused after a look at a few of them."""
    created = await clinic.create(patient())
    deleted = await clinic.conditional_delete("Patient", "identifier=s|")
    assert deleted is not None
    assert deleted.id == created.id
    assert (await clinic.conditional_delete("Patient", "identifier=s|")) is None
    for number in range(50):
        await clinic.create(patient(str(number)))
    with store.measure() as cost, pytest.raises(MultipleMatches):
        await clinic.conditional_delete("Patient", "identifier=s|")
    assert cost.requests == {"LIST": 1, "GET": 4}


async def test_concurrent_creates_of_one_identifier_make_one() -> None:
    """100 tasks of three stores on one bucket, none of which waits for the others' turns: one creates, all get it."""
    objects = MemoryStore()
    stores = [FhirStore(PrefixTenancy(objects, None)) for _ in range(3)]
    conditions = (S1, "identifier=1", "identifier=s|1,s|2")
    answers = await asyncio.gather(
        *(stores[n % 3].tenant("clinic").create(patient(), if_none_exist=conditions[n % 2]) for n in range(99)),
        stores[0].tenant("clinic").conditional_update(patient(), conditions[2]),
    )
    assert len({answer.id for answer in answers}) == 1
    assert sum(answer.created for answer in answers) == 1


async def test_dead_entries_are_taken_away_by_lookups(clinic: TenantStore, store: MeteredStore) -> None:
    """Entries that nobody needs any more cost one look: the next conditional interaction removes them."""
    created = await clinic.create(patient())
    for value in ("2", "1", "2", "1"):
        await clinic.update(patient(value, id=created.id))
    assert (await clinic.create(patient(), if_none_exist=S1)).id == created.id
    await clinic.delete("Patient", created.id)
    await clinic.conditional_delete("Patient", "identifier=s|1,s|2")
    left = [item.key for item in (await store.list("clinic/identity/")).objects]
    assert [key.split("/")[3] for key in left] == ["system"]
    assert await clinic.conditional_delete("Patient", "identifier=s|") is None
    assert (await store.list("clinic/identity/")).objects == ()
