"""Every place of a resource that has a type with elements: which type it is, and where it stands.

The rules of full validation and of profiles hold at places. A place's path is the FHIRPath expression that finds it.

https://hl7.org/fhir/R4/fhirpath.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fhirstore.fhir.definitions.facts import Definitions, Element
from fhirstore.fhir.fhirpath.names import step
from fhirstore.fhir.json import JsonObject


@dataclass(frozen=True, slots=True)
class Place:
    """An object inside a resource. `resource`: the nearest resource around it; `root`: the one that contains that.

    `element`: what the type around it says of it; None for a whole resource and what hangs on a primitive.
    """

    type: str
    node: JsonObject
    path: str
    resource: JsonObject
    root: JsonObject
    element: Element | None = None


def places(definitions: Definitions, resource: JsonObject) -> Iterator[Place]:
    """The resource's places, itself first, in the order of the document. What has no known type is passed over."""
    name = resource.get("resourceType")
    if isinstance(name, str) and name in definitions.resources:
        yield from _below(definitions, Place(name, resource, name, resource, resource))


def _below(definitions: Definitions, place: Place) -> Iterator[Place]:
    yield place
    elements = definitions.types[place.type].elements
    for name, value in place.node.items():
        element = elements.get(name)
        on_primitive = element is None and name.startswith("_") and name[1:] in elements
        if on_primitive:
            type_, shown = "Element", name[1:]
        elif element is not None and element.type in definitions.types:
            type_, shown = element.type, element.choice or name
        else:
            continue
        for node, path in _objects(value, f"{place.path}.{step(shown)}"):
            if element is not None and definitions.types[type_].kind == "resource":
                yield from _inner(definitions, node, path, None if name == "contained" else node, place)
            else:
                inner = Place(type_, node, path, place.resource, place.root, element)
                yield from _below(definitions, inner)


def _inner(
    definitions: Definitions, node: JsonObject, path: str, root: JsonObject | None, around: Place
) -> Iterator[Place]:
    """A resource inside a resource; what is contained has the outer one as its root."""
    name = node.get("resourceType")
    if isinstance(name, str) and name in definitions.resources:
        yield from _below(definitions, Place(name, node, path, node, root or around.root))


def _objects(value: object, path: str) -> Iterator[tuple[JsonObject, str]]:
    if isinstance(value, dict):
        yield value, path
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict):
                yield item, f"{path}[{index}]"
