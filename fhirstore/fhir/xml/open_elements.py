"""The elements whose end tags are still to come, while XML is read, and the JSON members collected for each.

https://hl7.org/fhir/R4/json.html#primitive
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from fhirstore.fhir.definitions.facts import Element, Type
from fhirstore.fhir.json import JsonObject


@dataclass(slots=True)
class OpenElement:
    """An element whose end tag is still to come.

    `element`: its definition; None for a resource. `type`: the type that defines its children; for a primitive this is
    Element, which has id and extension. `depth`: its level in JSON. `ahead`: the names of children that may still come,
    in order; `last`: the child that came last. `members`: the JSON so far. `primitive`, `holder`: whether it has a
    primitive value, or holds a resource. `value`: of a primitive. `lists`: the repeating primitives among its children.
    """

    element: Element | None
    type: Type
    depth: int
    ahead: Iterator[str]
    members: JsonObject = field(default_factory=dict)
    last: str = ""
    primitive: bool = False
    holder: bool = False
    value: object = None
    lists: dict[str, list[tuple[object, JsonObject]]] = field(default_factory=dict)


def add_value(parent: OpenElement, element: Element, value: object) -> None:
    """Adds a child that is an object to its parent's members."""
    if not element.repeats:
        parent.members[element.name] = value
        return
    values = parent.members.setdefault(element.name, [])
    assert isinstance(values, list)  # noqa: S101 - created on the line above
    values.append(value)


def count_of(parent: OpenElement, name: str) -> int:
    """Returns how many children of this name have been read."""
    values = parent.lists.get(name) or parent.members.get(name)
    return len(values) if isinstance(values, list) else 0


def add_primitives(members: JsonObject, name: str, pairs: list[tuple[object, JsonObject]]) -> None:
    """Adds a repeating primitive: an array of values, and one of ids and extensions; nulls fill gaps, an array of nulls
    is left out.
    """
    values: list[object] = [value for value, _ in pairs]
    extras: list[object] = [extra or None for _, extra in pairs]
    if any(extra is not None for extra in extras):
        members[f"_{name}"] = extras
    if any(value is not None for value in values):
        members[name] = values
    else:
        del members[name]
