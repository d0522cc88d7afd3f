"""The values in a FHIRPath Patch, and the element of a type that takes one.

https://hl7.org/fhir/R4/fhirpatch.html
"""

from __future__ import annotations

from dataclasses import dataclass

from fhirstore.errors import MalformedContent, PatchFailed
from fhirstore.fhir.definitions.facts import Definitions, Element
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.patch.elements import Pair, elements, read, write
from fhirstore.fhir.patch.json_values import clone_value

_RESOURCE = "Resource"


@dataclass(frozen=True, slots=True)
class Value:
    """`suffix`: the value's type as in `valueHumanName`; Resource for a resource; empty if the value is given by
    `parts`.

    `value`: its JSON. `beside`: the object with the id and extensions of a primitive.
    """

    suffix: str
    value: object = None
    beside: object = None
    parts: tuple[tuple[str, Value], ...] = ()

    def pair(self, element: Element, definitions: Definitions) -> Pair:
        """Returns the JSON of an element. Raises PatchFailed."""
        if self.suffix:
            return clone_value(self.value), clone_value(self.beside)
        members: JsonObject = {}
        for name, value in self.parts:
            part = select(element.type, name, value, definitions)
            if not part.repeats and is_there(members, element.type, part, definitions):
                raise PatchFailed(f"the value has {name} twice, which does not repeat")
            write(members, part, [*read(members, part.name), value.pair(part, definitions)])
        return members, None


def parse_value(parameter: JsonObject) -> Value:
    """Returns what a parameter holds: one of value[x], part, resource. Raises MalformedContent."""
    name, parts, resource = parameter.get("name"), parameter.get("part"), parameter.get("resource")
    suffixes = {member.lstrip("_")[5:] for member in parameter if member.lstrip("_").startswith("value")}
    if len(suffixes) + (parts is not None) + (resource is not None) != 1 or "" in suffixes:
        raise MalformedContent(f"{name} must have exactly one value: a value[x], part or resource")
    if isinstance(resource, dict):
        return Value(_RESOURCE, resource)
    if suffixes:
        suffix = suffixes.pop()
        return Value(suffix, parameter.get(f"value{suffix}"), parameter.get(f"_value{suffix}"))
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise MalformedContent(f"{name}: part is not a list of parameters")
    return Value("", parts=tuple((str(part.get("name")), parse_value(part)) for part in parts))


def select(type: str, name: str, value: Value | None, definitions: Definitions) -> Element:
    """Returns the element `name` of a type that takes the value. Raises PatchFailed.

    Of a choice, which may also be named with its type (`deceasedBoolean`), it is the element of the value's type.
    Primitives with the same JSON form are accepted for each other; validation checks whether the value fits.
    """
    facts = definitions.types.get(type)
    exact = facts.elements.get(name) if facts else None
    fitting = [exact] if exact else elements(type, name, definitions)
    if value is None:
        return fitting[0]
    if len(fitting) > 1:
        fitting = [element for element in fitting if element.name == element.choice + value.suffix]
    fitting = [element for element in fitting if _fits(element, value, definitions)]
    if not fitting:
        raise PatchFailed(f"{name} of {type} takes no {value.suffix or 'parts'}")
    return fitting[0]


def is_there(members: JsonObject, type: str, element: Element, definitions: Definitions) -> bool:
    """Returns whether the element, or another one of the same choice, is present."""
    siblings = elements(type, element.choice, definitions) if element.choice else [element]
    return any(each.name in members or f"_{each.name}" in members for each in siblings)


def _fits(element: Element, value: Value, definitions: Definitions) -> bool:
    if not value.suffix or value.suffix == _RESOURCE:
        return (element.type == _RESOURCE) is bool(value.suffix) and element.type not in definitions.primitives
    if element.type in definitions.primitives:
        return not isinstance(value.value, dict | list)
    capital = element.type[:1].upper() + element.type[1:]
    facts = definitions.types.get(element.type)
    # The base counts too, so that an Age may be given as a Quantity.
    return capital == value.suffix or bool(facts and facts.base == value.suffix)
