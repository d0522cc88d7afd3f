"""Required bindings: whether what is coded with its system has an allowed code, and which bindings nobody can check.

Of a CodeableConcept one coding is enough; a text is not. A code without its system is of none, so only the pair counts.
Where nothing is said but extensions (why there is no code, say), nothing is asked.

https://hl7.org/fhir/R4/terminologies.html#required
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.validation.places import places

Codes = Mapping[str, frozenset[str]]  # code system -> codes

_NOTHING_SAID = frozenset({"id", "extension"})


def has_code_of(codes: Codes, value: object) -> bool:
    """Whether one of the codings in `value`, which is built rightly, is among `codes`."""
    if isinstance(value, dict) and value.keys() <= _NOTHING_SAID:
        return True
    return any(code in codes.get(system, frozenset()) for system, code in _codings(value))


def unknown_bindings(definitions: Definitions, resource: JsonObject) -> frozenset[str]:
    """In words, the required bindings met in the resource whose codes the release does not all say: media types …"""
    met = (
        element.binding
        for place in places(definitions, resource)
        for name in place.node
        if (element := definitions.types[place.type].elements.get(name.removeprefix("_")))
    )
    return frozenset(unknown_codes(url) for url in met if url and url not in definitions.value_sets)


def unknown_codes(value_set: str) -> str:
    """That a binding could not be checked, in words."""
    return f"binding to {value_set}, whose codes are not known here"


def _codings(value: object) -> Iterator[tuple[str, object]]:
    """(system, code) of a Coding, a Quantity, a CodeableConcept, or the concept of a CodeableReference."""
    if not isinstance(value, dict):
        return
    if "coding" in value or "concept" in value:
        for coding in value.get("coding") or ():
            yield from _codings(coding)
        yield from _codings(value.get("concept"))
    elif "code" in value:
        yield str(value.get("system", "")), value["code"]
