"""A tenant's own search parameters are answered when all resources have their rows, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fhirstore import FhirStore, TenantStore
from fhirstore.errors import FhirError
from fhirstore.fhir.json import JsonObject
from fhirstore.index.local.catalogue import Catalogue
from fhirstore.index.local.file import IndexFile
from fhirstore.indexing.options import IndexOptions
from fhirstore.search.criteria.refusals import NewParameter, UnknownParameter

IDENTITY = "memory: default"
URL = "urn:shoe"
SHOE = "http://example.org/shoe-size"


def definition(id: str = "shoe", **changes: object) -> JsonObject:
    """A SearchParameter for an extension of Patient."""
    made: dict[str, object] = {
        "resourceType": "SearchParameter",
        "id": id,
        "url": f"{URL}:{id}",
        "name": "Shoe",
        "status": "active",
        "description": "The size of the shoes",
        "code": "shoe-size",
        "base": ["Patient"],
        "type": "number",
        "expression": f"Patient.extension.where(url = '{SHOE}').value.ofType(integer)",
    }
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def patient(id: str, size: int) -> JsonObject:
    """A Patient with shoes."""
    return {"resourceType": "Patient", "id": id, "extension": [{"url": SHOE, "valueInteger": size}]}


@pytest.fixture
async def clinic(tmp_path: Path) -> AsyncIterator[TenantStore]:
    """Its index is in use before anything is defined."""
    async with FhirStore.open("memory:", index=IndexOptions(tmp_path / "index")) as store:
        tenant = store.tenant("default")
        await tenant.search("Patient")
        yield tenant


async def ids(tenant: TenantStore, query: str, type: str = "Patient") -> list[str]:
    """The ids of all matches, as soon as the search can be answered."""
    for _ in range(500):
        try:
            return [one.id async for one in tenant.search(type, query)]
        except NewParameter:
            await asyncio.sleep(0.02)
    raise AssertionError("it is never filled")


async def test_what_is_there_already_is_found_once_it_is_filled(clinic: TenantStore) -> None:
    """Beside what is written after the definition, and what is changed meanwhile."""
    for number in range(250):
        await clinic.update(patient(f"p{number}", 30 + number % 10))
    await clinic.update(definition())
    with pytest.raises(NewParameter, match="'shoe-size' of Patient is new, and is being indexed"):
        await clinic.search("Patient", "shoe-size=37")
    await clinic.update(patient("p7", 50))
    await clinic.update(patient("new", 37))
    found = await ids(clinic, "shoe-size=37&_count=1000")
    assert sorted(found) == sorted([*(f"p{number}" for number in range(17, 250, 10)), "new"])
    assert await ids(clinic, "shoe-size=gt45") == ["p7"]
    assert await ids(clinic, "shoe-size:missing=true") == []
    assert await ids(clinic, "shoe-size=gt38&_sort=-shoe-size&_count=1000&_id=p7,p9,p8") == ["p7", "p9"]


async def test_a_parameter_of_a_type_without_resources_is_ready_at_once(clinic: TenantStore) -> None:
    """What is written then has its rows; a search finds it by a modifier, too."""
    await clinic.update(definition())
    assert (await clinic.search("Patient", "shoe-size=41")).matches == ()
    await clinic.update(patient("a", 41))
    assert [one.id async for one in clinic.search("Patient", "shoe-size=41")] == ["a"]
    assert [one.id async for one in clinic.search("Patient", "shoe-size:missing=false")] == ["a"]


async def test_a_changed_definition_is_filled_anew_and_a_retired_one_is_unknown(clinic: TenantStore) -> None:
    """The rows of before are not found any more."""
    await clinic.update(definition())
    await clinic.update({**patient("a", 41), "active": True})
    assert await ids(clinic, "shoe-size=41") == ["a"]
    await clinic.update(definition(type="token", expression="Patient.active"))
    assert await ids(clinic, "shoe-size=true") == ["a"]
    await clinic.update(definition(status="retired"))
    with pytest.raises(UnknownParameter, match="SearchParameter/shoe is not used: its status"):
        await clinic.search("Patient", "shoe-size=41")
    await clinic.delete("SearchParameter", "shoe")
    with pytest.raises(UnknownParameter, match=r"'shoe-size' of Patient;"):
        await clinic.search("Patient", "shoe-size=41")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"code": "name"}, ""),
        ({"type": "special"}, "parameters of its type are not supported"),
        ({"expression": "Patient.shoes"}, "has no element named shoes"),
        ({"expression": "Patient.name.family.matches('a*')"}, "is not supported in a search parameter"),
        ({"expression": "Patient.link.other.resolve().name"}, "is not supported in a search parameter"),
        ({"expression": "Patient.name.unheardOf()"}, "is not supported in a search parameter"),
        ({"expression": "Observation.code"}, "selects nothing in a Patient"),
        ({"code": "a.b"}, ""),
    ],
)
async def test_what_cannot_be_used_is_told_to_who_asks_for_it(
    clinic: TenantStore, changes: dict[str, str], why: str
) -> None:
    """It is stored all the same; FHIR's own parameters stay what they are."""
    await clinic.create(definition(**changes))
    await clinic.update({"resourceType": "Patient", "id": "a", "name": [{"family": "Shoe"}]})
    with pytest.raises(FhirError) as refused:
        await clinic.search("Patient", "shoe-size=1")
    assert why in refused.value.issues[0].diagnostics
    assert await ids(clinic, "name=shoe") == ["a"]


async def test_of_two_with_one_code_the_first_by_url_is_used(clinic: TenantStore) -> None:
    """In whatever order they are written; the other takes its place when it is gone."""
    await clinic.update(definition("b", type="token", expression="Patient.active"))
    await clinic.update({**patient("x", 41), "active": True})
    assert await ids(clinic, "shoe-size=true") == ["x"]
    await clinic.update(definition("a"))
    assert await ids(clinic, "shoe-size=41") == ["x"]
    await clinic.delete("SearchParameter", "a")
    assert await ids(clinic, "shoe-size=true") == ["x"]


async def test_references_chains_includes_and_composites_go_by_own_parameters(clinic: TenantStore) -> None:
    """They are parameters like FHIR's own."""
    url = "http://example.org/nurse"
    nurse = definition(
        "nurse",
        code="nurse",
        type="reference",
        target=["Practitioner"],
        expression=f"Patient.extension.where(url = '{url}').value.ofType(Reference)",
    )
    both = definition(
        "telecom",
        code="telecom-of",
        type="composite",
        expression="Patient.telecom",
        component=[
            {"definition": "http://hl7.org/fhir/SearchParameter/individual-telecom", "expression": "value"},
            {"definition": "urn:none", "expression": "use"},
        ],
    )
    await clinic.update(nurse)
    await clinic.update(both)
    await clinic.update({"resourceType": "Practitioner", "id": "n", "name": [{"family": "Joy"}]})
    at = {"url": url, "valueReference": {"reference": "Practitioner/n"}}
    phones = [{"system": "phone", "value": "1", "use": "home"}, {"system": "phone", "value": "2", "use": "work"}]
    await clinic.update({"resourceType": "Patient", "id": "a", "extension": [at], "telecom": phones})
    assert await ids(clinic, "nurse=Practitioner/n") == ["a"]
    assert await ids(clinic, "nurse.name=joy") == ["a"]
    assert await ids(clinic, "_has:Patient:nurse:_id=a", "Practitioner") == ["n"]
    page = await clinic.search("Patient", "nurse:missing=false&_include=Patient:nurse")
    assert [(one.type, one.id) for one in page.included] == [("Practitioner", "n")]
    assert await ids(clinic, "telecom-of=1$home") == ["a"]
    assert await ids(clinic, "telecom-of=1$work") == []


async def test_another_process_learns_what_was_defined(tmp_path: Path) -> None:
    """Of the same machine, by the same file, and of another machine, by its own; a build takes definitions, too."""
    where = f"file:{tmp_path / 'store'}"
    async with FhirStore.open(where, index=IndexOptions(tmp_path / "one")) as one:
        await one.tenant("default").update(patient("a", 41))
        assert await ids(one.tenant("default"), "_lastUpdated=gt2000") == ["a"]
        async with (
            FhirStore.open(where, index=IndexOptions(tmp_path / "one")) as same,
            FhirStore.open(where, index=IndexOptions(tmp_path / "two")) as other,
        ):
            assert await ids(same.tenant("default"), "_lastUpdated=gt2000") == ["a"]
            assert await ids(other.tenant("default"), "_lastUpdated=gt2000") == ["a"]
            await one.tenant("default").update(definition())
            for store in (same, other, one):
                assert await ids(store.tenant("default"), "shoe-size=41") == ["a"]
            await same.tenant("default").update(patient("b", 41))
            for store in (one, other, same):
                assert await ids(store.tenant("default"), "shoe-size=41") == ["a", "b"]
    async with FhirStore.open(where, index=IndexOptions(tmp_path / "three")) as later:
        assert await ids(later.tenant("default"), "shoe-size=41") == ["a", "b"]


@pytest.mark.parametrize(
    ("kind", "expression", "query"),
    [
        ("token", "Patient.name.count() > 1 or Patient.active.not()", "true"),
        ("number", "Patient.name.select(given.count())", "2"),
        ("string", "Patient.name.where(use = 'official' or use = 'usual').family", "Ana"),
        ("date", "iif(Patient.birthDate.exists(), Patient.birthDate, '1900-01-01')", "2000-01-01"),
        ("quantity", "Patient.extension.value.ofType(Quantity).where(value > 1)", "gt1.4||kg"),
        ("token", "Patient.identifier.where(use.empty() and value.length() > 3)", "urn:s|1234"),
    ],
)
async def test_an_expression_that_is_not_compiled_is_evaluated(
    clinic: TenantStore, kind: str, expression: str, query: str
) -> None:
    """All of FHIRPath, but what needs other resources or takes a time without bound."""
    await clinic.update(definition(type=kind, expression=expression))
    name: JsonObject = {"use": "usual", "family": "Anabel", "given": ["A", "B"]}
    weight: JsonObject = {"url": "urn:w", "valueQuantity": {"value": 1.5, "unit": "kg"}}
    one: JsonObject = {
        "resourceType": "Patient",
        "id": "one",
        "name": [name, {"use": "nickname", "family": "X"}],
        "birthDate": "2000-01-01",
        "extension": [weight],
        "identifier": [{"system": "urn:s", "value": "1234"}],
    }
    other: JsonObject = {"resourceType": "Patient", "id": "two", "birthDate": "1999", "active": True}
    await clinic.update(one)
    await clinic.update(other)
    assert await ids(clinic, f"shoe-size={query}") == ["one"]


async def test_what_is_not_used_any_more_leaves_no_rows(tmp_path: Path) -> None:
    """They are dropped in the background, and a comparison with the bucket finds nothing amiss meanwhile or then."""
    async with FhirStore.open("memory:", index=IndexOptions(tmp_path)) as store:
        tenant = store.tenant("default")
        await tenant.update({**patient("a", 41), "active": True})
        await tenant.update(definition(type="token", expression="Patient.active"))
        assert await ids(tenant, "shoe-size=true") == ["a"]
        file = IndexFile.open(tmp_path / "default.sqlite", Catalogue.of(store.definitions), identity=IDENTITY)
        with file.read() as reader:
            before = reader.rows("SELECT count(*) FROM token WHERE pid >= 1000000 AND pid < 2000000")[0][0]
        await tenant.update(definition(status="retired"))
        for _ in range(500):
            await tenant.search("Patient", "_lastUpdated=gt2000")
            if file.filling() is None:
                break
            await asyncio.sleep(0.02)
        with file.read() as reader:
            after = reader.rows("SELECT count(*) FROM token WHERE pid >= 1000000 AND pid < 2000000")[0][0]
            left = reader.rows("SELECT count(*) FROM parameter")[0][0]
        file.close()
    assert (before, after, left) == (1, 0, 0)
