"""What `full` validation asks beyond structure. A resource that comes here is built rightly.

Invariants that cannot be evaluated are no errors: `findings` names them, a write passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from fhirstore.errors import Issue
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.validation.codings import unknown_bindings
from fhirstore.fhir.validation.expressions import Expressions
from fhirstore.fhir.validation.invariants import Findings, Invariants
from fhirstore.fhir.validation.models_check import differing_opinions
from fhirstore.fhir.validation.places import places
from fhirstore.fhir.validation.steps import TooManySteps, within
from fhirstore.fhir.validation.targets import denied_types, repeated_ids, wrong_targets

MOST_STEPS = 20_000_000
"""Calls of functions that evaluating the rules of one resource may take."""

TOO_COSTLY = Issue("too-costly", "Invariants and profiles were not checked: it would take too long", (), "warning")

_FEW_PLACES = 500  # at which even what grows with their square is soon done


def is_much(definitions: Definitions, resource: JsonObject) -> bool:
    """Whether the resource has so many places that evaluating rules has to be bounded."""
    return next(islice(places(definitions, resource), _FEW_PLACES, None), None) is not None


class FullPass:
    """Invariants, targets of references, ids, a second opinion: each from a file of its own."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self.expressions = Expressions(definitions)
        self._invariants = Invariants(definitions, self.expressions)

    def issues(self, resource: JsonObject) -> Iterator[Issue]:
        """Errors and warnings, in the order in which the parts find them; of much, a warning where it is too much."""
        yield from self._told_without_invariants(resource)
        if not is_much(self.definitions, resource):
            yield from self._invariants.check(resource).issues
            return
        try:
            found = within(MOST_STEPS, lambda: self._invariants.check(resource))
        except TooManySteps:
            yield TOO_COSTLY
        else:
            yield from found.issues

    def findings(self, resource: JsonObject) -> Findings:
        """The same, with what fhir.resources thinks, and with what could not be checked."""
        targets = Findings(tuple(self._told_without_invariants(resource)))
        opinions = Findings(tuple(differing_opinions(self.definitions, resource)))
        bindings = Findings(unchecked=unknown_bindings(self.definitions, resource))
        return targets | self._invariants.check(resource) | bindings | opinions

    def _told_without_invariants(self, resource: JsonObject) -> Iterator[Issue]:
        yield from wrong_targets(self.definitions, resource)
        yield from denied_types(self.definitions, resource)
        yield from repeated_ids(self.definitions, resource)
