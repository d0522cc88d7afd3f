"""Profiles for tests, written as small as StructureDefinitions can be, and a stand-in for the store's lookups."""

from __future__ import annotations

import asyncio

from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.validation.expressions import Expressions
from fhirstore.fhir.validation.invariants import Findings
from fhirstore.fhir.validation.profiles.conformance import conformance
from fhirstore.fhir.validation.profiles.library import Find, collect

CANONICAL = "http://example.org/StructureDefinition"


def profile(id: str, type: str, *elements: JsonObject, base: str = "", snapshot: bool = False) -> JsonObject:
    """A profile of `type`, by its differential unless `snapshot`."""
    return {
        "resourceType": "StructureDefinition",
        "id": id,
        "url": f"{CANONICAL}/{id}",
        "type": type,
        "derivation": "constraint",
        "baseDefinition": base or f"http://hl7.org/fhir/StructureDefinition/{type}",
        "snapshot" if snapshot else "differential": {"element": list(elements)},
    }


def finder(*resources: JsonObject) -> Find:
    """Looks the resources up by type and id."""
    stored = {(each["resourceType"], each["id"]): each for each in resources}

    async def find(type: str, id: str) -> JsonObject | None:
        return stored.get((type, id))

    return find


def check(resource: JsonObject, profile: JsonObject, *others: JsonObject) -> Findings:
    """The resource against the profile, with these others stored too."""
    facts, url = definitions(), str(profile["url"])
    library = asyncio.run(collect([url], finder(profile, *others), facts))
    return conformance(resource, url, library, Expressions(facts))


def errors(resource: JsonObject, profile: JsonObject, *others: JsonObject) -> list[tuple[str, str]]:
    """(code, expression) of each error; everything must have been checked."""
    findings = check(resource, profile, *others)
    assert findings.unchecked == frozenset()
    return [(issue.code, issue.expression[0]) for issue in findings.issues if issue.severity == "error"]
