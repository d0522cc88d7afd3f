"""The checks that `full` validation adds to the structure. The resource's structure must be valid.

Invariants that cannot be evaluated are not errors: a write passes, and `findings` names them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from fhirstore.errors import Issue
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.validation.call_limit import TooManyCalls, call_within
from fhirstore.fhir.validation.codings import unknown_bindings
from fhirstore.fhir.validation.expressions import Expressions
from fhirstore.fhir.validation.invariants import Findings, Invariants
from fhirstore.fhir.validation.models_check import differing_opinions
from fhirstore.fhir.validation.nodes import typed_nodes
from fhirstore.fhir.validation.targets import denied_types, repeated_ids, wrong_targets

MOST_CALLS = 20_000_000
"""The number of function calls that evaluating the invariants of one resource may take."""

TOO_COSTLY = Issue(
    "too-costly", "Invariants and profiles were not checked, because this would take too long", (), "warning"
)

_FEW_NODES = 500  # so few that even quadratic work on them is fast


def needs_limit(definitions: Definitions, resource: JsonObject) -> bool:
    """Returns whether the resource has so many nodes that evaluating its invariants must be limited."""
    return next(islice(typed_nodes(definitions, resource), _FEW_NODES, None), None) is not None


class FullPass:
    """Invariants, reference targets, ids, and the second opinion of fhir.resources."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self.expressions = Expressions(definitions)
        self._invariants = Invariants(definitions, self.expressions)

    def issues(self, resource: JsonObject) -> Iterator[Issue]:
        """Yields errors and warnings. For a large resource, yields a warning instead of invariants that take
        too long.
        """
        yield from self._references_and_ids(resource)
        if not needs_limit(self.definitions, resource):
            yield from self._invariants.check(resource).issues
            return
        try:
            found = call_within(MOST_CALLS, lambda: self._invariants.check(resource))
        except TooManyCalls:
            yield TOO_COSTLY
        else:
            yield from found.issues

    def findings(self, resource: JsonObject) -> Findings:
        """Returns the same, with the opinion of fhir.resources, and with what could not be checked. Sets no limit of
        its own.
        """
        targets = Findings(tuple(self._references_and_ids(resource)))
        opinions = Findings(tuple(differing_opinions(self.definitions, resource)))
        bindings = Findings(unchecked=unknown_bindings(self.definitions, resource))
        return targets | self._invariants.check(resource) | bindings | opinions

    def _references_and_ids(self, resource: JsonObject) -> Iterator[Issue]:
        yield from wrong_targets(self.definitions, resource)
        yield from denied_types(self.definitions, resource)
        yield from repeated_ids(self.definitions, resource)
