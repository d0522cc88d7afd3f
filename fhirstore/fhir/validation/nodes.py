"""The typed nodes of a resource: every JSON object in it whose FHIR type has elements, with its type and its path.

Invariants, reference targets and profiles are checked node by node. A node's path is the FHIRPath expression that
selects it.

https://hl7.org/fhir/R4/fhirpath.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fhirstore.fhir.definitions.facts import Definitions, Element
from fhirstore.fhir.fhirpath.names import step
from fhirstore.fhir.json import JsonObject


@dataclass(frozen=True, slots=True)
class TypedNode:
    """An object inside a resource.

    `members`: the object itself. `resource`: the nearest resource around it, or the node itself. `root`: the resource
    that contains `resource`, or `resource` if that is not a contained one. `element`: its definition in the type
    around it; None for a resource, and for the object that holds the id and extensions of a primitive (`_name`).
    """

    type: str
    members: JsonObject
    path: str
    resource: JsonObject
    root: JsonObject
    element: Element | None = None


def typed_nodes(definitions: Definitions, resource: JsonObject) -> Iterator[TypedNode]:
    """Yields the nodes of a resource in document order, the resource first. Skips objects whose type is not known."""
    name = resource.get("resourceType")
    if isinstance(name, str) and name in definitions.resources:
        yield from _with_descendants(definitions, TypedNode(name, resource, name, resource, resource))


def _with_descendants(definitions: Definitions, node: TypedNode) -> Iterator[TypedNode]:
    yield node
    elements = definitions.types[node.type].elements
    for name, value in node.members.items():
        element = elements.get(name)
        on_primitive = element is None and name.startswith("_") and name[1:] in elements
        if on_primitive:
            type_, shown = "Element", name[1:]
        elif element is not None and element.type in definitions.types:
            type_, shown = element.type, element.choice or name
        else:
            continue
        for members, path in _objects(value, f"{node.path}.{step(shown)}"):
            if element is not None and definitions.types[type_].kind == "resource":
                root = node.root if name == "contained" else members
                yield from _inner_resource(definitions, members, path, root)
            else:
                child = TypedNode(type_, members, path, node.resource, node.root, element)
                yield from _with_descendants(definitions, child)


def _inner_resource(definitions: Definitions, resource: JsonObject, path: str, root: JsonObject) -> Iterator[TypedNode]:
    name = resource.get("resourceType")
    if isinstance(name, str) and name in definitions.resources:
        yield from _with_descendants(definitions, TypedNode(name, resource, path, resource, root))


def _objects(value: object, path: str) -> Iterator[tuple[JsonObject, str]]:
    if isinstance(value, dict):
        yield value, path
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict):
                yield item, f"{path}[{index}]"
