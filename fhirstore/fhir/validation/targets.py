"""Finds references to types that their element does not allow or that `Reference.type` contradicts, and repeated ids.

Examples: an Organization as the subject of an Encounter; `Patient/1` with the type Group; two contained resources with
one id, so that `#id` is ambiguous. The type of a target is taken from the reference itself: `Patient/1`, the contained
resource, the entry of the same Bundle, or else Reference.type. References whose target type is unknown pass.

https://hl7.org/fhir/R4/references.html
"""

from __future__ import annotations

from collections.abc import Iterator

from fhirstore.errors import Issue
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.references import literal, target_type
from fhirstore.fhir.validation.nodes import TypedNode, typed_nodes

_CORE = "http://hl7.org/fhir/StructureDefinition/"


def wrong_targets(definitions: Definitions, resource: JsonObject) -> Iterator[Issue]:
    """Yields an error for every reference to a type that its element does not allow."""
    entries = entry_types(resource)
    for node in typed_nodes(definitions, resource):
        targets = node.element.targets if node.element else ()
        if not targets:
            continue
        reference, path = reference_of(node)
        type_ = referred_type(reference, node.root, entries) if reference else ""
        # A type that this release does not have may exist on another server.
        if type_ in definitions.resources and type_ not in targets:
            allowed = ", ".join(targets)
            yield Issue("structure", f"{path}: refers to {type_}; allowed here: {allowed}", (path,))


def denied_types(definitions: Definitions, resource: JsonObject) -> Iterator[Issue]:
    """Yields an error for every reference whose `type` is not the type that its `reference` points at."""
    entries = entry_types(resource)
    for node in typed_nodes(definitions, resource):
        said = node.members.get("type") if node.type == "Reference" else None
        if not isinstance(said, str):
            continue
        said = said.removeprefix(_CORE)
        found = referred_type({"reference": literal(node.members)}, node.root, entries)
        if said != found and said in definitions.resources and found in definitions.resources:
            where = f"{node.path}.type"
            yield Issue("value", f"{where}: says {said}, but the reference is to {found}", (where,))


def repeated_ids(definitions: Definitions, resource: JsonObject) -> Iterator[Issue]:
    """Yields an error for every contained resource that has the id of an earlier one."""
    for node in typed_nodes(definitions, resource):
        contained = node.members.get("contained") if node.members is node.resource else None
        seen: set[object] = set()
        for index, each in enumerate(contained if isinstance(contained, list) else ()):
            id_ = each.get("id") if isinstance(each, dict) else None
            if id_ in seen:
                where = f"{node.path}.contained[{index}].id"
                yield Issue("duplicate", f"{where}: another contained resource has this id", (where,))
            elif id_ is not None:
                seen.add(id_)


def reference_of(node: TypedNode) -> tuple[JsonObject, str]:
    """Returns the Reference at a node and its path, or an empty object. In R5, a CodeableReference may hold it."""
    if node.type == "Reference":
        return node.members, node.path
    inner = node.members.get("reference") if node.type == "CodeableReference" else None
    return (inner, f"{node.path}.reference") if isinstance(inner, dict) else ({}, node.path)


def referred_type(reference: JsonObject, root: JsonObject, entries: dict[str, str]) -> str:
    """Returns the resource type that a Reference points at, or an empty string. `entries`: see `entry_types`."""
    return entries.get(literal(reference)) or target_type(reference, root)


def entry_types(resource: JsonObject) -> dict[str, str]:
    """Returns fullUrl -> resource type for the entries of a Bundle."""
    found: dict[str, str] = {}
    entries = resource.get("entry") if resource.get("resourceType") == "Bundle" else None
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("resource"), dict):
            url, type_ = entry.get("fullUrl"), entry["resource"].get("resourceType")
            if isinstance(url, str) and isinstance(type_, str):
                found[url] = type_
    return found
