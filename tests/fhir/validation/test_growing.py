"""Expressions of users that would fill the memory, or take for ever in one call, are not evaluated."""

from __future__ import annotations

import pytest

from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.validation.expressions import Expressions
from fhirstore.fhir.validation.nodes import TypedNode

PATIENT: JsonObject = {"resourceType": "Patient", "name": [{"family": "xx", "given": ["a", "b", "c"]}]}


def values(expression: str) -> list[object] | None:
    """What an expression of a user selects in the patient; None: it is not evaluated."""
    node = TypedNode("Patient", PATIENT, "Patient", PATIENT, PATIENT)
    return Expressions(definitions("4.0")).values(expression, node)


@pytest.mark.parametrize(
    "expression",
    [
        "name.given.aggregate($total & $total & $this, 'a')",
        "name.given.aggregate($total + $total, 'a')",
        "name.given.aggregate ($total * $total, 9)",
        "name.given.aggregate/* */($total.combine($total), 9)",
        "name.given.`aggregate`($total & $total, 'a')",
        "name.given.`\\u0061ggregate`($total & $total, 'a')",
        "name.family.repeat($this & $this)",
        "name.family.repeat(combine($this))",
        "name.family.replace('x', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')",
        "name.family.replace ('x', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')",
        "name.select(9.power(9).power(9).power(9))",
        "name.family.where(matches ('(x+x+)+y'))",
        "name.family.where(`matches`('(x+x+)+y'))",
        "name.family" + ".select($this & $this)" * 9,
    ],
)
def test_what_grows_without_a_bound_is_not_evaluated(expression: str) -> None:
    """Also where the name of the function is written in another way."""
    assert values(expression) is None


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("name.given.aggregate($this, 'a')", ["c"]),
        ("name.repeat(family)", ["xx"]),
        ("name.family" + ".select($this & $this)" * 3, ["x" * 16]),
        ("name.given.join('-')", ["a-b-c"]),
    ],
)
def test_what_is_bounded_is_evaluated(expression: str, found: list[object]) -> None:
    """The functions are not refused by their names alone."""
    assert values(expression) == found
