"""Entries on criteria of any kind, and references by search with them, in a batch and in a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from fhirstore import BundleResult, FhirStore, TenantStore
from fhirstore.errors import Contention, FhirStoreError, InvalidResource, MultipleMatches, Unavailable, Unsupported
from fhirstore.fhir import json
from fhirstore.fhir.json import JsonObject
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.tenancy import PrefixTenancy
from tests.bundles.asking import entry, patient

URN = "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb9"
BLOOD = "code=http://loinc.org|85354-9&patient=Patient/p&date=2024-05-01"
BY_NAME = "name:exact=Long&birthdate=1970-01-01"


def pressure(subject: str = "Patient/p", **more: object) -> JsonObject:
    """An Observation that meets BLOOD, if its subject becomes that patient."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
        "subject": {"reference": subject},
        "effectiveDateTime": "2024-05-01",
        **more,
    }


def long(id_: str | None = None, /, **more: object) -> dict[str, object]:
    """A Patient who meets BY_NAME."""
    return patient(id_, name=[{"family": "Long"}], birthDate="1970-01-01", **more)


@pytest.fixture
def store() -> MeteredStore:
    """Empty, and counting."""
    return MeteredStore(MemoryStore())


@pytest.fixture
async def clinic(store: MeteredStore) -> AsyncIterator[TenantStore]:
    """A tenant with a Patient, whose index is built."""
    server = FhirStore(PrefixTenancy(store, None))
    tenant = server.tenant("clinic")
    await tenant.update(long("p"))
    assert await tenant.count("Patient") == 1
    yield tenant
    await server.settle()
    await server.aclose()


async def send(clinic: TenantStore, kind: str, *entries: object) -> BundleResult:
    """Processes them as one Bundle."""
    return await clinic.process({"resourceType": "Bundle", "type": kind, "entry": list(entries)})


def told(result: BundleResult) -> list[object]:
    """Of each entry: whether it created, its version, or its error."""
    return [
        (one.version.created, one.version.version_id)
        if one.version is not None
        else type(one.error).__name__
        if one.error
        else None
        for one in result.results
    ]


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_entries_by_any_parameters(clinic: TenantStore, kind: str) -> None:
    """A create is done once; an update and a delete find the match; what does not meet its criteria is refused."""
    create = entry("POST", "Observation", pressure(), ifNoneExist=BLOOD)
    assert told(await send(clinic, kind, create)) == [(True, 1)]
    assert told(await send(clinic, kind, create)) == [(False, 1)]
    update = entry("PUT", f"Observation?{BLOOD}", pressure(note=[{"text": "new"}]))
    assert told(await send(clinic, kind, update, entry("PUT", "Patient/q", patient("q")))) == [(False, 2), (True, 1)]
    unmet = entry("PUT", f"Observation?{BLOOD}", pressure(effectiveDateTime="2024-05-02"))
    if kind == "batch":
        assert told(await send(clinic, kind, unmet)) == ["InvalidResource"]
    else:
        with pytest.raises(InvalidResource, match="does not match date") as refused:
            await send(clinic, kind, unmet)
        assert refused.value.issues[0].expression[0].startswith("Bundle.entry[0]")
    await send(clinic, kind, entry("DELETE", f"Observation?{BLOOD}"))
    assert await clinic.count("Observation") == 0


async def test_what_a_transaction_costs(store: MeteredStore, clinic: TenantStore) -> None:
    """For each query that nothing matches: 1 claim and its share of 2 LIST; the rest as for other entries."""
    queries = [f"{BLOOD}&status=final", f"{BLOOD}&status=amended"]
    entries = [
        entry("POST", "Observation", pressure(status=query.rpartition("=")[2]), ifNoneExist=query) for query in queries
    ]
    with store.measure() as first:
        await send(clinic, "transaction", *entries)
        await asyncio.sleep(0.05)
    with store.measure() as again:
        await send(clinic, "transaction", *entries)
    assert first.requests["PUT"] == 2 + 5 * 2 + 1
    assert first.requests["LIST"] <= 4
    assert again.requests.keys() == {"LIST", "GET"}
    assert again.requests["LIST"] <= 2


async def test_criteria_about_a_link_are_met_by_what_it_becomes(clinic: TenantStore) -> None:
    """A subject that is an entry of the same transaction, by its urn or by a search."""
    for subject in (URN, f"Patient?{BY_NAME}"):
        result = await send(
            clinic,
            "transaction",
            entry("PUT", "Patient/p", long("p", active=True), full_url=URN),
            entry("POST", "Observation", pressure(subject), ifNoneExist=BLOOD),
        )
        made = result.results[1].version
        assert made is not None
        assert made.created
        stored = json.parse((await clinic.read("Observation", made.id)).content)
        assert stored["subject"] == {"reference": "Patient/p"}
        await clinic.delete("Observation", made.id)


async def test_a_create_finds_what_another_entry_creates(clinic: TenantStore) -> None:
    """Two entries on one query make one resource, as two requests would; so does one beside a plain create."""
    create = entry("POST", "Observation", pressure(URN), ifNoneExist=BLOOD)
    update = entry("PUT", "Patient/p", long("p"), full_url=URN)
    result = await send(clinic, "transaction", create, update, create)
    first, third = result.results[0].version, result.results[2].version
    assert first is not None
    assert third is not None
    assert (first.created, third.created, third.id) == (True, False, first.id)
    await clinic.delete("Observation", first.id)
    plain = entry("POST", "Observation", pressure())
    result = await send(clinic, "transaction", create, update, plain)
    assert told(result)[0] == (False, 1)
    assert await clinic.count("Observation") == 1


async def reference_of(clinic: TenantStore, result: BundleResult) -> object:
    """The subject of the last entry's resource."""
    made = result.results[-1].version
    assert made is not None
    return json.parse((await clinic.read(made.type, made.id)).content)["subject"]


async def test_references_by_any_parameters(clinic: TenantStore) -> None:
    """To a stored resource, to one that the transaction creates, to none, to several, and along a chain."""
    by_name = entry("POST", "Observation", pressure(f"Patient?{BY_NAME}"))
    assert await reference_of(clinic, await send(clinic, "transaction", by_name)) == {"reference": "Patient/p"}
    new = entry("POST", "Patient", patient(gender="other"), full_url=URN)
    by_gender = entry("POST", "Observation", pressure("Patient?gender=other"))
    result = await send(clinic, "transaction", new, by_gender)
    made = result.results[0].version
    assert made is not None
    assert await reference_of(clinic, result) == {"reference": f"Patient/{made.id}"}
    with pytest.raises(MultipleMatches, match="Several"):
        await send(clinic, "transaction", new, by_gender)
    with pytest.raises(MultipleMatches, match="No resource"):
        await send(clinic, "transaction", entry("POST", "Observation", pressure("Patient?gender=male")))
    chained = pressure("Patient?_has:Observation:patient:status=final&gender:missing=true")
    assert await reference_of(clinic, await send(clinic, "transaction", entry("POST", "Observation", chained))) == {
        "reference": "Patient/p"
    }
    with pytest.raises(Unsupported, match="may match it"):
        await send(clinic, "transaction", entry("POST", "Patient", patient()), entry("POST", "Observation", chained))


async def test_nothing_is_created_on_a_chain(clinic: TenantStore) -> None:
    """Whether the new resource would meet it is not known."""
    create = entry("POST", "Observation", pressure(), ifNoneExist="patient.name=Long")
    with pytest.raises(InvalidResource, match="nothing is created on patient"):
        await send(clinic, "transaction", create)
    await clinic.create(pressure())
    assert told(await send(clinic, "transaction", create)) == [(False, 1)]


@pytest.mark.parametrize("servers", [1, 2])
async def test_concurrent_transactions_and_creates_on_one_query_make_one(servers: int) -> None:
    """Whether they are sent alone or as an entry, to one server or to several."""
    objects = MemoryStore()
    clinics = [FhirStore(PrefixTenancy(objects, None)) for _ in range(servers)]
    await clinics[0].tenant("clinic").update(long("p"))
    create = entry("POST", "Observation", pressure(), ifNoneExist=BLOOD)

    async def one(number: int) -> Sequence[bool] | FhirStoreError:
        tenant = clinics[number % servers].tenant("clinic")
        try:
            if number % 4 == 0:
                return [(await tenant.create(pressure(), if_none_exist=BLOOD)).created]
            more = entry("PUT", f"Patient/q{number}", patient(f"q{number}"))
            result = await send(tenant, "transaction", create, more)
            return [version.created for result in result.results[:1] if (version := result.version)]
        except (Contention, Unavailable) as error:
            return error

    done = await asyncio.gather(*map(one, range(16)))
    assert sum(made for some in done if isinstance(some, list) for made in some) == 1
    assert await clinics[-1].tenant("clinic").count("Observation") == 1
    for server in clinics:
        await server.settle()
        await server.aclose()


async def test_tests_of_contents_are_bounded(clinic: TenantStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction does not test all its resources for all its criteria, however many."""
    monkeypatch.setattr("fhirstore.bundles.pending_resources._MOST_TESTS", 20)
    entries = [
        entry(
            "POST", "Observation", pressure(note=[{"text": str(number)}]), ifNoneExist=f"{BLOOD}&status=final,x{number}"
        )
        for number in range(5)
    ]
    with pytest.raises(InvalidResource, match="too many resources and criteria") as refused:
        await send(clinic, "transaction", *entries)
    assert refused.value.issues[0].code == "too-costly"
