"""What one resource costs is measured for every input, with all figures."""

from __future__ import annotations

from tests.costs.resources import inputs, measure


def test_reading_and_validating_are_measured() -> None:
    """Every input is valid, and its row has all figures that do not need orjson."""
    for name, body in inputs().items():
        row = measure(name, body if len(body) < 100_000 else b'{"resourceType":"Bundle","type":"batch"}', samples=1)
        assert min(row.parse, row.validate, row.identity, row.whole) > 0
        assert row.fhir_resources is not None and row.fhir_resources > row.whole
