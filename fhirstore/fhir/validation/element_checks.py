"""Which check applies to the values of an element: a primitive's value, a reference, a code, a coded concept."""

from __future__ import annotations

from fhirstore.fhir.definitions.facts import Definitions, Element, Type
from fhirstore.fhir.validation.codings import Codes
from fhirstore.fhir.validation.primitives import ValueCheck, primitive_checks
from fhirstore.fhir.validation.references import EXPECTED, REFERENCE, REFERENCE_IN_TRANSACTION

_CODES_TO_LIST = 12


class ElementChecks:
    """The checks of one release. `in_transaction`: allows references by search, which a transaction resolves."""

    def __init__(self, definitions: Definitions, *, in_transaction: bool = False) -> None:
        self.definitions = definitions
        self.primitives = primitive_checks(definitions)
        reference = REFERENCE_IN_TRANSACTION if in_transaction else REFERENCE
        self._reference = ValueCheck("string", reference.fullmatch, EXPECTED)  # type: ignore[arg-type] # may raise TypeError

    def check_of(self, owner: Type, element: Element) -> ValueCheck | None:
        """Returns the check for the element's values; None if they are objects."""
        if element.type == "string" and element.name == "reference" and owner.name == "Reference":
            return self._reference
        if element.codes is not None and element.type == "code":
            return ValueCheck("string", element.codes.__contains__, _codes(element.codes), "code-invalid")
        return self.primitives.get(element.type)

    def codes(self, element: Element) -> Codes | None:
        """Returns the codes that a required binding allows for a concept; None: any, or the definitions do not list
        them.
        """
        if not element.binding or element.type in self.primitives:
            return None
        return self.definitions.value_sets.get(element.binding)


def may_be_extended(element: Element) -> bool:
    """Returns whether a primitive element can have a member `_name`: all but ids, URLs of extensions and narratives."""
    return not element.attribute and element.type != "xhtml"


def expected_concept(codes: Codes) -> str:
    """Returns the allowed codes in words."""
    return " or ".join(f"a code of {system}: {', '.join(sorted(codes[system]))}" for system in sorted(codes))


def _codes(codes: frozenset[str]) -> str:
    if len(codes) > _CODES_TO_LIST:
        return "a code of the required value set"
    return "one of the codes " + ", ".join(sorted(codes))
