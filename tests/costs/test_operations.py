"""Each operation of the table that `fhirstore cost` prices takes exactly the storage requests that the table says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from fhirstore import FhirStore, HistoryQuery, MergePatch, TenantStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.uploads import SMALLEST_PART
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.tenancy import PrefixTenancy
from server.commands.cost.operations import LARGE_BINARY, OPERATIONS

Do = Callable[[TenantStore, int], Awaitable[object]]

STORED = 10  # Patients p0 … p9; the first n of them share the identifier value n, for the n of the test
PLAIN = {"resourceType": "Patient", "active": True}
IDENTIFIED = {"resourceType": "Patient", "identifier": [{"system": "http://s", "value": "new"}]}


def _entry(method: str, n: int) -> dict[str, object]:
    url = "Patient" if method == "POST" else f"Patient/p{n}"
    resource = PLAIN if method == "POST" else PLAIN | {"id": f"p{n}"}
    return {"request": {"method": method, "url": url}, "resource": resource}


def _bundle(kind: str, method: str) -> Do:
    async def send(clinic: TenantStore, n: int) -> object:
        bundle = {"resourceType": "Bundle", "type": kind, "entry": [_entry(method, k) for k in range(n)]}
        return await clinic.process(bundle)

    return send


async def _with_identifiers(clinic: TenantStore, n: int) -> object:
    identifiers = [{"system": f"http://s/{k}", "value": "v"} for k in range(n)]
    return await clinic.create(PLAIN | {"identifier": identifiers})


async def _found(clinic: TenantStore, n: int) -> object:
    page = await clinic.search("Patient", f"identifier=http://shared|{n}&_count={n}")
    assert len(page.matches) == n
    return page


async def _listed(clinic: TenantStore, n: int) -> object:
    page = await clinic.search("Patient", f"_count={n}")
    assert len(page.matches) == n
    return page


async def _versions(clinic: TenantStore, n: int) -> object:
    page = await clinic.history_page("Basic", f"v{n}", query=HistoryQuery(count=n))
    assert len(page.versions) == n
    return page


async def _changes(clinic: TenantStore, n: int) -> object:
    page = await clinic.history_page("Patient", query=HistoryQuery(count=n))
    assert len(page.versions) == n
    return page


async def _large(clinic: TenantStore, n: int) -> object:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(n):
            yield bytes(SMALLEST_PART)

    payload = await clinic.payloads.receive(chunks(), part_size=SMALLEST_PART)
    return await clinic.create_binary({"resourceType": "Binary", "contentType": "a/b"}, payload)


async def _read_large(clinic: TenantStore, n: int) -> object:
    payload = (await clinic.read("Binary", "large")).payload
    assert payload is not None
    async with clinic.payloads.open(payload) as chunks:
        return sum([len(chunk) async for chunk in chunks])


HOW: dict[str, Do] = {
    LARGE_BINARY: _large,
    "read of a large Binary with its content": _read_large,
    "create": lambda clinic, n: clinic.create(PLAIN),
    "create with n identifiers of n systems": _with_identifiers,
    "conditional create, no match": lambda clinic, n: clinic.conditional_create(IDENTIFIED, "identifier=http://s|new"),
    "conditional create, a match": lambda clinic, n: clinic.conditional_create(
        {"resourceType": "Patient", "identifier": [{"system": "http://own", "value": "0"}]}, "identifier=http://own|0"
    ),
    "read": lambda clinic, n: clinic.read("Patient", "p0"),
    "vread": lambda clinic, n: clinic.vread("Patient", "p0", 1),
    "update": lambda clinic, n: clinic.update(PLAIN | {"id": "p0"}),
    "update of what the process read or wrote last": lambda clinic, n: clinic.update(PLAIN | {"id": "p0"}),
    "patch": lambda clinic, n: clinic.patch("Patient", "p0", MergePatch({"active": False})),
    "delete": lambda clinic, n: clinic.delete("Patient", "p0"),
    "search by _id, n ids": lambda clinic, n: clinic.search("Patient", "_id=" + ",".join(f"p{k}" for k in range(n))),
    "search by identifier, n matches": _found,
    "search of a type, page of n": _listed,
    "history of a resource, page of n": _versions,
    "history of a type, page of n current versions": _changes,
    "transaction of n creates": _bundle("transaction", "POST"),
    "transaction of n updates": _bundle("transaction", "PUT"),
    "batch of n creates": _bundle("batch", "POST"),
}


async def _content() -> AsyncIterator[bytes]:
    yield b"some"


async def _stored() -> MemoryStore:
    objects = MemoryStore()
    clinic = FhirStore(PrefixTenancy(objects, None)).tenant("default")
    binary = {"resourceType": "Binary", "id": "large", "contentType": "a/b"}
    await clinic.create_binary(binary, await clinic.payloads.receive(_content()), id="large")
    for n in range(STORED):
        shared = [{"system": "http://shared", "value": str(size)} for size in (1, 3, 7) if n < size]
        own = [{"system": "http://own", "value": str(n)}]
        await clinic.update(PLAIN | {"id": f"p{n}", "identifier": shared + own})
    for size in (1, 3, 7):
        for _ in range(size):
            await clinic.update({"resourceType": "Basic", "id": f"v{size}", "code": {"text": "x"}})
    return objects


@pytest.mark.parametrize("n", [1, 3, 7])
@pytest.mark.parametrize("name", [name for name in OPERATIONS if not name.startswith("export")])
async def test_an_operation_takes_the_requests_of_the_table(name: str, n: int) -> None:
    """For one resource and for several, in a process that has seen none of them unless the operation says so."""
    if name == LARGE_BINARY and n == 1:
        pytest.skip("a single part is no multipart upload")
    meter = MeteredStore(await _stored())
    store = FhirStore(PrefixTenancy(meter, None))
    clinic = store.tenant("default")
    if name == "update of what the process read or wrote last":
        await clinic.read("Patient", "p0")
    if name.startswith("search"):
        await clinic.count("Basic")  # the index is there
    with meter.measure() as cost:
        await HOW[name](clinic, n)
        await store.settle()
    assert cost.requests == OPERATIONS[name].requests(n)
