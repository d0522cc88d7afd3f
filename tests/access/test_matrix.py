"""Every interaction, alone and as an entry of a batch and of a transaction, with every kind of scope.

`lab` and `vital` are Observations of the patient p, `foreign` is one of q. Expected is a table: rights decide whether
an interaction is denied, content whether a resource is there.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import product

import pytest

from fhirstore import (
    Access,
    AccessDenied,
    BundleResult,
    FhirStore,
    FhirStoreError,
    HistoryPage,
    JsonPatch,
    NotFound,
    SearchPage,
    TenantStore,
    Version,
    parse_scopes,
)
from fhirstore.access.interactions import NEEDS, Interaction
from fhirstore.fhir.json import JsonObject

OBSERVATIONS = {"lab": ("p", "laboratory"), "vital": ("p", "vital-signs"), "foreign": ("q", "laboratory")}


def observation(id: str, text: str = "new") -> JsonObject:
    """An Observation, by its id."""
    patient, category = OBSERVATIONS[id]
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "category": [{"coding": [{"code": category}]}],
        "code": {"text": text},
        "subject": {"reference": f"Patient/{patient}"},
        "identifier": [{"system": "urn:s", "value": id}],
    }


def granted(scopes: str, *, patient: str | None = None, user: str | None = None) -> Access:
    """An access with these scopes, none of them refused."""
    parsed, others, refused = parse_scopes(scopes)
    assert not refused
    return Access("s", "c", None, parsed, patient, others, user)


LAB = "?category=laboratory"
ACCESSES: dict[str, tuple[Access, str, frozenset[str]]] = {
    # an access, its rights on Observations, and those that it sees
    "no scope": (granted(""), "", frozenset()),
    "another type": (granted("system/Patient.c"), "", frozenset()),
    "version 1, all": (granted("system/Observation.*"), "cruds", frozenset(OBSERVATIONS)),
    "version 1, read": (granted("system/Observation.read"), "rs", frozenset(OBSERVATIONS)),
    "version 1, write": (granted("system/*.write"), "cud", frozenset(OBSERVATIONS)),
    "version 2, all": (granted("system/*.cruds"), "cruds", frozenset(OBSERVATIONS)),
    "version 2, create": (granted("system/Observation.c"), "c", frozenset()),
    "version 2, read": (granted("system/Observation.r"), "r", frozenset(OBSERVATIONS)),
    "version 2, search": (granted("system/Observation.s"), "s", frozenset(OBSERVATIONS)),
    "criteria": (granted(f"system/Observation.cruds{LAB}"), "cruds", frozenset({"lab", "foreign"})),
    "patient": (granted("patient/*.cruds", patient="p"), "cruds", frozenset({"lab", "vital"})),
    "patient, version 1": (granted("patient/Observation.*", patient="p"), "cruds", frozenset({"lab", "vital"})),
    "patient, read": (granted("patient/Observation.rs", patient="p"), "rs", frozenset({"lab", "vital"})),
    "patient, criteria": (
        granted("patient/Observation.cruds?identifier=urn:s|lab", patient="p"),
        "cruds",
        frozenset({"lab"}),
    ),
    "patient without one": (granted("patient/*.cruds"), "", frozenset()),
    "user who is a patient": (granted("user/*.cruds", user="Patient/p"), "cruds", frozenset({"lab", "vital"})),
    "user who is not": (granted("user/*.cruds", user="Practitioner/x"), "", frozenset()),
    "two scopes": (
        granted(f"patient/Observation.cruds system/Observation.cruds{LAB}", patient="p"),
        "cruds",
        frozenset(OBSERVATIONS),
    ),
}

Ask = Callable[[TenantStore, str], Awaitable[object]]
PATCH = [{"op": "replace", "path": "/code/text", "value": "patched"}]
PATCH_AS_BINARY: JsonObject = {
    "resourceType": "Binary",
    "contentType": "application/json-patch+json",
    "data": base64.b64encode(json.dumps(PATCH).encode()).decode(),
}


def match(id: str) -> str:
    """Criteria that one Observation meets."""
    return f"identifier=urn:s|{id}"


ALONE: dict[Interaction, Ask] = {
    "read": lambda t, id: t.read("Observation", id),
    "vread": lambda t, id: t.vread("Observation", id, 1),
    "history-instance": lambda t, id: t.history_page("Observation", id),
    "history-type": lambda t, _: t.history_page("Observation"),
    "history-system": lambda t, _: t.history_page(),
    "search": lambda t, id: t.search_page(t.query("Observation", [("_id", id)])),
    "create": lambda t, id: t.create(observation(id)),
    "update": lambda t, id: t.update(observation(id)),
    "patch": lambda t, id: t.patch("Observation", id, JsonPatch.parse(PATCH)),
    "delete": lambda t, id: t.delete("Observation", id),
    "conditional-create": lambda t, id: t.conditional_create(observation(id), match(id)),
    "conditional-update": lambda t, id: t.conditional_update(observation(id), match(id)),
    "conditional-patch": lambda t, id: t.conditional_patch("Observation", match(id), JsonPatch.parse(PATCH)),
    "conditional-delete": lambda t, id: t.conditional_delete("Observation", match(id)),
}
ENTRIES: dict[Interaction, Callable[[str], JsonObject]] = {
    "read": lambda id: _entry("GET", f"Observation/{id}"),
    "vread": lambda id: _entry("GET", f"Observation/{id}/_history/1"),
    "history-instance": lambda id: _entry("GET", f"Observation/{id}/_history"),
    "history-type": lambda _: _entry("GET", "Observation/_history"),
    "history-system": lambda _: _entry("GET", "_history"),
    "search": lambda id: _entry("GET", f"Observation?_id={id}"),
    "create": lambda id: _entry("POST", "Observation", observation(id)),
    "update": lambda id: _entry("PUT", f"Observation/{id}", observation(id)),
    "patch": lambda id: _entry("PATCH", f"Observation/{id}", PATCH_AS_BINARY),
    "delete": lambda id: _entry("DELETE", f"Observation/{id}"),
    "conditional-create": lambda id: _entry("POST", "Observation", observation(id), ifNoneExist=match(id)),
    "conditional-update": lambda id: _entry("PUT", f"Observation?{match(id)}", observation(id)),
    "conditional-patch": lambda id: _entry("PATCH", f"Observation?{match(id)}", PATCH_AS_BINARY),
    "conditional-delete": lambda id: _entry("DELETE", f"Observation?{match(id)}"),
}


def _entry(method: str, url: str, resource: JsonObject | None = None, **conditions: str) -> JsonObject:
    entry: JsonObject = {"request": {"method": method, "url": url, **conditions}}
    return entry if resource is None else {"resource": resource, **entry}


async def asked(tenant: TenantStore, interaction: Interaction, id: str, way: str) -> object:
    """Returns the answer, or the error of the entry."""
    if way == "alone":
        return await ALONE[interaction](tenant, id)
    bundle: JsonObject = {"resourceType": "Bundle", "type": way, "entry": [ENTRIES[interaction](id)]}
    done: BundleResult = await tenant.process(bundle)
    (result,) = done.results
    if result.error is not None:
        raise result.error
    return result.page if result.page is not None else result.version


def expected(interaction: Interaction, rights: str, seen: frozenset[str], id: str) -> str:
    """Returns what must become of it."""
    if not set(NEEDS[interaction]) <= set(rights):
        return "denied"
    if id in seen or (interaction == "create" and rights == "c"):
        return "done"
    if interaction in ("create", "conditional-create", "conditional-update"):
        return "denied"  # by the content; a hidden match is none
    if interaction in ("history-type", "history-system", "search", "delete", "conditional-delete"):
        return "nothing"
    return "not found"


async def outcome(tenant: TenantStore, interaction: Interaction, id: str, way: str) -> str:
    """Returns what became of it."""
    try:
        answer = await asked(tenant, interaction, id, way)
    except AccessDenied:
        return "denied"
    except NotFound:
        return "not found"
    if isinstance(answer, HistoryPage):
        return "done" if any(one.id == id for one in answer.versions) else "nothing"
    if isinstance(answer, SearchPage):
        assert answer.total == len(answer.matches)
        return "done" if answer.matches else "nothing"
    if isinstance(answer, Version):
        return "done"
    return "nothing"


@pytest.fixture
async def clinic() -> AsyncIterator[TenantStore]:
    """The three Observations, the first version of each."""
    async with FhirStore.open("memory:") as store:
        tenant = store.tenant("default")
        for id_ in OBSERVATIONS:
            await tenant.update(observation(id_, "old"))
        yield tenant


@pytest.mark.parametrize("way", ["alone", "batch", "transaction"])
@pytest.mark.parametrize("name", ACCESSES)
async def test_interactions(name: str, way: str) -> None:
    """Every interaction on every resource, each in a tenant of its own: as the table says, and nothing else changes."""
    access, rights, seen = ACCESSES[name]
    async with FhirStore.open("memory:", tenants=None) as store:
        for number, (interaction, id_) in enumerate(product(ALONE, OBSERVATIONS)):
            tenant = store.tenant(f"t{number}")
            for one in OBSERVATIONS:
                await tenant.update(observation(one, "old"))
            found = await outcome(tenant.acting(access), interaction, id_, way)
            where = f"{interaction} of {id_}"
            assert found == expected(interaction, rights, seen, id_), where
            if found != "done":
                assert await texts(tenant) == dict.fromkeys(OBSERVATIONS, "old"), where


async def texts(tenant: TenantStore) -> dict[str, object]:
    """Returns what the Observations say, by id."""
    found: dict[str, object] = {}
    async for version in tenant.search("Observation"):
        code = version.json()["code"]
        assert isinstance(code, dict)
        found[version.id] = code["text"]
    return found


async def test_content_cannot_be_written_out_of_sight(clinic: TenantStore) -> None:
    """By an update, a patch or a move; and what is there cannot be moved into sight by somebody who does not see it."""
    app = clinic.acting(granted("patient/*.cruds", patient="p"))
    away = {**observation("lab"), "subject": {"reference": "Patient/q"}}
    to_q = JsonPatch.parse([{"op": "replace", "path": "/subject/reference", "value": "Patient/q"}])
    claimed = {**observation("foreign"), "subject": {"reference": "Patient/p"}}
    with pytest.raises(AccessDenied):
        await app.update(away)
    with pytest.raises(AccessDenied):
        await app.patch("Observation", "lab", to_q)
    with pytest.raises(AccessDenied):
        await app.create(away)
    with pytest.raises(NotFound):
        await app.update(claimed)
    assert await texts(clinic) == dict.fromkeys(OBSERVATIONS, "old")


async def test_ids_in_use_are_not_told_by_creating_under_them(clinic: TenantStore) -> None:
    """A PUT of an id that is hidden, deleted or free has one answer; so have preconditions on them."""
    app = clinic.acting(granted("patient/*.cruds", patient="p"))
    await clinic.update({**observation("foreign"), "id": "deleted"})
    await clinic.delete("Observation", "deleted")
    told = set()
    for id_ in ("foreign", "deleted", "free"):
        resource = {**observation("lab"), "id": id_}
        for condition in ({}, {"if_match": "*"}, {"if_match": 1}, {"if_none_match": "*"}):
            with pytest.raises(FhirStoreError) as raised:
                await app.update(resource, **condition)
            told.add((str(condition), type(raised.value), str(raised.value)))
    assert len(told) == 4


async def test_one_entry_that_is_not_allowed_refuses_a_transaction(clinic: TenantStore) -> None:
    """Whole, with the place of that entry; a batch does the others."""
    app = clinic.acting(granted("patient/*.cruds", patient="p"))
    patient: JsonObject = {"resourceType": "Medication"}
    entries = [ENTRIES["update"]("lab"), _entry("POST", "Medication", patient), ENTRIES["update"]("vital")]
    with pytest.raises(AccessDenied) as raised:
        await app.transaction({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert raised.value.issues[0].expression == ("Bundle.entry[1]",)
    assert await texts(clinic) == dict.fromkeys(OBSERVATIONS, "old")
    done = await app.batch({"resourceType": "Bundle", "type": "batch", "entry": entries})
    assert [type(one.error) for one in done.results] == [type(None), AccessDenied, type(None)]
    assert (await texts(clinic))["foreign"] == "old"


async def test_conditional_references_find_what_is_seen(clinic: TenantStore) -> None:
    """A reference by search to a hidden resource is one to none, and one of a type without `s` is denied."""
    refers = {**observation("lab"), "derivedFrom": [{"reference": f"Observation?{match('foreign')}"}]}
    bundle: JsonObject = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [_entry("PUT", "Observation/lab", refers)],
    }
    absent = json.loads(json.dumps(bundle).replace("|foreign", "|nobody"))
    app = clinic.acting(granted("patient/*.cruds", patient="p"))
    told = []
    for one in (bundle, absent):
        with pytest.raises(FhirStoreError) as raised:
            await app.transaction(one)
        told.append((type(raised.value), str(raised.value)))
    assert told[0] == told[1]
    with pytest.raises(AccessDenied):
        await clinic.acting(granted("patient/*.cru", patient="p")).transaction(bundle)


async def test_a_search_of_all_types_shows_those_granted(clinic: TenantStore) -> None:
    """Types named by `_type` are denied where they are not granted."""
    await clinic.update({"resourceType": "Basic", "id": "b", "code": {"text": "x"}})
    some = clinic.acting(granted("system/Observation.rs"))
    assert {one.type for one in (await some.search(None)).matches} == {"Observation"}
    assert {one.type for one in (await some.history_page()).versions} == {"Observation"}
    with pytest.raises(AccessDenied):
        await some.search(None, _type="Basic,Observation")
    everything = clinic.acting(granted("system/*.rs"))
    assert {one.type for one in (await everything.search(None)).matches} == {"Observation", "Basic"}
