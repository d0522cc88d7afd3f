"""The elements of a resource as positions in its JSON that can be read, written and removed.

A primitive element is two members, its value and `_name` with id and extensions; a repeating one is two parallel
arrays. A Position hides that.

https://hl7.org/fhir/R4/json.html#primitive
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from fhirstore.errors import PatchFailed
from fhirstore.fhir.definitions.facts import Definitions, Element
from fhirstore.fhir.json import JsonObject

Pair: TypeAlias = tuple[object, object]
"""The value of an element, and the object with id and extensions that a primitive may have; None for what is absent."""

_ROOT = Element("", "", 1, 1, repeats=False)


@dataclass(frozen=True, slots=True, eq=False)
class Position:
    """An element in `owner`, the JSON object that has it as a member; `index` if it repeats.

    `type`: the element's type; for a resource its own type. `parent`: None for the resource as a whole.
    """

    owner: JsonObject
    element: Element
    type: str
    index: int | None = None
    parent: Position | None = None

    @classmethod
    def root(cls, resource: JsonObject) -> Position:
        """Returns the position of the resource as a whole."""
        return cls({"": resource}, _ROOT, _type_of(resource))

    @property
    def pair(self) -> Pair:
        """The value at this position."""
        name, at = self.element.name, self.index or 0
        return _at(self.owner.get(name), at), _at(self.owner.get(f"_{name}"), at)

    @property
    def members(self) -> JsonObject:
        """The object that has the child elements as members; for a primitive, the object with its id and extensions."""
        value, beside = self.pair
        if isinstance(value, dict):
            return value
        return beside if isinstance(beside, dict) else {}

    def writable_members(self) -> JsonObject:
        """Returns the same object, created for a primitive that has none yet."""
        members = self.members
        if not members:
            value, _ = self.pair
            if isinstance(value, dict):
                return value
            self.write((value, members))
        return members

    def write(self, pair: Pair) -> None:
        """Replaces the element at this position."""
        pairs = read(self.owner, self.element.name)
        pairs[self.index or 0] = pair
        write(self.owner, self.element, pairs)

    def remove(self) -> None:
        """Removes the element, and every element around it that is empty then: FHIR has no empty elements."""
        pairs = read(self.owner, self.element.name)
        del pairs[self.index or 0]
        write(self.owner, self.element, pairs)
        above = self.parent
        if above is not None and above.parent is not None and not above.members:
            value, _ = above.pair
            if value is None or value == {}:
                above.remove()
            else:
                above.write((value, None))


def children(position: Position, of: list[Element]) -> list[Position]:
    """Returns the positions of the child elements that have one of these definitions."""
    found: list[Position] = []
    members = position.members
    for element in of:
        if element.name in members or f"_{element.name}" in members:
            for index, (value, _) in enumerate(read(members, element.name)):
                type_ = _type_of(value) if element.type in ("Resource", "DomainResource") else element.type
                found.append(Position(members, element, type_, index if element.repeats else None, position))
    return found


def elements(type: str, name: str, definitions: Definitions) -> list[Element]:
    """Returns the definitions that `name` has in a type: one element, or all elements of a choice that is named without
    a type.

    Raises PatchFailed if there is none.
    """
    facts = definitions.types.get("Element" if type in definitions.primitives else type)
    found = [e for e in facts.elements.values() if (e.choice or e.name) == name] if facts else []
    if not found:
        raise PatchFailed(f"{type} has no element named {name}")
    return found


def read(owner: JsonObject, name: str) -> list[Pair]:
    """Returns the element or elements that a member holds."""
    values, beside = _listed(owner.get(name)), _listed(owner.get(f"_{name}"))
    count = max(len(values), len(beside))
    values += [None] * (count - len(values))
    beside += [None] * (count - len(beside))
    return list(zip(values, beside, strict=True))


def write(owner: JsonObject, element: Element, pairs: list[Pair]) -> None:
    """Sets a member to these elements; removes the member if there are none."""
    name, beside = element.name, f"_{element.name}"
    for member, items in ((name, [pair[0] for pair in pairs]), (beside, [pair[1] for pair in pairs])):
        if all(item is None for item in items):
            owner.pop(member, None)
        else:
            owner[member] = items if element.repeats else items[0]


def _at(value: object, index: int) -> object:
    if isinstance(value, list):
        return value[index] if index < len(value) else None
    return None if index else value


def _listed(value: object) -> list[object]:
    if isinstance(value, list):
        return list(value)
    return [] if value is None else [value]


def _type_of(resource: object) -> str:
    type_ = resource.get("resourceType") if isinstance(resource, dict) else None
    return type_ if isinstance(type_, str) else "Resource"
