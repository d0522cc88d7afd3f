"""References to types that their element does not allow: a Patient as the author of a Provenance, say.

Told from the reference itself: `Patient/1`, what is contained, what an entry of the same Bundle is, else what
Reference.type says. What none of these tells is left alone. https://hl7.org/fhir/R4/references.html
"""

from __future__ import annotations

from collections.abc import Iterator

from fhirstore.definitions.facts import Definitions
from fhirstore.errors import Issue
from fhirstore.json import JsonObject
from fhirstore.search_parameters.references import literal, target_type
from fhirstore.validation.places import Place, places


def wrong_targets(definitions: Definitions, resource: JsonObject) -> Iterator[Issue]:
    """An error for every reference to a type that its element does not allow."""
    entries = entry_types(resource)
    for place in places(definitions, resource):
        targets = place.element.targets if place.element else ()
        if not targets:
            continue
        node, path = reference_of(place)
        type_ = referred_type(node, place.root, entries) if node else ""
        # Of a type that this release does not have nothing is known: it may be another server's.
        if type_ in definitions.resources and type_ not in targets:
            allowed = ", ".join(targets)
            yield Issue("structure", f"{path}: refers to {type_}; allowed here: {allowed}", (path,))


def reference_of(place: Place) -> tuple[JsonObject, str]:
    """The Reference at a place, and its path; empty where there is none. R5 also has it in a CodeableReference."""
    if place.type == "Reference":
        return place.node, place.path
    inner = place.node.get("reference") if place.type == "CodeableReference" else None
    return (inner, f"{place.path}.reference") if isinstance(inner, dict) else ({}, place.path)


def referred_type(reference: JsonObject, root: JsonObject, entries: dict[str, str]) -> str:
    """The resource type that a Reference points at, empty if nothing tells. `entries`: see `entry_types`."""
    return entries.get(literal(reference)) or target_type(reference, root)


def entry_types(resource: JsonObject) -> dict[str, str]:
    """fullUrl -> resource type, of a Bundle's entries."""
    found: dict[str, str] = {}
    entries = resource.get("entry") if resource.get("resourceType") == "Bundle" else None
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("resource"), dict):
            url, type_ = entry.get("fullUrl"), entry["resource"].get("resourceType")
            if isinstance(url, str) and isinstance(type_, str):
                found[url] = type_
    return found
