"""Checks a coded item against a required binding.

https://hl7.org/fhir/R4/terminologies.html#required
"""

from __future__ import annotations

from fhirstore.fhir.definitions.terminology import NotEnumerable
from fhirstore.fhir.validation.codings import has_code_of
from fhirstore.fhir.validation.profiles.items import Item
from fhirstore.fhir.validation.profiles.library import Library


def allows(library: Library, canonical: str, item: Item) -> bool | None:
    """Returns whether the value set allows the item's code; None if it cannot be enumerated. One coding of a
    CodeableConcept is enough.
    """
    try:
        codes = library.terminology.codes(canonical)
    except NotEnumerable:
        return None
    if isinstance(item.value, str):
        return any(item.value in each for each in codes.values())
    return has_code_of(codes, item.value)
