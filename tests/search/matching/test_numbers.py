"""Numbers are compared exactly; `eq` means all that round to what was written."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirstore.fhir.json import NumberLiteral
from fhirstore.search.matching.numbers import number_test, quantity_test
from tests.search.matching.asking import matches


def number(literal: str) -> object:
    """A number as the JSON reader gives it."""
    return int(literal) if literal.lstrip("-").isdigit() else NumberLiteral(literal.encode())


@pytest.mark.parametrize(
    ("sought", "inside", "outside"),
    [
        ("100", ("99.5", "100", "100.49999"), ("99.49999", "100.5")),
        ("100.00", ("99.995", "100", "100.00499"), ("99.99499", "100.005")),
        ("1e2", ("95", "104.999"), ("94.999", "105")),
        ("1.00e2", ("99.5", "100.4"), ("100.5",)),
        ("5.40e-3", ("0.005395", "0.0054049"), ("0.005405",)),
        ("-2.0", ("-2.05", "-1.951"), ("-1.95", "-2.051")),
        ("+2", ("2",), ("3",)),
        ("0", ("-0.5", "0.4"), ("0.5",)),
        ("2.5", ("2.5",), ("2", "3")),
        ("2.0", ("2",), ("1", "3")),
        ("ne100", ("99.4", "100.5"), ("100", "100.4")),
        ("lt100", ("99.99", "-100"), ("100", "100.01")),
        ("le100", ("100", "100.0"), ("100.01",)),
        ("gt100", ("100.01",), ("100", "99")),
        ("ge100", ("100", "101"), ("99.99",)),
        ("sa100", ("100.01",), ("100",)),
        ("eb100", ("99.99",), ("100",)),
        ("ap100", ("90", "110"), ("89.99", "110.01")),
        ("ap-100", ("-90", "-110"), ("-89.99", "100")),
        ("ap0", ("0", "0.4"), ("1",)),
        ("100", ("1.000e2", "10000e-2"), ("1e3",)),
        ("gt1e400", ("1e401",), ("1e399",)),
        ("ap1." + "0" * 40 + "1", ("0.9" + "0" * 40 + "9", "1.1" + "0" * 39 + "11"), ("0.9" + "0" * 40 + "89",)),
    ],
)
def test_the_precision_of_what_is_searched_for(sought: str, inside: tuple[str, ...], outside: tuple[str, ...]) -> None:
    """The page's own examples, and their edges."""
    test = number_test(sought)
    assert [one for one in inside if not test(number(one))] == []
    assert [one for one in outside if test(number(one))] == []


@pytest.mark.parametrize(
    "text", ["", "x", "1,5", "0x10", "1e", "1e1000", "Infinity", "NaN", "1_000", "٣", "eq", "=1", "1" * 101]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    """No hexadecimal digits, no underscores, no exponent of four digits."""
    with pytest.raises(ValueError):
        number_test(text)


_DIGITS = st.integers(-(10**6), 10**6)


@given(digits=_DIGITS, places=st.integers(0, 6), other=_DIGITS, other_places=st.integers(0, 8))
def test_prefixes_are_arithmetic(digits: int, places: int, other: int, other_places: int) -> None:
    """On fractions, which share nothing with decimals."""
    sought, found = Fraction(digits, 10**places), Fraction(other, 10**other_places)
    half = Fraction(1, 2 * 10**places)
    is_equal = sought - half <= found < sought + half
    text, literal = f"{Decimal(digits).scaleb(-places):f}", f"{Decimal(other).scaleb(-other_places):f}"
    expected = {
        "": is_equal,
        "eq": is_equal,
        "ne": not is_equal,
        "gt": found > sought,
        "sa": found > sought,
        "lt": found < sought,
        "eb": found < sought,
        "ge": found >= sought,
        "le": found <= sought,
    }
    for prefix, answer in expected.items():
        assert number_test(prefix + text)(number(literal)) is answer, prefix
        assert quantity_test(prefix + text)({"value": number(literal)}) is answer, prefix


UCUM = "http://unitsofmeasure.org"
MG = {"value": 5, "unit": "milligram", "system": UCUM, "code": "mg"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("5", True),
        ("5||mg", True),
        ("5||milligram", True),
        ("5||g", False),
        (f"5|{UCUM}|mg", True),
        (f"5|{UCUM}|", True),
        (f"5|{UCUM}|g", False),
        (f"5|{UCUM}|milligram", False),
        ("5|other|mg", False),
        (f"0.005|{UCUM}|g", True),
        (f"0.0054|{UCUM}|g", False),
        (f"lt5001|{UCUM}|ug", True),
        (f"5|{UCUM}|mL", False),
        ("0.005||g", False),
        (f"gt4.9|{UCUM}|mg", True),
        ("lt5||mg", False),
        ("6||mg,5||mg", True),
    ],
)
def test_units_of_ucum_convert(query: str, found: bool) -> None:
    """A system and a code; others, and a code or unit without a system, are compared as they are written."""
    assert matches(f"value-quantity={query}", {"resourceType": "Observation", "valueQuantity": MG}) is found


@pytest.mark.parametrize(
    ("comparator", "yes", "no"),
    [
        ("<", ("lt5", "lt4", "gt4.9", "le5", "eb5"), ("5", "gt5", "ge5", "sa4", "eb4.9")),
        ("<=", ("lt5", "le5", "gt4.9", "ge5"), ("5", "gt5", "eb5")),
        (">", ("gt5", "gt100", "ge5", "sa5", "lt5.1"), ("5", "lt5", "le5", "eb6", "sa5.1")),
        (">=", ("gt5", "ge5", "lt5.1", "le5"), ("5", "lt5", "sa5")),
    ],
)
def test_a_quantity_with_a_comparator_is_an_interval(
    comparator: str, yes: tuple[str, ...], no: tuple[str, ...]
) -> None:
    """ "Less than 5" may be 4 and is not known to be 5."""
    value = {"value": 5, "comparator": comparator}
    assert [one for one in yes if not quantity_test(one)(value)] == []
    assert [one for one in no if quantity_test(one)(value)] == []


@pytest.mark.parametrize(
    ("onset", "query", "found"),
    [
        ({"onsetRange": {"low": {"value": 10, "unit": "a"}, "high": {"value": 20, "unit": "a"}}}, "15", False),
        ({"onsetRange": {"low": {"value": 10, "unit": "a"}, "high": {"value": 20, "unit": "a"}}}, "gt15||a", True),
        ({"onsetRange": {"low": {"value": 10, "unit": "a"}, "high": {"value": 20, "unit": "a"}}}, "gt20", False),
        ({"onsetRange": {"low": {"value": 10, "unit": "a"}, "high": {"value": 20, "unit": "a"}}}, "ge20", True),
        ({"onsetRange": {"low": {"value": 10, "unit": "a"}, "high": {"value": 20, "unit": "a"}}}, "sa9||a", True),
        ({"onsetRange": {"low": {"value": 10, "unit": "a"}}}, "eb100", False),
        ({"onsetRange": {"low": {"value": 10, "unit": "a"}}}, "gt100", True),
        ({"onsetRange": {"low": {"value": 10}, "high": {"value": 10}}}, "10", True),
        ({"onsetAge": {"value": 10, "unit": "a"}}, "10||a", True),
        ({"onsetAge": {"unit": "a"}}, "ne10||a", False),
        ({"onsetRange": {}}, "ne10", False),
    ],
)
def test_ranges(onset: dict[str, object], query: str, found: bool) -> None:
    """A Range is an interval; what has no number matches nothing."""
    assert matches(f"onset-age={query}", {"resourceType": "Condition"} | onset) is found


def test_money_and_sampled_data() -> None:
    """The currency is the code of money; samples are not searched."""
    invoice = {"resourceType": "Invoice", "totalNet": {"value": 5, "currency": "EUR"}}
    assert matches("totalnet=5||EUR", invoice)
    assert matches("totalnet=5|urn:iso:std:iso:4217|EUR", invoice)
    assert not matches("totalnet=5||USD", invoice)
    samples = {"origin": {"value": 5}, "period": 10, "dimensions": 1, "data": "5 5"}
    assert not matches("value-quantity=ne7", {"resourceType": "Observation", "valueSampledData": samples})
