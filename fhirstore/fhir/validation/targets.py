"""References to types that their element does not allow, or that `Reference.type` denies; ids that name two things.

A Patient as the author of a Provenance, say; `Patient/1` whose type is to be Group; two contained resources of one id,
of which `#id` would be either. Types are told from the reference itself: `Patient/1`, what is contained, what an entry
of the same Bundle is, else what Reference.type says. What none of these tells is left alone.

https://hl7.org/fhir/R4/references.html
"""

from __future__ import annotations

from collections.abc import Iterator

from fhirstore.errors import Issue
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.references import literal, target_type
from fhirstore.fhir.validation.places import Place, places

_CORE = "http://hl7.org/fhir/StructureDefinition/"


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


def denied_types(definitions: Definitions, resource: JsonObject) -> Iterator[Issue]:
    """An error for every reference whose `type` is another than the one that its `reference` points at."""
    entries = entry_types(resource)
    for place in places(definitions, resource):
        said = place.node.get("type") if place.type == "Reference" else None
        if not isinstance(said, str):
            continue
        said = said.removeprefix(_CORE)
        found = referred_type({"reference": literal(place.node)}, place.root, entries)
        if said != found and said in definitions.resources and found in definitions.resources:
            where = f"{place.path}.type"
            yield Issue("value", f"{where}: says {said}, but the reference is to {found}", (where,))


def repeated_ids(definitions: Definitions, resource: JsonObject) -> Iterator[Issue]:
    """An error for every contained resource whose id another before it has."""
    for place in places(definitions, resource):
        contained = place.node.get("contained") if place.node is place.resource else None
        seen: set[object] = set()
        for index, each in enumerate(contained if isinstance(contained, list) else ()):
            id_ = each.get("id") if isinstance(each, dict) else None
            if id_ in seen:
                where = f"{place.path}.contained[{index}].id"
                yield Issue("duplicate", f"{where}: another contained resource has this id", (where,))
            elif id_ is not None:
                seen.add(id_)


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
