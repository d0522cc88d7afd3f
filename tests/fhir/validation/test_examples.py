"""Of the official examples exactly those are refused that are wrong, and all come back as they were."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import RELEASES, definitions
from fhirstore.fhir.validation import Validator
from tests.fhir.validation.coming_back import assert_comes_back
from tests.fhir.validation.examples import of, packages
from tests.fhir.validation.refused import REFUSED

TOO_LARGE = {"ImplementationGuide-fhir.json", "ig-r4.json", "Bundle-v2-valuesets.json", "Bundle-valuesets.json"}
PACKAGES = {"4.0": 5306, "4.3": 2840, "5.0": 2822}


def _refusals(release: str, examples: Iterable[tuple[str, bytes]]) -> dict[str, tuple[str, str]]:
    """file -> code and expression of the first error; both passes are asked."""
    validator = Validator(definitions(release))
    found = {}
    for file, body in examples:
        resource = json.parse(body, max_values=None)
        if not validator.accepts_at_once(resource):
            issues = validator.issues(resource)
            if issues:
                found[file] = (issues[0].code, issues[0].expression[0])
    return found


@pytest.mark.parametrize("release", sorted(RELEASES))
@pytest.mark.slow
def test_exactly_the_wrong_examples_are_refused(release: str) -> None:
    """The two thousand to five thousand that are in the repository, for each release."""
    wrong = {file: row[:2] for file, row in REFUSED[release].items() if file not in TOO_LARGE}
    assert _refusals(release, of(release)) == wrong


def test_exactly_the_wrong_examples_of_whole_packages_are_refused() -> None:
    """The same for unpacked packages, where there are any (FHIRSTORE_EXAMPLES)."""
    everything: dict[str, list[tuple[str, bytes]]] = {}
    for release, file, body in packages():
        everything.setdefault(release, []).append((file, body))
    if not everything:
        pytest.skip("FHIRSTORE_EXAMPLES names no packages")
    for release, examples in everything.items():
        assert len(examples) == PACKAGES[release]
        assert _refusals(release, examples) == {file: row[:2] for file, row in REFUSED[release].items()}
        for _, body in examples:
            assert_comes_back(body)


@pytest.mark.parametrize("release", sorted(RELEASES))
def test_both_passes_agree_on_the_examples(release: str) -> None:
    """What the fast pass accepts, the exact one finds nothing in; few examples need the exact pass."""
    validator = Validator(definitions(release))
    examples = of(release)[::7]
    slow = 0
    for file, body in examples:
        resource = json.parse(body)
        if validator.accepts_at_once(resource):
            assert not list(validator.errors(resource)), file
        else:
            slow += 1
    assert slow < len(examples) / 50


@pytest.mark.parametrize("release", sorted(RELEASES))
@pytest.mark.slow
def test_every_example_comes_back(release: str) -> None:
    """Byte for byte but for id, meta and white space, whatever its numbers, its order and its characters."""
    for _, body in of(release):
        assert_comes_back(body)
