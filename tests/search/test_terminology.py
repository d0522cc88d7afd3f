"""Value sets and code systems that are stored, or that FHIR lists, decide which codes a search finds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fhirstore import FhirStore, TenantStore
from fhirstore.errors import FhirError, InvalidResource, Unsupported
from fhirstore.fhir.json import JsonObject
from fhirstore.indexing.options import IndexOptions

SYSTEM = "http://example.org/animals"
GENDERS = "http://hl7.org/fhir/ValueSet/administrative-gender"


def value_set(id: str, include: list[JsonObject], **more: object) -> JsonObject:
    """A ValueSet of these includes."""
    compose: JsonObject = {"include": list(include)}
    return {
        "resourceType": "ValueSet",
        "id": id,
        "url": f"http://example.org/{id}",
        "status": "active",
        "compose": compose,
        **more,
    }


def condition(id: str, code: str, system: str = SYSTEM) -> JsonObject:
    """A Condition of an animal."""
    coding: JsonObject = {"system": system, "code": code}
    return {
        "resourceType": "Condition",
        "id": id,
        "code": {"coding": [coding]},
        "subject": {"reference": "Patient/p"},
    }


@pytest.fixture
async def clinic(tmp_path: Path) -> AsyncIterator[TenantStore]:
    """A hierarchy of animals, value sets of it, and three Conditions and one without a code."""
    resources: list[JsonObject] = [
        {
            "resourceType": "CodeSystem",
            "url": SYSTEM,
            "status": "active",
            "content": "complete",
            "concept": [
                {"code": "animal", "concept": [{"code": "cat", "concept": [{"code": "tom"}]}, {"code": "dog"}]},
                {"code": "plant"},
            ],
        },
        {"resourceType": "CodeSystem", "url": "urn:parts", "status": "active", "content": "fragment"},
        value_set("listed", [{"system": SYSTEM, "concept": [{"code": "cat"}, {"code": "plant"}]}]),
        value_set("cats", [{"system": SYSTEM, "filter": [{"property": "concept", "op": "is-a", "value": "cat"}]}]),
        value_set("all", [{"system": SYSTEM}]),
        value_set("both", [{"valueSet": ["http://example.org/all", "http://example.org/cats"]}]),
        value_set("unknown", [{"system": "http://snomed.info/sct"}]),
        value_set("parts", [{"system": "urn:parts"}]),
        value_set("missing", [{"valueSet": ["http://example.org/nowhere"]}]),
        condition("cat", "cat"),
        condition("tom", "tom"),
        condition("dog", "dog"),
        {"resourceType": "Condition", "id": "none", "subject": {"reference": "Patient/p"}},
        {"resourceType": "Patient", "id": "p", "gender": "male"},
        {"resourceType": "Patient", "id": "q"},
    ]
    async with FhirStore.open("memory:", index=IndexOptions(tmp_path)) as store:
        tenant = store.tenant("default")
        for one in resources:
            await (tenant.update(one) if "id" in one else tenant.create(one))
        yield tenant


@pytest.mark.parametrize(
    ("type_", "query", "expected"),
    [
        ("Condition", "code:in=http://example.org/listed", ["cat"]),
        ("Condition", "code:in=http://example.org/cats", ["cat", "tom"]),
        ("Condition", "code:in=http://example.org/all", ["cat", "tom", "dog"]),
        ("Condition", "code:in=ValueSet/listed", ["cat"]),
        ("Condition", "code:not-in=ValueSet/cats", ["dog", "none"]),
        ("Condition", "code:in=http://example.org/both", ["cat", "tom"]),
        ("Condition", "code:in=http://example.org/listed,http://example.org/cats", ["cat", "tom"]),
        ("Condition", "code:not-in=http://example.org/cats", ["dog", "none"]),
        ("Condition", f"code:below={SYSTEM}|cat", ["cat", "tom"]),
        ("Condition", f"code:below={SYSTEM}|animal", ["cat", "tom", "dog"]),
        ("Condition", f"code:above={SYSTEM}|tom", ["cat", "tom"]),
        ("Condition", f"code:above={SYSTEM}|dog", ["dog"]),
        ("Condition", "code:in=http://example.org/all&code:not-in=http://example.org/cats", ["dog"]),
        ("Patient", "_has:Condition:patient:code:in=http://example.org/cats", ["p"]),
        (
            "Condition",
            "subject:Patient.gender:in=http://hl7.org/fhir/ValueSet/administrative-gender",
            ["cat", "dog", "none", "tom"],
        ),
        ("Patient", f"gender:in={GENDERS}", ["p"]),
        ("Patient", f"gender:not-in={GENDERS}", ["q"]),
    ],
)
async def test_codes_of_value_sets_and_below_others_are_found(
    clinic: TenantStore, type_: str, query: str, expected: list[str]
) -> None:
    """By lists, by hierarchies, by value sets of value sets, and by those of FHIR itself."""
    assert sorted([one.id async for one in clinic.search(type_, query)]) == sorted(expected)


@pytest.mark.parametrize(
    ("query", "error", "part"),
    [
        ("code:in=http://example.org/unknown", Unsupported, "'code:in' needs a terminology server"),
        ("code:in=http://example.org/parts", Unsupported, "'code:in' needs a terminology server"),
        ("code:in=http://example.org/missing", Unsupported, "'code:in' needs a terminology server"),
        ("code:in=ValueSet/nowhere", Unsupported, "'code:in' needs a terminology server"),
        ("code:not-in=http://example.org/nowhere", Unsupported, "'code:not-in' needs a terminology server"),
        ("code:below=http://snomed.info/sct|1", Unsupported, "'code:below' needs a terminology server"),
        ("code:below=urn:parts|1", Unsupported, "'code:below' needs a terminology server"),
        ("code:below=cat", InvalidResource, "it is system|code"),
        ("code:above=|", InvalidResource, "'code' cannot be read"),
        ("code:text-advanced=cat", Unsupported, "':text-advanced'"),
        ("code:code-text=cat", Unsupported, "':code-text'"),
    ],
)
async def test_what_cannot_be_enumerated_is_refused(
    clinic: TenantStore, query: str, error: type[FhirError], part: str
) -> None:
    """With the reason; never answered in part."""
    with pytest.raises(error) as refused:
        await clinic.search("Condition", query)
    assert part in refused.value.issues[0].diagnostics


async def test_a_changed_value_set_counts_at_once(clinic: TenantStore) -> None:
    """The newest of those with the URL."""
    await clinic.update(value_set("cats", [{"system": SYSTEM, "concept": [{"code": "dog"}]}]))
    assert [one.id async for one in clinic.search("Condition", "code:in=http://example.org/cats")] == ["dog"]


async def test_an_expansion_is_taken_where_nothing_else_tells_the_codes(clinic: TenantStore) -> None:
    """If it is whole."""
    expansion: JsonObject = {
        "timestamp": "2024-01-01T00:00:00Z",
        "total": 1,
        "contains": [{"system": SYSTEM, "code": "tom"}],
    }
    await clinic.update(value_set("unknown", [{"system": "http://snomed.info/sct"}], expansion=expansion))
    assert [one.id async for one in clinic.search("Condition", "code:in=http://example.org/unknown")] == ["tom"]
