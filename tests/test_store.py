"""What the server does is there for those who use the library alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fhirstore import FhirStore, MergePatch, UnmodifiedSince, VersionIds
from fhirstore.commit.rules import Rules
from fhirstore.errors import InvalidResource, MalformedContent, VersionConflict

OBSERVATION = (
    b'<Observation xmlns="http://hl7.org/fhir"><id value="o"/><status value="final"/><code><text value="x"/></code>'
    b'<valueQuantity><value value="1.00"/></valueQuantity></Observation>'
)


@pytest.fixture
async def store() -> AsyncIterator[FhirStore]:
    """An empty store of R4."""
    async with FhirStore.open("memory:") as value:
        yield value


async def test_xml_goes_in_and_comes_out(store: FhirStore) -> None:
    """What is read is what create and update take; decimals keep their digits."""
    version = await store.tenant("default").update(store.from_xml(OBSERVATION))
    xml = store.to_xml(version.content, pretty=True)
    assert b'\n    <value value="1.00"/>' in xml
    assert store.from_xml(xml) == version.content
    with pytest.raises(MalformedContent):
        store.from_xml(b"<Observation")
    with pytest.raises(InvalidResource):
        store.to_xml({"resourceType": "Observation", "bogus": 1})


async def test_parts_of_a_resource(store: FhirStore) -> None:
    """As `_summary` and `_elements` give them, marked."""
    resource = store.from_xml(OBSERVATION)
    assert b'"valueQuantity":{"value":1.00}' in store.part(resource, elements=["value"])
    assert b"SUBSETTED" in store.part(resource, summary="text")
    with pytest.raises(InvalidResource):
        store.part(resource, summary="true", elements=["value"])


async def test_every_condition_is_an_argument(store: FhirStore) -> None:
    """Version ids, times and what must not be there, on update, patch and delete."""
    clinic = store.tenant("default")
    patient = {"resourceType": "Patient", "id": "p"}
    await clinic.update(patient, if_none_match=VersionIds(any=True))
    known = VersionIds(frozenset({1}))
    for if_match, if_none_match in ((2, None), (UnmodifiedSince(0), None), (None, known), (None, VersionIds(any=True))):
        for write in (
            clinic.update(patient, if_match=if_match, if_none_match=if_none_match),
            clinic.patch("Patient", "p", MergePatch.parse({}), if_match=if_match, if_none_match=if_none_match),
            clinic.delete("Patient", "p", if_match=if_match, if_none_match=if_none_match),
        ):
            with pytest.raises(VersionConflict) as raised:
                await write
            assert raised.value.current == 1
    assert (await clinic.delete("Patient", "p", if_match=UnmodifiedSince(2**40))) is not None


async def test_upkeep_is_the_tenants() -> None:
    """Sweep, fsck and purge, beside the interactions."""
    async with FhirStore.open("memory:", rules=Rules(window=200, apply=100)) as store:  # purge waits for its end
        clinic = store.tenant("default")
        patient = await clinic.create({"resourceType": "Patient"})
        assert (await clinic.upkeep.fsck()).damage == 0
        assert (await clinic.upkeep.purge("Patient", patient.id, by="test")).versions == 1
        assert (await clinic.upkeep.sweep()).unclear == 0
