"""Whatever is broken in a valid resource is refused, and the place is named."""

from __future__ import annotations

from random import Random

import pytest
from fhirpathpy import evaluate

from fhirstore.errors import RulesBroken
from fhirstore.fhir import json
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.validation import Validator
from tests.fhir.validation.examples import packed
from tests.fhir.validation.mutations import KINDS, Mutation
from tests.fhir.validation.refused import REFUSED

EDITS = 50
_CODES = {"structure", "required", "value", "code-invalid"}


@pytest.fixture(scope="module")
def subjects() -> list[tuple[str, bytes]]:
    """(release, JSON) of valid examples of up to 20 KB, in a random but fixed order."""
    good = [(release, body) for release, file, body in packed() if len(body) < 20_000 and file not in REFUSED[release]]
    Random(4).shuffle(good)
    return good


@pytest.fixture(scope="module")
def validators() -> dict[str, Validator]:
    """One for each release."""
    return {release: Validator(definitions(release)) for release in REFUSED}


def test_there_are_enough_kinds() -> None:
    """At least thirty are asked for."""
    assert len(KINDS) >= 30


@pytest.mark.parametrize("kind", KINDS)
def test_every_edit_is_refused_at_its_place(
    kind: str, subjects: list[tuple[str, bytes]], validators: dict[str, Validator]
) -> None:
    """Fifty edits of a kind, each of another example: an error names the place, and no other text of the resource."""
    random = Random(kind)
    edits = 0
    for release, body in subjects[random.randrange(1000) :]:
        validator = validators[release]
        expression, edited = _edit(KINDS[kind], body, validator.definitions, random)
        if expression is None:
            continue
        with pytest.raises(RulesBroken) as refused:
            validator.check(edited)
        issues = refused.value.issues
        assert expression in {place for issue in issues for place in issue.expression}, (expression, issues)
        assert {issue.code for issue in issues} <= _CODES
        if edits < 3:  # the expression is FHIRPath
            assert isinstance(evaluate({"resourceType": "Basic"}, expression, {}), list)
        edits += 1
        if edits == EDITS:
            return
    pytest.fail(f"only {edits} edits found a place")


def _edit(mutate: Mutation, body: bytes, facts: Definitions, random: Random) -> tuple[str | None, json.JsonObject]:
    """The expression that must be named, and the resource as it comes over the wire."""
    resource = json.parse(body)
    expression = mutate(resource, facts, random)
    return expression, json.parse(json.encode(resource))
