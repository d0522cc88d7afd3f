"""Whether a coded item has a code that a required binding allows.

https://hl7.org/fhir/R4/terminologies.html#required
"""

from __future__ import annotations

from collections.abc import Iterator

from fhirstore.definitions.terminology import NotEnumerable
from fhirstore.validation.profiles.items import Item
from fhirstore.validation.profiles.library import Library


def allows(library: Library, canonical: str, item: Item) -> bool | None:
    """None where the value set cannot be enumerated. One coding of a CodeableConcept is enough."""
    try:
        codes = library.terminology.codes(canonical)
    except NotEnumerable:
        return None
    if isinstance(item.value, str):
        return any(item.value in each for each in codes.values())
    return any(code in codes.get(system, frozenset()) for system, code in _codings(item.value))


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
