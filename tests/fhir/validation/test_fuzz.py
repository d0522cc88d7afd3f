"""Broken bodies get an OperationOutcome and nothing else. `python -m tests.fhir.validation.fuzz` runs longer."""

from __future__ import annotations

import pytest

from tests.fhir.validation.fuzz import Fuzzer


@pytest.mark.slow
def test_two_thousand_broken_bodies() -> None:
    """Read, refused or accepted, and nothing else; most are read, and some are right."""
    fuzzer = Fuzzer(4, longest=6_000)
    for _ in range(2_000):
        fuzzer.step()
    assert fuzzer.counts["bodies"] == 2_000
    assert min(fuzzer.counts[name] for name in ("not read", "refused", "accepted")) > 50
