"""With reference integrity on, what a write refers to on this server is there, or nothing is written."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fhirstore import FhirStore, JsonPatch, TenantStore
from fhirstore.errors import InvalidResource
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.validation.integrity import relative_references
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.tenancy import PrefixTenancy


def _observation(*subjects: str) -> json.JsonObject:
    performers = [{"reference": subject} for subject in subjects[1:]]
    return {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": {"text": "a"},
        "subject": {"reference": subjects[0]},
    } | ({"performer": performers} if performers else {})


@pytest.fixture
async def meter() -> MeteredStore:
    """What is stored, and what it was asked."""
    return MeteredStore(MemoryStore())


@pytest.fixture
async def clinic(meter: MeteredStore) -> AsyncIterator[TenantStore]:
    """A tenant of a store with the switch on, with one patient, `p`."""
    store = FhirStore(PrefixTenancy(meter, None), reference_integrity=True)
    tenant = store.tenant("clinic")
    await tenant.update({"resourceType": "Patient", "id": "p"})
    yield tenant
    await store.settle()


def test_only_what_this_server_should_have_is_looked_for() -> None:
    """Relative references, each once, at their first place; not the resource itself."""
    references = (
        b'{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/p"},"focus":['
        b'{"reference":"Patient/p/_history/3"},{"reference":"https://example.org/Patient/q"},{"reference":"#c"},'
        b'{"reference":"urn:uuid:1"},{"identifier":{"value":"1"}},{"reference":"Observation/o"},{"reference":"Basic/b"}],'
        b'"contained":[{"resourceType":"Encounter","id":"c","serviceProvider":{"reference":"Organization/g"}}]}'
    )
    assert relative_references(definitions(), json.parse(references)) == {
        ("Patient", "p"): "Observation.subject.reference",
        ("Basic", "b"): "Observation.focus[6].reference",
        ("Organization", "g"): "Observation.contained[0].serviceProvider.reference",
    }


async def test_a_dangling_reference_is_refused_with_its_expression(clinic: TenantStore) -> None:
    """All of them at once, and nothing is written."""
    with pytest.raises(InvalidResource) as refusal:
        await clinic.update(_observation("Patient/gone", "Patient/p", "Practitioner/gone"))
    assert [(issue.code, issue.expression) for issue in refusal.value.issues] == [
        ("not-found", ("Observation.subject.reference",)),
        ("not-found", ("Observation.performer[1].reference",)),
    ]
    assert [version async for version in clinic.history("Observation")] == []


async def test_what_is_there_costs_one_get_each(clinic: TenantStore, meter: MeteredStore) -> None:
    """References to two patients, one of them twice: two GETs, in one round trip before the write."""
    await clinic.update({"resourceType": "Patient", "id": "q"})
    with meter.measure() as without:
        await clinic.create({"resourceType": "Basic", "code": {"text": "a"}})
    with meter.measure() as measured:
        await clinic.create(_observation("Patient/p", "Patient/q", "Patient/p"))
    assert measured.requests == {**without.requests, "GET": 2}
    assert measured.round_trips == without.round_trips + 1


async def test_a_deleted_target_is_not_there(clinic: TenantStore) -> None:
    """A tombstone is no resource."""
    await clinic.delete("Patient", "p")
    with pytest.raises(InvalidResource):
        await clinic.create(_observation("Patient/p"))


async def test_a_patch_is_looked_at_as_well(clinic: TenantStore) -> None:
    """What the patch makes of the resource must not dangle either."""
    await clinic.update(_observation("Patient/p"))
    to = b'[{"op":"replace","path":"/subject/reference","value":"%s"}]'
    with pytest.raises(InvalidResource):
        await clinic.patch("Observation", "o", JsonPatch.parse(to % b"Patient/gone"))
    await clinic.update({"resourceType": "Patient", "id": "q"})
    assert (await clinic.patch("Observation", "o", JsonPatch.parse(to % b"Patient/q"))).version_id == 2


async def test_the_references_of_a_patch_are_followed_between_two_decisions(
    clinic: TenantStore, meter: MeteredStore
) -> None:
    """The current version is read, the target, and the current version again, which is then patched."""
    await clinic.update(_observation("Patient/p"))
    await clinic.update({"resourceType": "Patient", "id": "q"})
    to_q = JsonPatch.parse(b'[{"op":"replace","path":"/subject/reference","value":"Patient/q"}]')
    with meter.measure() as measured:
        await clinic.patch("Observation", "o", to_q)
    assert measured.requests == {"GET": 3, "PUT": 4}
    with pytest.raises(InvalidResource):
        dangling = JsonPatch.parse(b'[{"op":"replace","path":"/subject/reference","value":"Patient/gone"}]')
        await clinic.conditional_patch("Observation", "_id=o", dangling)
    assert (await clinic.conditional_patch("Observation", "_id=o", to_q)).version_id == 3


async def test_a_transaction_may_bring_what_it_refers_to(clinic: TenantStore) -> None:
    """An entry may refer to another; to what is neither there nor brought, or is deleted with it, it may not."""

    def bundle(reference: str, *more: json.JsonObject) -> json.JsonObject:
        request = {"method": "PUT", "url": "Observation/o"}
        return {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [{"resource": _observation(reference), "request": request}, *more],
        }

    made = "urn:uuid:8f5e5c1a-2c5a-4a30-9f52-4b1bb3f0d0c1"
    patient: json.JsonObject = {
        "fullUrl": made,
        "resource": {"resourceType": "Patient"},
        "request": {"method": "POST", "url": "Patient"},
    }
    with pytest.raises(InvalidResource) as refusal:
        await clinic.transaction(bundle("Patient/gone"))
    assert refusal.value.issues[0].expression[0].startswith("Bundle.entry[0]")
    deletion: json.JsonObject = {"request": {"method": "DELETE", "url": "Patient/p"}}
    with pytest.raises(InvalidResource):
        await clinic.transaction(bundle("Patient/p", deletion))
    await clinic.transaction(bundle(made, patient))
    assert (await clinic.read("Observation", "o")).version_id == 1


async def test_the_switch_is_off_unless_turned_on() -> None:
    """A store of its own takes references to what comes later."""
    store = FhirStore(PrefixTenancy(MemoryStore(), None))
    await store.tenant("clinic").create(_observation("Patient/later"))
