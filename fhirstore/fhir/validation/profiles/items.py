"""The items of a resource at an element: a value, its extensions, or both; with their type and path.

https://hl7.org/fhir/R4/json.html#primitive
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fhirstore.fhir.definitions.facts import Definitions, Element
from fhirstore.fhir.json import JsonObject

_STEP = re.compile(r"\$this|[A-Za-z_]\w*(?:\[x\])?(?:\((?:'[^']*'|[^()']*)\))?")
_FUNCTION = re.compile(r"(\w+)\('?([^']*)'?\)")


@dataclass(frozen=True, slots=True)
class Item:
    """`value`: None if there is only `extra`, the object with a primitive's id and extensions. `path`: a FHIRPath
    expression.
    """

    value: object
    extra: JsonObject | None
    type: str
    path: str

    @property
    def node(self) -> JsonObject:
        """The object with the members below: the value itself, or the object with a primitive's id and extensions."""
        return self.value if isinstance(self.value, dict) else self.extra or {}


def children(definitions: Definitions, item: Item, name: str) -> list[Item]:
    """Returns the items at the element `name` of `item`; `value[x]` finds the type that was chosen."""
    type_ = definitions.types.get(item.type) or definitions.types["Element"]
    if name.endswith("[x]"):
        choice = name.removesuffix("[x]")
        elements = [each for each in type_.elements.values() if each.choice == choice]
    else:
        elements = [type_.elements[name]] if name in type_.elements else []
        if not elements:  # a path may name a choice without [x]
            elements = [each for each in type_.elements.values() if each.choice == name]
    return [found for element in elements for found in _items(definitions, item, element)]


def _items(definitions: Definitions, parent: Item, element: Element) -> Iterator[Item]:
    value, extra = parent.node.get(element.name), parent.node.get(f"_{element.name}")
    path = f"{parent.path}.{element.choice or element.name}"
    if isinstance(value, list) or isinstance(extra, list):
        values = value if isinstance(value, list) else []
        extras = extra if isinstance(extra, list) else []
        for index in range(max(len(values), len(extras))):
            one = _item(definitions, element, (_at(values, index), _at(extras, index)), f"{path}[{index}]")
            if one is not None:
                yield one
    else:
        one = _item(definitions, element, (value, extra), path)
        if one is not None:
            yield one


def _item(definitions: Definitions, element: Element, both: tuple[object, object], path: str) -> Item | None:
    value, extra = both
    type_ = element.type
    if isinstance(value, dict) and type_ in definitions.types and definitions.types[type_].kind == "resource":
        type_ = str(value.get("resourceType"))
    extra = extra if isinstance(extra, dict) else None
    return None if value is None and extra is None else Item(value, extra, type_, path)


def _at(items: list[object], index: int) -> object:
    return items[index] if index < len(items) else None


def steps_of(path: str) -> tuple[str, ...] | None:
    """Returns the steps of a discriminator's path, such as `code.coding` or `extension('url').value`; None for other
    forms.
    """
    if path == "$this":
        return ()
    steps = tuple(match[0] for match in _STEP.finditer(path))
    return steps if ".".join(steps) == path else None


def function(step: str) -> tuple[str, str]:
    """Returns ("extension", "url") for `extension('url')`; empty strings for a step that is not a function."""
    match = _FUNCTION.fullmatch(step)
    return (match[1], match[2]) if match else ("", "")


def along(definitions: Definitions, item: Item, steps: tuple[str, ...]) -> list[Item]:
    """Returns the items that `steps` lead to. `resolve()` stays at the reference."""
    found = [item]
    for step in steps:
        name, argument = function(step)
        if name == "ofType":
            found = [each for each in found if each.type == argument]
        elif name == "extension":
            inner = [each for one in found for each in children(definitions, one, "extension")]
            found = [each for each in inner if each.node.get("url") == argument]
        elif step != "$this" and name != "resolve":
            found = [each for one in found for each in children(definitions, one, step)]
    return found
