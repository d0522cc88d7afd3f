"""Rules are bounded in how many functions their evaluation calls."""

from __future__ import annotations

from contextlib import suppress

import pytest

from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.validation.call_limit import TooManyCalls, call_within
from fhirstore.fhir.validation.expressions import Expressions, Verdict
from fhirstore.fhir.validation.full import FullPass, needs_limit
from fhirstore.fhir.validation.nodes import TypedNode

R4 = definitions()


def test_what_calls_too_much_is_ended() -> None:
    """After as many calls as were allowed, also where the evaluator passes over exceptions."""
    calls = 0

    def step() -> None:
        nonlocal calls
        calls += 1

    def forever() -> None:
        while True:
            with suppress(Exception):  # as evaluators do
                step()

    with pytest.raises(TooManyCalls):
        call_within(1_000, forever)
    assert 100 < calls <= 1_000  # each round calls four functions


def test_what_calls_little_gives_its_value() -> None:
    """And nothing is counted afterwards."""
    assert call_within(100, lambda: sum(map(abs, (1, -2)))) == 3
    assert [str(number) for number in range(500)]


def test_a_profile_s_expression_that_doubles_again_and_again_is_not_evaluated() -> None:
    """Sixty doublings of one character would not fit into any memory."""
    resource: JsonObject = {"resourceType": "Patient", "language": "a"}
    node = TypedNode("Patient", resource, "Patient", resource, resource)
    doubling = "language" + ".select($this & $this)" * 60 + ".exists()"
    assert Expressions(R4).verdict(doubling, node, trusted=False) is Verdict.UNDECIDED


def test_only_large_resources_are_counted() -> None:
    """Those of usual size are evaluated at full speed."""
    few: JsonObject = {"resourceType": "Patient", "name": [{"family": "a"}] * 100}
    many: JsonObject = {"resourceType": "Patient", "name": [{"family": "a"}] * 1_000}
    assert not needs_limit(R4, few)
    assert needs_limit(R4, many)
    assert not list(FullPass(R4).issues(few))[1:]
