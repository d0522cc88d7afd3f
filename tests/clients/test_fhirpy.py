"""fhirpy, a FHIR client that others use, works with our server as it comes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fhirpy import AsyncFHIRClient
from fhirpy.base.exceptions import MultipleResourcesFound, OperationOutcome, ResourceNotFound

from tests.server.processes import ServeProcess

SYSTEM = "http://example.org/fhirpy"


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on an embedded store of its own."""
    folder: Path = tmp_path_factory.mktemp("fhirpy")
    server = ServeProcess({"FHIRSTORE_STORE": f"file:{folder / 'data'}"})
    server.start()
    yield server.base_url
    server.stop()


@pytest.fixture
def client(base_url: str) -> AsyncFHIRClient:
    """A client of that server."""
    return AsyncFHIRClient(base_url)


async def test_create_gives_the_resource_an_id_and_a_version(client: AsyncFHIRClient) -> None:
    """save() of a new resource is a create."""
    patient = client.resource("Patient", name=[{"family": "Py"}])
    await patient.save()
    assert patient.id
    assert patient["meta"]["versionId"] == "1"


async def test_read_returns_what_was_created(client: AsyncFHIRClient) -> None:
    """A reference leads to the resource."""
    patient = client.resource("Patient", name=[{"family": "Read"}])
    await patient.save()
    read = await client.reference("Patient", patient.id).to_resource()
    assert dict(read) == dict(patient)


async def test_update_makes_the_next_version(client: AsyncFHIRClient) -> None:
    """save() of a resource with an id is an update."""
    patient = client.resource("Patient", active=True)
    await patient.save()
    patient["active"] = False
    await patient.save()
    read = await client.reference("Patient", patient.id).to_resource()
    assert (read["active"], read["meta"]["versionId"]) == (False, "2")


async def test_update_creates_under_an_id_of_the_client(client: AsyncFHIRClient) -> None:
    """update() of an id that is new is an update as create."""
    await client.resource("Patient", id="of-fhirpy", active=True).update()
    assert (await client.reference("Patient", "of-fhirpy").to_resource())["active"] is True


async def test_patch_changes_an_element(client: AsyncFHIRClient) -> None:
    """patch() sends what is to be changed; the rest stays."""
    patient = client.resource("Patient", active=True, gender="female")
    await patient.save()
    await patient.patch(active=False)
    read = await client.reference("Patient", patient.id).to_resource()
    assert (read["active"], read["gender"]) == (False, "female")


async def test_delete_makes_it_gone(client: AsyncFHIRClient) -> None:
    """After delete() a read fails with 410, which fhirpy calls not found."""
    patient = client.resource("Patient", active=True)
    await patient.save()
    await client.delete(patient)
    with pytest.raises(ResourceNotFound):
        await client.reference("Patient", patient.id).to_resource()


async def test_conditional_create_finds_what_is_there(client: AsyncFHIRClient) -> None:
    """get_or_create() makes one resource, and returns it the second time."""
    new = client.resource("Patient", identifier=[{"system": SYSTEM, "value": "once"}])
    query = client.resources("Patient").search(identifier=f"{SYSTEM}|once")
    first, made = await query.get_or_create(new)
    again, made_again = await query.get_or_create(new)
    assert (made, made_again) == (True, False)
    assert first["id"] == again["id"]


async def test_conditional_update_creates_and_then_updates(client: AsyncFHIRClient) -> None:
    """update() of a search makes the resource, then its next version."""
    query = client.resources("Patient").search(identifier=f"{SYSTEM}|upsert")
    body = client.resource("Patient", identifier=[{"system": SYSTEM, "value": "upsert"}])
    first, made = await query.update(body)
    again, made_again = await query.update(body)
    assert (made, made_again) == (True, False)
    assert first["id"] == again["id"]


async def test_two_matches_are_too_many(client: AsyncFHIRClient) -> None:
    """fhirpy names a 412 of a conditional interaction."""
    for _ in range(2):
        await client.resource("Patient", identifier=[{"system": SYSTEM, "value": "twice"}]).save()
    query = client.resources("Patient").search(identifier=f"{SYSTEM}|twice")
    with pytest.raises(MultipleResourcesFound):
        await query.get_or_create(client.resource("Patient", active=True))


async def test_search_finds_by_identifier(client: AsyncFHIRClient) -> None:
    """fetch() returns the matches."""
    patient = client.resource("Patient", identifier=[{"system": SYSTEM, "value": "found"}])
    await patient.save()
    found = await client.resources("Patient").search(identifier=f"{SYSTEM}|found").fetch()
    assert [each.id for each in found] == [patient.id]


async def test_refresh_brings_what_others_wrote(client: AsyncFHIRClient) -> None:
    """It sends a version id that is no entity tag."""
    patient = client.resource("Patient", active=True)
    await patient.save()
    other = await client.reference("Patient", patient.id).to_resource()
    other["active"] = False
    await other.save()
    await patient.refresh()
    assert patient["active"] is False


async def test_history_shows_every_version(client: AsyncFHIRClient) -> None:
    """execute() of _history returns the Bundle."""
    patient = client.resource("Patient", active=True)
    await patient.save()
    patient["active"] = False
    await patient.save()
    history = await client.execute(f"Patient/{patient.id}/_history", method="get")
    assert [entry["resource"]["active"] for entry in history["entry"]] == [False, True]


async def test_an_invalid_resource_is_refused_with_its_outcome(client: AsyncFHIRClient) -> None:
    """fhirpy shows the issues of a refused write."""
    with pytest.raises(OperationOutcome) as refused:
        await client.resource("Patient", birthDate="soon").save()
    assert "Patient.birthDate" in str(refused.value)


async def test_a_transaction_resolves_its_references(client: AsyncFHIRClient) -> None:
    """A Bundle saved by fhirpy is processed as a transaction."""
    urn = "urn:uuid:6f0d3a52-2c51-4c6c-9d2a-0a5c6f1f7b11"
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": urn},
    }
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"fullUrl": urn, "resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}},
            {"resource": observation, "request": {"method": "POST", "url": "Observation"}},
        ],
    }
    answer = await client.execute("", method="post", data=bundle)
    patient, made = (entry["response"]["location"].split("/_history")[0].split("/")[-2:] for entry in answer["entry"])
    read = await client.reference(*made).to_resource()
    assert read["subject"]["reference"].endswith("/".join(patient))
