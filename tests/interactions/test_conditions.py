"""Conditional interactions by any parameters: found by the local index, tested again where they are committed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from fhirstore import FhirStore, IndexOptions, JsonPatch, TenantStore, Version
from fhirstore.commit.drive import drive
from fhirstore.commit.messages import Consult, Protocol
from fhirstore.errors import (
    Contention,
    FhirStoreError,
    InvalidResource,
    MultipleMatches,
    NotFound,
    Unavailable,
    Unsupported,
)
from fhirstore.fhir.json import JsonObject
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.search.conditional.candidates import find
from fhirstore.search.conditional.identifying import Criteria
from fhirstore.tenancy import PrefixTenancy

WEIGHT = "code=http://loinc.org|29463-7&subject=Patient/p&date=2024-05-01"


def weight(**more: object) -> JsonObject:
    """An Observation that meets WEIGHT."""
    coding = {"system": "http://loinc.org", "code": "29463-7"}
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [coding]},
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": "2024-05-01",
        **more,
    }


@pytest.fixture
def store() -> MeteredStore:
    """Empty, and counting."""
    return MeteredStore(MemoryStore())


@pytest.fixture
async def clinic(store: MeteredStore) -> AsyncIterator[TenantStore]:
    """A tenant in it, with a Patient, whose index is built."""
    server = FhirStore(PrefixTenancy(store, None))
    tenant = server.tenant("clinic")
    await tenant.update({"resourceType": "Patient", "id": "p", "name": [{"family": "Long"}]})
    assert await tenant.count("Patient") == 1
    yield tenant
    await server.settle()
    await server.aclose()


async def test_a_create_by_any_parameters_makes_one(clinic: TenantStore) -> None:
    """The second is told of the first; when that does not match any more, another is made."""
    first = await clinic.create(weight(), if_none_exist=WEIGHT)
    again = await clinic.create(weight(note=[{"text": "again"}]), if_none_exist=WEIGHT)
    assert (first.created, again.created, again.id, again.version_id) == (True, False, first.id, 1)
    await clinic.update(weight(id=first.id, effectiveDateTime="2024-05-02"))
    third = await clinic.create(weight(), if_none_exist=WEIGHT)
    assert third.created
    assert await clinic.count("Observation", "code=29463-7") == 2


async def test_what_they_cost(store: MeteredStore, clinic: TenantStore) -> None:
    """A create: 2 LIST + 5 PUT, in 5 round trips; a hit and each change 1 LIST + 1 GET more than the write."""
    with store.measure() as miss:
        await clinic.create(weight(), if_none_exist=WEIGHT)
    with store.measure() as hit:
        await clinic.create(weight(), if_none_exist=WEIGHT)
    with store.measure() as update:
        await clinic.conditional_update(weight(status="amended"), WEIGHT)
    with store.measure() as nothing:
        assert await clinic.conditional_delete("Observation", "code=none") is None
    assert (miss.requests, miss.round_trips) == ({"LIST": 2, "PUT": 5}, 5)
    assert (hit.requests, hit.round_trips) == ({"LIST": 1, "GET": 1}, 2)
    assert (update.requests, update.round_trips) == ({"LIST": 1, "GET": 1, "PUT": 4}, 4)
    assert nothing.requests == {"LIST": 1}


async def test_identifiers_beside_others_need_no_index(store: MeteredStore, clinic: TenantStore) -> None:
    """The bucket's own index leads to the candidates; the other parameters are tests of their content."""
    identifier = [{"system": "s", "value": "1"}]
    criteria = "identifier=s|1&status=final"
    with store.measure() as miss:
        made = await clinic.create(weight(identifier=identifier), if_none_exist=criteria)
    with store.measure() as hit:
        assert not (await clinic.create(weight(identifier=identifier), if_none_exist=criteria)).created
    assert miss.requests == {"LIST": 2, "PUT": 7}
    assert hit.requests == {"LIST": 1, "GET": 1}
    await clinic.update(weight(id=made.id, identifier=identifier, status="amended"))
    other = await clinic.create(weight(identifier=identifier), if_none_exist=criteria)
    assert other.created
    assert await clinic.conditional_delete("Observation", f"_id={made.id}&status=final") is None


async def test_changes_by_any_parameters(clinic: TenantStore) -> None:
    """Update, patch, delete of one match, delete of all; none, and several."""
    made = await clinic.conditional_update(weight(), WEIGHT)
    updated = await clinic.conditional_update(weight(status="amended"), WEIGHT)
    assert (updated.id, updated.version_id) == (made.id, 2)
    operation = JsonPatch.parse([{"op": "replace", "path": "/status", "value": "final"}])
    patched = await clinic.conditional_patch("Observation", f"{WEIGHT}&status=amended", operation)
    assert (patched.id, patched.version_id) == (made.id, 3)
    with pytest.raises(NotFound, match="by code, subject, date, status"):
        await clinic.conditional_patch("Observation", f"{WEIGHT}&status=amended", operation)
    await clinic.create(weight())
    with pytest.raises(MultipleMatches):
        await clinic.conditional_update(weight(), WEIGHT)
    with pytest.raises(MultipleMatches):
        await clinic.create(weight(), if_none_exist=WEIGHT)
    with pytest.raises(MultipleMatches):
        await clinic.conditional_delete("Observation", WEIGHT)
    deleted = await clinic.conditional_delete("Observation", f"_id={made.id}&{WEIGHT}")
    assert deleted is not None
    await clinic.create(weight())
    assert len(await clinic.delete_matching("Observation", WEIGHT)) == 2
    assert await clinic.count("Observation") == 0


CHAINED = "subject:Patient.family=Long&status=final"


async def test_chains_lead_to_what_is_changed(clinic: TenantStore) -> None:
    """The search decides, and of that version alone; nothing is created on a chain."""
    made = await clinic.create(weight())
    updated = await clinic.conditional_update(weight(note=[{"text": "new"}]), CHAINED)
    assert (updated.id, updated.version_id) == (made.id, 2)
    assert not (await clinic.create(weight(), if_none_exist=CHAINED)).created
    reverse = "_has:Observation:subject:code=29463-7"
    patch = JsonPatch.parse([{"op": "add", "path": "/active", "value": True}])
    assert (await clinic.conditional_patch("Patient", reverse, patch)).id == "p"
    assert (await clinic.conditional_delete("Observation", CHAINED)) is not None
    for criteria in (CHAINED, f"{WEIGHT}&_lastUpdated=gt2000"):
        with pytest.raises(InvalidResource, match="nothing is created on") as refused:
            await clinic.create(weight(), if_none_exist=criteria)
        assert refused.value.issues[0].code == "not-supported"
    assert await clinic.count("Observation") == 0


@pytest.mark.parametrize("criteria", [WEIGHT, CHAINED, "status=final&_lastUpdated=gt2000"])
async def test_a_match_that_has_changed_since_is_not_changed(
    clinic: TenantStore, criteria: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another write comes between the search and the commit: then it is searched again."""
    made = await clinic.create(weight())
    moved = 0

    async def change() -> None:
        await clinic.update(weight(id=made.id, status="cancelled", effectiveDateTime="2020"))

    original = TenantStore._condition

    async def condition(self: TenantStore, type: str, parameters: str) -> Criteria:
        found = await original(self, type, parameters)
        lookup = found.lookup
        assert lookup is not None

        def interrupted(most: int) -> Protocol[Sequence[tuple[str, int]]]:
            nonlocal moved
            named = yield from lookup(most)
            if not moved:
                moved += 1
                yield (Consult(change),)
            return named

        return replace(found, lookup=interrupted)

    monkeypatch.setattr(TenantStore, "_condition", condition)
    assert await clinic.conditional_delete("Observation", criteria) is None
    assert moved == 1
    assert (await clinic.read("Observation", made.id)).version_id == 2


@pytest.mark.parametrize("servers", [1, 3])
async def test_concurrent_creates_on_one_query_make_one(servers: int) -> None:
    """On one server or several, each with an index of its own, in whatever order the parameters are."""
    store = MemoryStore()
    clinics = [FhirStore(PrefixTenancy(store, None)) for _ in range(servers)]
    await clinics[0].tenant("clinic").update({"resourceType": "Patient", "id": "p"})
    queries = (WEIGHT, "&".join(reversed(WEIGHT.split("&"))))

    async def create(number: int) -> Version | FhirStoreError:
        tenant = clinics[number % servers].tenant("clinic")
        try:
            return await tenant.create(weight(), if_none_exist=queries[number % 2])
        except (Contention, Unavailable) as error:
            return error

    done = await asyncio.gather(*[create(number) for number in range(24)])
    made = [one for one in done if isinstance(one, Version)]
    assert len({one.id for one in made}) == 1
    assert sum(one.created for one in made) == 1
    assert await clinics[-1].tenant("clinic").count("Observation") == 1
    for one in clinics:
        await one.aclose()


async def test_a_resource_must_meet_its_criteria(clinic: TenantStore) -> None:
    """Otherwise each repetition would make another one; which parameter it misses is said, but no value."""
    for resource, criteria, name in (
        (weight(status="amended"), f"{WEIGHT}&status=final", "status"),
        (weight(), "code=other", "code"),
        (weight(), "value-quantity:missing=false", "value-quantity:missing"),
    ):
        with pytest.raises(InvalidResource, match=f"does not match {name}$"):
            await clinic.create(resource, if_none_exist=criteria)
        with pytest.raises(InvalidResource, match=f"does not match {name}$"):
            await clinic.conditional_update(resource, criteria)
    assert await clinic.count("Observation") == 0


async def test_what_is_purged_is_not_found(clinic: TenantStore) -> None:
    """Even while the index of another process still names it."""
    made = await clinic.create(weight())
    place = clinic._place
    await clinic.count("Observation")
    await place.objects.delete(place.keys.resource("Observation", made.id).current)
    condition = await clinic._condition("Observation", WEIGHT)
    assert await drive(find(place.keys, condition), place.objects) == []
    assert (await clinic.create(weight(), if_none_exist=WEIGHT)).created


async def test_parameters_that_the_tenant_defines(clinic: TenantStore) -> None:
    """A condition knows them as soon as they are filled; the content is tested for them, too."""
    await clinic.create(
        {
            "resourceType": "SearchParameter",
            "url": "urn:x:note",
            "name": "Note",
            "status": "active",
            "description": "What was noted",
            "code": "note",
            "base": ["Observation"],
            "type": "string",
            "expression": "Observation.note.text",
        }
    )
    noted = weight(note=[{"text": "Fasting"}])
    for _ in range(200):
        try:
            first = await clinic.create(noted, if_none_exist="note:exact=Fasting")
            break
        except Unsupported:  # it is being filled
            await asyncio.sleep(0.05)
    again = await clinic.create(noted, if_none_exist="note:exact=Fasting")
    assert (first.created, again.created, again.id) == (True, False, first.id)
    with pytest.raises(InvalidResource, match="does not match note"):
        await clinic.create(weight(), if_none_exist="note=sober")


async def test_value_sets_in_criteria(clinic: TenantStore) -> None:
    """What a ValueSet of the tenant holds leads to the match; nothing is created on it."""
    codes = {"system": "http://loinc.org", "concept": [{"code": "29463-7"}]}
    await clinic.create(
        {"resourceType": "ValueSet", "url": "urn:x:weights", "status": "active", "compose": {"include": [codes]}}
    )
    made = await clinic.create(weight())
    found = await clinic.create(weight(), if_none_exist="code:in=urn:x:weights&status=final")
    assert (found.created, found.id) == (False, made.id)
    await clinic.delete("Observation", made.id)
    with pytest.raises(InvalidResource, match="nothing is created on code:in"):
        await clinic.create(weight(), if_none_exist="code:in=urn:x:weights&status=final")


async def test_callers_that_go_away_leave_one_resource_at_most(clinic: TenantStore) -> None:
    """Cancelled at any moment, also while the index is asked under the claim, a create ends or never was."""
    for wait in range(40):
        task = asyncio.create_task(clinic.create(weight(), if_none_exist=WEIGHT))
        await asyncio.sleep(wait * 0.0004)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if wait % 8 == 7:
            await clinic._engine.settle()
            await clinic.delete_matching("Observation", WEIGHT)
    await clinic._engine.settle()
    made = await clinic.create(weight(), if_none_exist=WEIGHT)
    assert [one.id for one in (await clinic.search("Observation", WEIGHT)).matches] == [made.id]


async def test_a_server_whose_searches_are_local_conditions_on_what_others_wrote() -> None:
    """Conditions are strong whatever the store's consistency is."""
    objects = MemoryStore()
    options = IndexOptions(consistency="local", poll=60.0)
    here, there = (FhirStore(PrefixTenancy(objects, None), index=options) for _ in range(2))
    ours, theirs = here.tenant("clinic"), there.tenant("clinic")
    assert await theirs.count("Observation") == 0
    made = await ours.create(weight(), if_none_exist=WEIGHT)
    found = await theirs.create(weight(), if_none_exist=WEIGHT)
    assert (found.created, found.id) == (False, made.id)
    for server in (here, there):
        await server.settle()
        await server.aclose()
