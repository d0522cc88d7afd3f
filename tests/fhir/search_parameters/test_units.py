"""Units that measure the same convert exactly; others do not convert."""

from __future__ import annotations

from decimal import Decimal

import pytest

from fhirstore.fhir.search_parameters.units import converted, unit_of


@pytest.mark.parametrize(
    ("number", "unit", "into", "expected"),
    [
        ("5.4", "mg", "g", "0.0054"),
        ("1", "kg", "g", "1000"),
        ("1", "[lb_av]", "g", "453.59237"),
        ("100", "mg/dL", "g/L", "1"),
        ("5.5", "mmol/L", "umol/mL", "5.5"),
        ("120", "mm[Hg]", "kPa", "15.99864"),
        ("37", "Cel", "[degF]", "98.6"),
        ("-40", "[degF]", "Cel", "-40"),
        ("4.5", "10*3/uL", "10*9/L", "4.5"),
        ("70", "{beats}/min", "/h", "4200"),
        ("50", "%", "1", "0.5"),
        ("1", "a", "d", "365.25"),
        (
            "180",
            "cm",
            "[in_i]",
            "70.866141732283464566929133858267716535433070866141732283464566929133858267716535433070866",
        ),
    ],
)
def test_units_convert(number: str, unit: str, into: str, expected: str) -> None:
    """As the tables of UCUM have it, with every digit."""
    one, other = unit_of(unit), unit_of(into)
    assert one is not None
    assert other is not None
    assert one.dimension == other.dimension
    result = converted(Decimal(number), one, other)
    assert abs(result - Decimal(expected)) < Decimal("1e-80")


@pytest.mark.parametrize(
    ("one", "other"), [("mg/dL", "mmol/L"), ("[iU]/L", "U/L"), ("g", "m"), ("eq/L", "mol/L"), ("K", "s")]
)
def test_what_differs_in_kind_does_not_convert(one: str, other: str) -> None:
    """That would need to know the substance."""
    left, right = unit_of(one), unit_of(other)
    assert left is not None
    assert right is not None
    assert left.dimension != right.dimension


@pytest.mark.parametrize("code", ["MG", "furlong", "", "mg/", "{score}x"])
def test_unknown_codes_are_no_units(code: str) -> None:
    """Codes are case-sensitive."""
    assert unit_of(code) is None


def test_far_numbers_take_no_memory() -> None:
    """A number of a thousand million digits is as good as infinite."""
    gram, milligram = unit_of("g"), unit_of("mg")
    assert gram is not None
    assert milligram is not None
    assert converted(Decimal("1E+999999999"), gram, milligram) > Decimal("1E+1000")
    assert converted(Decimal("1E-999999999"), gram, milligram) == 0
