"""Every place of a resource where something can be broken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fhirstore.fhir.definitions.facts import Definitions, Element, Type
from fhirstore.fhir.json import JsonObject

RESERVED = ("div", "year", "month", "day")  # by FHIRPath, of what names elements


@dataclass(frozen=True, slots=True)
class Site:
    """A member `element` of the object `holder`, which is of type `owner` and found at `path`."""

    holder: JsonObject
    owner: Type
    element: Element
    path: str

    @property
    def value(self) -> object:
        return self.holder[self.element.name]

    def put(self, value: object) -> None:
        """Replace the member."""
        self.holder[self.element.name] = value

    @property
    def place(self) -> str:
        """The expression of the member, without an index."""
        name = self.element.choice or self.element.name
        return f"{self.path}.`{name}`" if name in RESERVED else f"{self.path}.{name}"


@dataclass(frozen=True, slots=True)
class Holder:
    """An object of a type, and where it is."""

    value: JsonObject
    type: Type
    path: str


def holders(resource: JsonObject, facts: Definitions) -> Iterator[Holder]:
    """Every object of a valid resource, siblings of primitives left out."""
    name = str(resource["resourceType"])
    yield from _within(resource, facts.types[name], name, facts)


def sites(resource: JsonObject, facts: Definitions) -> Iterator[Site]:
    """Every member of every object."""
    for holder in holders(resource, facts):
        for name in holder.value:
            element = holder.type.elements.get(name)
            if element is not None:
                yield Site(holder.value, holder.type, element, holder.path)


def _within(value: JsonObject, type_: Type, path: str, facts: Definitions) -> Iterator[Holder]:
    yield Holder(value, type_, path)
    for name, item in value.items():
        element = type_.elements.get(name)
        if element is None or element.type in facts.primitives:
            continue
        place = f"{path}.{element.choice or element.name}"
        for index, each in enumerate(item if isinstance(item, list) else (item,)):
            assert isinstance(each, dict)
            inner = facts.types[str(each["resourceType"]) if element.type == "Resource" else element.type]
            yield from _within(each, inner, f"{place}[{index}]" if element.repeats else place, facts)
