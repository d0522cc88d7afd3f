"""What is remembered of a large resource tells its identifiers, and is never taken for the resource."""

from __future__ import annotations

from fhirstore import FhirStore


async def test_an_unchanged_large_resource_makes_no_version() -> None:
    """An update that says what is stored is noticed, though only a stand-in is remembered."""
    patient = {
        "resourceType": "Patient",
        "id": "p",
        "identifier": [{"value": "1"}],
        "name": [{"text": "x" * 10_000}],
    }
    async with FhirStore.open("memory:") as store:
        clinic = store.tenant("default")
        await clinic.update(patient)
        again = await clinic.update(patient, skip_unchanged=True)
        assert again.version_id == 1
