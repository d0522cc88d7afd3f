"""Rules are evaluated within a bound of steps."""

from __future__ import annotations

from contextlib import suppress

import pytest

from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.validation.expressions import Expressions, Verdict
from fhirstore.fhir.validation.full import FullPass, is_much
from fhirstore.fhir.validation.places import Place
from fhirstore.fhir.validation.steps import TooManySteps, within

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

    with pytest.raises(TooManySteps):
        within(1_000, forever)
    assert 100 < calls <= 1_000  # `suppress` calls functions, too


def test_what_calls_little_gives_its_value() -> None:
    """And nothing is counted afterwards."""
    assert within(100, lambda: sum(map(abs, (1, -2)))) == 3
    assert [str(number) for number in range(500)]


def test_a_profile_s_expression_that_doubles_again_and_again_is_not_evaluated() -> None:
    """Sixty doublings of one character would not fit into any memory."""
    resource: JsonObject = {"resourceType": "Patient", "language": "a"}
    place = Place("Patient", resource, "Patient", resource, resource)
    doubling = "language" + ".select($this & $this)" * 60 + ".exists()"
    assert Expressions(R4).verdict(doubling, place, trusted=False) is Verdict.UNDECIDED


def test_only_large_resources_are_counted() -> None:
    """Those of usual size are evaluated at full speed."""
    few: JsonObject = {"resourceType": "Patient", "name": [{"family": "a"}] * 100}
    many: JsonObject = {"resourceType": "Patient", "name": [{"family": "a"}] * 1_000}
    assert not is_much(R4, few)
    assert is_much(R4, many)
    assert not list(FullPass(R4).issues(few))[1:]
