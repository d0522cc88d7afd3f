"""What is made up by the rules is accepted by both passes and comes back as it was."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import RELEASES, definitions
from fhirstore.fhir.validation import Validator
from tests.fhir.validation.coming_back import assert_comes_back
from tests.fhir.validation.made_up import Maker

VALIDATORS = {release: Validator(definitions(release)) for release in RELEASES}


def _agree(validator: Validator, text: str) -> None:
    resource = json.parse(text.encode())
    assert validator.issues(resource) == ()
    assert list(validator.errors(resource)) == []
    assert_comes_back(text.encode())


@pytest.mark.parametrize("release", sorted(RELEASES))
@pytest.mark.slow
def test_every_type_can_be_made_up(release: str) -> None:
    """Three of each type."""
    maker = Maker(VALIDATORS[release].definitions, Random(4))
    for name in sorted(VALIDATORS[release].definitions.resources):
        for _ in range(3):
            _agree(VALIDATORS[release], maker.resource(name))


@given(st.sampled_from(sorted(RELEASES)), st.integers(0, 2**64))
@settings(max_examples=200, deadline=None)
def test_whatever_is_made_up_by_the_rules_is_right(release: str, seed: int) -> None:
    """Choices, siblings, nulls, extensions, contained resources, all literals, all spacing."""
    _agree(VALIDATORS[release], Maker(VALIDATORS[release].definitions, Random(seed)).resource())
