"""What each primitive type accepts, to the letter."""

from __future__ import annotations

import pytest

from fhirstore.errors import InvalidResource
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.validation import Validator
from fhirstore.fhir.xml import read
from tests.fhir.validation.literals import GOOD

R4, R5 = Validator(definitions("4.0")), Validator(definitions("5.0"))

STRINGS = tuple(name for name in GOOD if name not in ("boolean", "decimal", "integer", "positiveInt", "unsignedInt"))
NO_STRINGS = ("1", "true", "1.0", "{}", "[]", "null", '""', '["a"]')
WRONG: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(STRINGS, NO_STRINGS),
    "boolean": ('"true"', "0", "1", "null", "[true]", "1.0", '""'),
    "decimal": ('"1"', "true", "null", "{}", "[1]", '""'),
    "integer": ('"1"', "1.0", "1e2", "-0", "true", "null", "2147483648", "-2147483649", "[1]", "12345678901234567890"),
    "positiveInt": ("0", "-1", '"1"', "1.0", "true", "2147483648"),
    "unsignedInt": ("-1", '"1"', "0.0", "false", "2147483648"),
}
ALSO_WRONG: dict[str, tuple[str, ...]] = {
    "base64Binary": (
        '"a"',
        '"YWJj\\u00a0YWJj"',
        '"YWJj\\u001cYWJj"',
        '"YQ"',
        '"YQ="',
        '"=YQ="',
        '"YQ==YQ=="',
        '"Y*=="',
        '"é==="',
        '" "',
        '"-_-_"',
    ),
    "canonical": ('"a b"', '" a"', '"a\\u00a0b"', '"\\u0000"'),
    "code": ('" a"', '"a "', '"a  b"', '"a\\tb"', '"a\\nb"', '"a\\u00a0"', '" "'),
    "decimal": (
        "1e999999999",
        "-1E+999999999",
        "1e309",
        "1.8e308",
        "1e-325",
        "1e-999999999",
        "0e999999999",
        "0.0E-1000",
        f"1{'0' * 400}",
        f"1{'0' * 400}.5",
        f"0.{'0' * 400}1",
        f"1.{'0' * 1000}",
    ),
    "date": (
        '"0000"',
        '"2020-00"',
        '"2020-13"',
        '"2020-1-1"',
        '"2021-02-29"',
        '"1900-02-29"',
        '"2100-02-29"',
        '"2020-02-30"',
        '"2020-04-31"',
        '"2020-01-00"',
        '"2020-01-01T00:00:00Z"',
        '"20200101"',
        '"20"',
        '"02020"',
        '"2020-"',
        '"2020\\n"',
        '"\\u0662\\u0660\\u0662\\u0660"',
    ),
    "dateTime": (
        '"2020-01-01T"',
        '"2020-01-01T12"',
        '"2020-01-01T12:00Z"',
        '"2020-01-01T12:00:00"',
        '"2020-01-01T24:00:00Z"',
        '"2020-01-01T12:60:00Z"',
        '"2020-01-01T12:00:61Z"',
        '"2020-01-01T12:00:00+14:01"',
        '"2020-01-01T12:00:00+1:00"',
        '"2020-01-01T12:00:00.Z"',
        '"2020-01-01 12:00:00Z"',
        '"2020-02-30T12:00:00Z"',
        '"2020-01T12:00:00Z"',
        '"2020-01-01t12:00:00z"',
        '"0000-01-01T12:00:00Z"',
    ),
    "id": ('"a_b"', '"a b"', '"a/b"', f'"{"x" * 65}"', '"é"', '"a\\n"'),
    "instant": ('"2020"', '"2020-01-01"', '"2020-01-01T12:00:00"', '"2020-02-30T12:00:00Z"', '"2020-01-01T24:00:00Z"'),
    "markdown": ('"\\u0000"', '"\\u001f"', f'"{"x" * (1024 * 1024 + 1)}"'),
    "oid": (
        '"1.2.3"',
        '"urn:oid:"',
        '"urn:oid:1"',
        '"urn:oid:3.1"',
        '"urn:oid:1.02"',
        '"urn:oid:1.2."',
        '"URN:OID:1.2"',
    ),
    "string": ('"\\u0000"', '"\\u000b"', '"\\u000c"', '"\\u001b"', f'"{"é" * (1024 * 1024 + 1)}"'),
    "time": ('"24:00:00"', '"12:00"', '"12:00:00Z"', '"1:00:00"', '"12:00:61"', '"12:60:00"', '"12:00:00."'),
    "uri": ('"a b"', '" "', '"a\\u2003b"', '"a\\nb"', '"\\u0007"'),
    "url": ('"a b"',),
    "uuid": (
        '"c757873d-ec9a-4326-a141-556f43239520"',
        '"urn:uuid:C757873D-EC9A-4326-A141-556F43239520"',
        '"urn:uuid:c757873dec9a4326a141556f43239520"',
        '"urn:uuid:{c757873d-ec9a-4326-a141-556f43239520}"',
    ),
}


def _patient(type_: str, literal: str) -> json.JsonObject:
    name = f"value{type_[0].upper()}{type_[1:]}"
    return json.parse(f'{{"resourceType":"Patient","extension":[{{"url":"u","{name}":{literal}}}]}}'.encode())


def _short(literal: str) -> str:
    return literal[:40]


@pytest.mark.parametrize(("type_", "literal"), [(one, text) for one in GOOD for text in GOOD[one]], ids=_short)
def test_what_is_right_is_accepted(type_: str, literal: str) -> None:
    """By both passes: at once where it can be, and without a word."""
    resource = _patient(type_, literal)
    assert R4.accepts_at_once(resource)
    assert not list(R4.errors(resource))
    assert not R5.issues(resource)


@pytest.mark.parametrize(
    ("type_", "literal"), [(one, text) for one in GOOD for text in WRONG[one] + ALSO_WRONG.get(one, ())], ids=_short
)
def test_what_is_wrong_is_refused_at_its_place(type_: str, literal: str) -> None:
    """By both passes, and the message does not repeat the value."""
    resource = _patient(type_, literal)
    for validator in (R4, R5):
        with pytest.raises(InvalidResource) as refused:
            validator.check(resource)
        (issue,) = refused.value.issues
        assert issue.expression == ("Patient.extension[0].value",)
        assert issue.code in ("value", "structure")
        assert literal[1:-1] not in issue.diagnostics or len(literal) < 12 or type_ in ("oid", "uuid")


@pytest.mark.parametrize(
    ("literal", "right"),
    [
        ('"0"', True),
        ('"-9223372036854775808"', True),
        ('"9223372036854775807"', True),
        ('"9223372036854775808"', False),
        ('"01"', False),
        ('"1.0"', False),
        ("1", False),
    ],
)
def test_integer64_is_a_string(literal: str, right: bool) -> None:
    """R5 has it, R4 has not."""
    resource = _patient("integer64", literal)
    assert (not R5.issues(resource)) is right
    (issue,) = R4.issues(resource)
    assert issue.diagnostics == "Patient.extension[0].valueInteger64: valueInteger64 is not an element of Extension"


def test_a_decimal_beyond_what_clients_hold_is_refused_with_the_bound() -> None:
    """The range of a double and a thousand characters, in JSON and in XML, wherever a number is."""
    decimal = '<valueDecimal value="1e999999999"/>'
    xml = f'<Patient xmlns="http://hl7.org/fhir"><extension url="u">{decimal}</extension></Patient>'
    quantity = (
        b'{"resourceType":"Observation","status":"final","code":{"text":"a"},"valueQuantity":{"value":1e999999999}}'
    )
    for resource in (_patient("decimal", "1e999999999"), read(xml.encode(), definitions()), json.parse(quantity)):
        (issue,) = R4.issues(resource)
        assert issue.code == "value"
        assert "1,000 characters" in issue.diagnostics
        assert "1.79E308" in issue.diagnostics


@pytest.mark.parametrize("literal", ["1234567890123456789", "0.123456789012345678", f"1.{'1' * 998}"])
def test_r5_bounds_the_digits_of_decimals(literal: str) -> None:
    """18 before and 17 after the point; R4 allows any that fit into 1,000 characters."""
    resource = _patient("decimal", literal)
    assert not R4.issues(resource)
    assert R5.issues(resource)


def test_r5_bounds_the_fraction_of_seconds() -> None:
    """To nanoseconds."""
    resource = _patient("instant", '"2020-01-01T00:00:00.1234567890Z"')
    assert not R4.issues(resource)
    assert R5.issues(resource)
