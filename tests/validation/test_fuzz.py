"""Nothing but an OperationOutcome comes of broken bodies. `python -m tests.validation.fuzz` does this for longer."""

from __future__ import annotations

import pytest

from tests.validation.fuzz import Fuzzer


@pytest.mark.slow
def test_two_thousand_broken_bodies() -> None:
    """Read, refused or accepted, and nothing else; most are read, and some are right."""
    fuzzer = Fuzzer(4, longest=6_000)
    for _ in range(2_000):
        fuzzer.step()
    assert fuzzer.counts["bodies"] == 2_000
    assert min(fuzzer.counts[name] for name in ("not read", "refused", "accepted")) > 50
