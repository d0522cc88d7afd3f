"""Which members of a resource's JSON are lists by definition, whether they are there or not.

FHIR has no empty arrays, so a list without elements is absent and a client cannot tell it from one that it may append
to. https://hl7.org/fhir/R4/json.html#resources
"""

from __future__ import annotations

from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.patch.pointer import Pointer

_ANY_RESOURCE = ("Resource", "DomainResource")


def is_list(resource: object, path: Pointer, definitions: Definitions) -> bool:
    """Returns whether FHIR defines the member at `path` as repeating. What holds the member must be there.

    False for whatever the definitions do not know.
    """
    value, type_, repeats = resource, "Resource", False
    for token in path:
        if isinstance(value, list):
            value, repeats = value[int(token)], False
            continue
        if not isinstance(value, dict):
            return False
        if type_ in _ANY_RESOURCE:
            type_ = str(value.get("resourceType"))
        facts = definitions.types.get("Element" if type_ in definitions.primitives else type_)
        element = None if facts is None else facts.elements.get(token.removeprefix("_"))
        if element is None or (token.startswith("_") and element.type not in definitions.primitives):
            return False
        value, type_, repeats = value.get(token), element.type, element.repeats
    return repeats
