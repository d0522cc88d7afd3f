"""Required bindings: whether a coded value has an allowed code, and which bindings cannot be checked.

One coding of a CodeableConcept is enough; a text is not. A code counts only together with its system. A value that has
nothing but extensions (such as the reason why there is no code) passes.

https://hl7.org/fhir/R4/terminologies.html#required
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.validation.nodes import typed_nodes

Codes = Mapping[str, frozenset[str]]  # code system -> codes

_NOTHING_SAID = frozenset({"id", "extension"})


def has_code_of(codes: Codes, value: object) -> bool:
    """Returns whether one of the codings in `value`, whose structure is valid, is among `codes`."""
    if isinstance(value, dict) and value.keys() <= _NOTHING_SAID:
        return True
    return any(code in codes.get(system, frozenset()) for system, code in _codings(value))


def unknown_bindings(definitions: Definitions, resource: JsonObject) -> frozenset[str]:
    """Returns words for each required binding in the resource whose codes the definitions do not list, such as media
    types.
    """
    met = (
        element.binding
        for node in typed_nodes(definitions, resource)
        for name in node.members
        if (element := definitions.types[node.type].elements.get(name.removeprefix("_")))
    )
    return frozenset(unknown_codes(url) for url in met if url and url not in definitions.value_sets)


def unknown_codes(value_set: str) -> str:
    """Returns words for a binding that could not be checked."""
    return f"binding to {value_set}, whose codes are not known here"


def _codings(value: object) -> Iterator[tuple[str, object]]:
    """Yields (system, code) of a Coding, a Quantity, a CodeableConcept, or the concept of a CodeableReference."""
    if not isinstance(value, dict):
        return
    if "coding" in value or "concept" in value:
        for coding in value.get("coding") or ():
            yield from _codings(coding)
        yield from _codings(value.get("concept"))
    elif "code" in value:
        yield str(value.get("system", "")), value["code"]
