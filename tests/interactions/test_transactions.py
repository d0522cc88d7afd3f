"""Transactions that create on a condition make one resource, whoever else tries."""

from __future__ import annotations

import asyncio
from collections import Counter

from fhirstore import FhirStore, TenantStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.tenancy import PrefixTenancy


def bundle(*values: str, ids: bool = False) -> dict[str, object]:
    """One entry per value: POST with ifNoneExist, or a conditional PUT that brings its id."""
    entries = []
    for value in values:
        patient: dict[str, object] = {
            "resourceType": "Patient",
            "identifier": [{"system": "s", "value": value}],
        }
        request = {"method": "POST", "url": "Patient", "ifNoneExist": f"identifier=s|{value}"}
        if ids:
            patient["id"] = f"chosen-{value}"
            request = {"method": "PUT", "url": f"Patient?identifier=s|{value}"}
        entries.append({"resource": patient, "request": request})
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


async def carriers(clinic: TenantStore, value: str) -> list[str]:
    """Who carries it."""
    page = await clinic.search_page(clinic.query("Patient", [("identifier", f"s|{value}")]))
    return [version.id for version in page.matches]


async def test_concurrent_transactions_and_creates_of_one_identifier_make_one() -> None:
    """30 transactions of three stores, over three identifiers in different orders, and single creates between them."""
    objects = MemoryStore()
    stores = [FhirStore(PrefixTenancy(objects, None)) for _ in range(3)]
    clinics = [store.tenant("clinic") for store in stores]
    orders = (("1", "2", "3"), ("3", "1"), ("2", "3", "1"))
    transactions = [clinics[n % 3].transaction(bundle(*orders[n // 3 % 3])) for n in range(30)]
    singles = [
        clinics[n % 3].create(
            {"resourceType": "Patient", "identifier": [{"system": "s", "value": "2"}]}, if_none_exist="identifier=2"
        )
        for n in range(9)
    ]
    await asyncio.gather(*transactions, *singles)
    for store in stores:
        await store.settle()
    assert Counter([len(await carriers(clinics[0], value)) for value in "123"]) == {1: 3}


async def test_a_transaction_updates_or_creates_under_the_id_it_brings() -> None:
    """Conditional PUTs with ids: created once, over a tombstone too, then updated, by concurrent transactions."""
    objects = MemoryStore()
    stores = [FhirStore(PrefixTenancy(objects, None)) for _ in range(3)]
    clinics = [store.tenant("clinic") for store in stores]
    await clinics[0].update({"resourceType": "Patient", "id": "chosen-1"})
    await clinics[0].delete("Patient", "chosen-1")
    await asyncio.gather(*(clinics[n % 3].transaction(bundle("1", "2", ids=True)) for n in range(6)))
    for store in stores:
        await store.settle()
    assert await carriers(clinics[0], "1") == ["chosen-1"]
    assert await carriers(clinics[0], "2") == ["chosen-2"]
    assert (await clinics[0].read("Patient", "chosen-1")).version_id == 8


async def test_a_system_alone_creates_once_and_refers() -> None:
    """ifNoneExist and PUT by `system|` make one resource; a reference finds what the transaction brings along."""
    clinic = FhirStore(PrefixTenancy(MemoryStore(), None)).tenant("clinic")
    for method, url, criteria in (
        ("POST", "Patient", {"ifNoneExist": "identifier=s|"}),
        ("PUT", "Patient?identifier=s|", {}),
    ):
        asked = bundle("1")
        asked["entry"][0]["request"] = {"method": method, "url": url, **criteria}  # type: ignore[index] # entry is a list
        await clinic.transaction(asked)
    (only,) = await carriers(clinic, "1")
    assert (await clinic.read("Patient", only)).version_id == 2
    await clinic.delete("Patient", only)
    linked = bundle("1")
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "c"},
        "subject": {"reference": "Patient?identifier=s|"},
    }
    linked["entry"].append({"resource": observation, "request": {"method": "POST", "url": "Observation"}})  # type: ignore[attr-defined] # as above
    done = await clinic.transaction(linked)
    (patient,) = await carriers(clinic, "1")
    version = done.results[1].version
    assert version is not None
    assert version.json()["subject"] == {"reference": f"Patient/{patient}"}
