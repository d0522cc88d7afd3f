"""Every official search parameter of R4, R4B and R5 compiles, and sees what fhirpathpy sees."""

from __future__ import annotations

import json as plain_json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path

import fhirpathpy
import pytest
from fhirpathpy.engine.nodes import ResourceNode
from fhirpathpy.models import models

from fhirstore.errors import InvalidExpression
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.search_parameters.getters import getter

EXAMPLES = (Path(__file__).parents[2] / "data" / "r4-examples.ndjson").read_bytes().splitlines()

ITS_AS_TAKES_ONE_ELEMENT = {
    ("Group", "value"),
    ("Observation", "combo-value-concept"),
    ("Observation", "combo-value-quantity"),
    ("Observation", "component-value-concept"),
    ("Observation", "component-value-quantity"),
}
"""fhirpathpy raises where `(Observation.component.value as Quantity)` has several components, as FHIRPath says it
must; search parameters mean a filter."""


@pytest.mark.parametrize("release", ["4.0", "4.3", "5.0"])
@pytest.mark.slow
def test_every_official_parameter_compiles(release: str) -> None:
    """For each type it is for; those without an expression say so."""
    facts = definitions(release)
    compiled = 0
    for type_ in facts.resources:
        for code, parameter in facts.search_parameters[type_].items():
            if parameter.expression:
                assert getter(facts, type_, code)({"resourceType": type_, "id": "x"}) is not None
                compiled += 1
            else:
                with pytest.raises(InvalidExpression, match="no expression"):
                    getter(facts, type_, code)
    assert compiled > 2_500


@pytest.mark.slow
def test_getters_see_what_fhirpathpy_sees() -> None:
    """On the committed examples, all values of all parameters that fhirpathpy can evaluate."""
    facts = definitions("4.0")
    compared, beyond = 0, set()
    evaluators: dict[str, Callable[[Mapping[str, object], None], list[object]]] = {}
    for line in EXAMPLES:
        exact, plain = json.parse(line), plain_json.loads(line)
        type_ = plain["resourceType"]
        for code, parameter in facts.search_parameters[type_].items():
            if not parameter.expression:
                continue
            # fhirpathpy does not know that a Patient is a Resource.
            expression = re.sub(r"\b(Domain)?Resource\.", f"{type_}.", parameter.expression)
            if expression not in evaluators:
                evaluators[expression] = fhirpathpy.compile(expression, models["r4"], _FUNCTIONS)
            try:
                theirs = evaluators[expression](plain, None)
            except ValueError as error:
                assert "Expected singleton on left side of 'as'" in str(error)
                beyond.add((type_, code))
                continue
            ours = getter(facts, type_, code)(exact)
            assert sorted(set(map(_shown, ours))) == sorted(set(map(_shown, theirs))), (type_, code, plain["id"])
            compared += 1
    assert beyond == ITS_AS_TAKES_ONE_ELEMENT
    assert compared > 3_000


def _shown(value: object) -> str:
    """A value as text, numbers by value."""
    if isinstance(value, dict):
        return plain_json.dumps({name: _shown(item) for name, item in value.items()}, sort_keys=True)
    if isinstance(value, list):
        return plain_json.dumps([_shown(item) for item in value])
    if isinstance(value, json.NumberLiteral):
        return str(Decimal(bytes(value).decode()).normalize())
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return str(Decimal(str(value)).normalize())
    return str(value)


def _resolve(references: list[object]) -> list[object]:
    """What fhirpathpy lacks: a resource of the type that the reference names."""
    texts = [each.get("reference", "") for each in references if isinstance(each, dict)]
    node = ResourceNode.create_node
    return [node({"resourceType": text.split("/")[-2]}, None) for text in texts if "/" in text]  # type: ignore[no-untyped-call]  # theirs


_FUNCTIONS = {
    "userInvocationTable": {
        "resolve": {"fn": _resolve},
        "hasExtension": {"fn": lambda elements, _: [False], "arity": {1: ["String"]}},
    }
}
