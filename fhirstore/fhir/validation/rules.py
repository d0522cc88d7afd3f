"""What both passes ask about an element: the rule of a primitive's value, the codes of a concept."""

from __future__ import annotations

from fhirstore.fhir.definitions.facts import Definitions, Element, Type
from fhirstore.fhir.validation.codings import Codes
from fhirstore.fhir.validation.primitives import Rule, primitive_rules
from fhirstore.fhir.validation.references import EXPECTED, REFERENCE, REFERENCE_IN_TRANSACTION

_CODES_TO_LIST = 12


class Rules:
    """The rules of one release. `in_transaction`: with references by search, which a transaction resolves."""

    def __init__(self, definitions: Definitions, *, in_transaction: bool = False) -> None:
        self.definitions = definitions
        self.primitives = primitive_rules(definitions)
        reference = REFERENCE_IN_TRANSACTION if in_transaction else REFERENCE
        self._reference = Rule("string", reference.fullmatch, EXPECTED)  # type: ignore[arg-type] # TypeError is allowed

    def rule(self, owner: Type, element: Element) -> Rule | None:
        """What the element's values must obey; None when they are objects."""
        if element.type == "string" and element.name == "reference" and owner.name == "Reference":
            return self._reference
        if element.codes is not None and element.type == "code":
            return Rule("string", element.codes.__contains__, _codes(element.codes), "code-invalid")
        return self.primitives.get(element.type)

    def codes(self, element: Element) -> Codes | None:
        """What a required binding allows to a concept; None: anything, or the release does not say all codes."""
        if not element.binding or element.type in self.primitives:
            return None
        return self.definitions.value_sets.get(element.binding)


def may_be_extended(element: Element) -> bool:
    """Whether a primitive element can have a sibling `_name`: all but ids, URLs of extensions and narratives."""
    return not element.attribute and element.type != "xhtml"


def expected_concept(codes: Codes) -> str:
    """In words."""
    return " or ".join(f"a code of {system}: {', '.join(sorted(codes[system]))}" for system in sorted(codes))


def _codes(codes: frozenset[str]) -> str:
    if len(codes) > _CODES_TO_LIST:
        return "a code of the required value set"
    return "one of the codes " + ", ".join(sorted(codes))
