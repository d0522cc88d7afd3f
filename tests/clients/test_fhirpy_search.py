"""fhirpy searches our server as its users do: https://github.com/beda-software/fhir-py#search-examples."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, TypeAlias

import pytest
from fhirpy import AsyncFHIRClient, SyncFHIRClient
from fhirpy.base.exceptions import MultipleResourcesFound, OperationOutcome, ResourceNotFound
from fhirpy.base.searchset import Raw

from tests.clients.clinic import HEART_RATE, LOINC, PATIENTS, WEIGHT

ALL = [f"p{n:02}" for n in range(PATIENTS)]
Search: TypeAlias = Any  # fhirpy has no types
raw: Any = Raw


@pytest.fixture
def client(clinic_url: str) -> AsyncFHIRClient:
    """A client of the clinic."""
    return AsyncFHIRClient(clinic_url)


def _ids(resources: list[Any]) -> list[str]:
    return [each.id for each in resources]


async def test_fetch_all_follows_the_next_links(client: AsyncFHIRClient) -> None:
    """limit() is the size of a page; each resource comes once, in the order asked for."""
    pages = client.resources("Patient").sort("-birthdate").limit(5)
    assert _ids(await pages.fetch()) == ALL[::-1][:5]
    assert _ids(await pages.fetch_all()) == ALL[::-1]
    assert [each.id async for each in pages] == ALL[::-1]


def test_the_synchronous_client_does_too(clinic_url: str) -> None:
    """It is built on requests, whose links and encodings are others."""
    patients = SyncFHIRClient(clinic_url).resources("Patient").search(name="O'Brien").sort("birthdate").limit(2)
    assert _ids(patients.fetch_all()) == ["p02", "p06", "p10"]
    assert patients.count() == 3


async def test_count_is_the_number_of_matches(client: AsyncFHIRClient) -> None:
    """count() sends `_totalMethod` beside `_count=0`."""
    assert await client.resources("Patient").search(gender="male").count() == PATIENTS // 2
    assert await client.resources("Patient").search(gender="unknown").count() == 0


async def test_first_and_get_return_one(client: AsyncFHIRClient) -> None:
    """first() the first of many; get() the only one, and fails for none and for several."""
    patients = client.resources("Patient")
    first = await patients.sort("-birthdate").first()
    assert first is not None
    assert first.id == ALL[-1]
    assert await patients.search(gender="unknown").first() is None
    assert (await patients.search(identifier="http://example.org/mrn|3").get()).id == "p03"
    with pytest.raises(ResourceNotFound):
        await patients.search(_id="none").get()
    with pytest.raises(MultipleResourcesFound):
        await patients.search(gender="male").get()


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (lambda all_: all_.search(birthdate__ge="1958", birthdate__lt="1960"), ["p08", "p09"]),
        (lambda all_: all_.search(birthdate__gt=date(1960, 6, 15)), ["p11"]),
        (lambda all_: all_.search(_lastUpdated__ge=datetime(2020, 1, 1, tzinfo=UTC), _id="p04"), ["p04"]),
        (lambda all_: all_.search(_lastUpdated__ge="2020-01-01T10:00:00", _id="p04"), ["p04"]),
        (lambda all_: all_.search(gender__not=["male", "other"], active=False), ["p03", "p09"]),
        (lambda all_: all_.search(family="müller"), ["p00", "p04", "p08"]),
        (lambda all_: all_.search(family__exact="Müller"), ["p00", "p04", "p08"]),
        (lambda all_: all_.search(family__exact="müller"), []),
        (lambda all_: all_.search(family__exact="Smith\\, Jr."), ["p03", "p07", "p11"]),
        (lambda all_: all_.search(family="ng,smith", active=False), ["p03", "p09"]),
        (lambda all_: all_.search(name__contains="rien", gender="male"), ["p02", "p06", "p10"]),
        (lambda all_: all_.search(address__missing=True, birthdate="1951"), ["p01"]),
        (lambda all_: all_.search(_id="p01,p02"), ["p01", "p02"]),
        (lambda all_: all_.search(general_practitioner__Practitioner__name="ada"), ALL[:4]),
        (lambda all_: all_.search(general_practitioner="Practitioner/ada"), ALL[:4]),
        (lambda all_: all_.has("Observation", "patient", value_quantity__gt="70||/min"), ["p11"]),
        (lambda all_: all_.search(raw(**{"_has:Observation:patient:date": "2024-03-04"})), ["p03"]),
    ],
)
async def test_patients_are_found(client: AsyncFHIRClient, asked: Callable[[Search], Search], found: list[str]) -> None:
    """By prefixes, modifiers, lists, chains and _has, as SQ() spells them."""
    patients = asked(client.resources("Patient")).sort("birthdate")
    assert _ids(await patients.fetch_all()) == found


async def test_references_are_values(client: AsyncFHIRClient) -> None:
    """A resource or a reference in a search is sent as Type/id."""
    observations = client.resources("Observation").search(code=f"{LOINC}|{WEIGHT}")
    patient = await client.resources("Patient").search(_id="p05").get()
    for value in (patient, client.reference("Patient", "p05"), "Patient/p05", "p05"):
        assert _ids(await observations.search(patient=value).fetch()) == [f"o05-{WEIGHT}"]


async def test_has_may_be_nested(client: AsyncFHIRClient) -> None:
    """Doctors of patients with an observation."""
    doctors = client.resources("Practitioner").has(
        "Patient", "general-practitioner", "Observation", "patient", value_quantity__ge="64||/min"
    )
    assert _ids(await doctors.fetch()) == ["bob"]


async def test_what_is_included_is_marked(client: AsyncFHIRClient) -> None:
    """fetch_raw() returns the Bundle; fetch() leaves the matches."""
    one = client.resources("Observation").search(_id=f"o01-{HEART_RATE}").include("Observation", "subject")
    along = one.include("Patient", "general-practitioner", iterate=True)
    entries = (await along.fetch_raw())["entry"]
    modes = {entry.resource.reference: entry.search.mode for entry in entries}
    assert modes == {f"Observation/o01-{HEART_RATE}": "match", "Patient/p01": "include", "Practitioner/ada": "include"}
    assert _ids(await along.fetch_all()) == [f"o01-{HEART_RATE}"]
    everything = await client.resources("Patient").search(_id="p01").revinclude("Observation", "subject").fetch_raw()
    assert len(everything["entry"]) == 3


async def test_elements_are_what_was_asked_for(client: AsyncFHIRClient) -> None:
    """elements() asks for `id` and `resourceType`, too; `active` comes along, a modifier of all others."""
    (patient,) = await client.resources("Patient").search(_id="p01").elements("name").fetch()
    assert set(patient) == {"resourceType", "id", "meta", "active", "name"}


async def test_operations_answer_bundles(client: AsyncFHIRClient) -> None:
    """execute() of $everything, whose default is a POST without a body, and of $lastn."""
    patient = await client.resources("Patient").search(_id="p01").get()
    for method in ("post", "get"):
        assert len((await patient.execute("$everything", method=method))["entry"]) == 6
    newest = await client.resources("Observation").execute("$lastn", method="get", params={"patient": "p01"})
    assert len(newest["entry"]) == 2


async def test_a_refused_search_tells_why(client: AsyncFHIRClient) -> None:
    """fhirpy makes birth-date of birth_date; the outcome names what there is."""
    with pytest.raises(OperationOutcome) as refused:
        await client.resources("Patient").search(birth_date="1950").fetch()
    assert "birthdate" in str(refused.value)
