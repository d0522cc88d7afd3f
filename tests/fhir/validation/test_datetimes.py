"""Dates, times and instants are ordered by the instant, as far as both sides are precise."""

from __future__ import annotations

import pytest

from fhirstore.errors import InvalidResource
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import RELEASES, definitions
from fhirstore.fhir.validation import Validator
from fhirstore.fhir.validation.datetimes import date_time, order, order_of_times, time_of_day
from fhirstore.fhir.validation.expressions import Expressions, Verdict
from fhirstore.fhir.validation.nodes import TypedNode

ORDERED: dict[tuple[str, str], int | None] = {
    ("2026-10-25T02:50:00+02:00", "2026-10-25T02:10:00+01:00"): -1,
    ("2026-10-25T08:00:00Z", "2026-10-25T09:30:00+02:00"): 1,
    ("2026-10-25T08:00:00Z", "2026-10-25"): None,
    ("2026-10-25T08:00:00Z", "2026-10-24"): 1,
    ("2026-10-25T08:00:00Z", "2026-11"): -1,
    ("2026-10", "2026"): None,
    ("2026-10", "2025"): 1,
    ("2026", "2026"): 0,
    ("2026-10-25T08:00:00Z", "2026-10-25T08:00:00.000Z"): 0,
    ("2026-10-25T08:00:00.1Z", "2026-10-25T08:00:00.10001Z"): -1,
    ("2026-10-25T08:00:00Z", "2026-10-25T10:00:00+02:00"): 0,
    ("2026-10-25T23:30:00-05:00", "2026-10-25"): None,  # in UTC it is the day after, on its own clock it is not
    ("2026-10-26T00:30:00+02:00", "2026-10-25"): None,
    ("2026-10-27T00:30:00+02:00", "2026-10-25"): 1,
    ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"): 1,
    ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z"): -1,
    ("9999-12-31T23:00:00-05:00", "9999-12-31T23:00:00Z"): 1,
    ("2026-10-25T08", "2026-10-25T08:00"): None,
}


@pytest.mark.parametrize(("one", "other"), ORDERED)
def test_moments_are_ordered_by_instant_and_precision(one: str, other: str) -> None:
    """Both ways round; None is what FHIRPath leaves empty."""
    left, right = date_time(one), date_time(other)
    assert left is not None
    assert right is not None
    expected = ORDERED[one, other]
    assert order(left, right) == expected
    assert order(right, left) == (None if expected is None else -expected)


def test_what_is_no_moment_is_none() -> None:
    """Days that do not exist, times of day, other text."""
    assert [date_time(text) for text in ("2026-02-30", "2026-13", "08:00:00", "x", "")] == [None] * 5


def test_times_of_day_are_ordered_by_their_fields() -> None:
    """Seconds and their fraction are one number; what is less precise is not known."""
    one = time_of_day("08:00:00")
    assert one is not None
    others = {"08:00:00.000": 0, "08:00:00.5": -1, "07:59:59": 1, "08:00": None}
    assert {text: order_of_times(one, other) for text in others if (other := time_of_day(text))} == others


_PERIODS = {
    ("2026-10-25T02:50:00+02:00", "2026-10-25T02:10:00+01:00"): True,
    ("2026-10-25T08:00:00Z", "2026-10-25T09:30:00+02:00"): False,
    ("2026-10-25T08:00:00Z", "2026-10-25"): True,
    ("2026-10-25T08:00:00Z", "2026-10-24"): False,
    ("2026-10", "2026"): True,
    ("2026", "2026-10"): True,
    ("2026-10", "2025"): False,
    ("2026-10-25T08:00:00Z", "2026-10-25T08:00:00.000Z"): True,
}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(("start", "end"), _PERIODS)
@pytest.mark.parametrize(
    "members",
    [
        '"name":[{"period":%s}]',
        '"extension":[{"url":"urn:a","valuePeriod":%s}]',
        '"contained":[{"resourceType":"Basic","id":"b","code":{"text":"a"},"extension":'
        '[{"url":"urn:a","valuePeriod":%s},{"url":"urn:b","valueReference":{"reference":"#"}}]}]',
        '"_birthDate":{"extension":[{"url":"urn:a","valuePeriod":%s}]}',
    ],
)
def test_every_period_is_compared_by_instant(members: str, start: str, end: str, release: str) -> None:
    """per-1, wherever a Period is; unknown passes."""
    period = f'{{"start":"{start}","end":"{end}"}}'
    resource = json.parse(f'{{"resourceType":"Patient",{members % period}}}'.encode())
    validator = Validator(definitions(release), "full")
    if _PERIODS[start, end]:
        validator.check(resource)
        return
    with pytest.raises(InvalidResource) as refusal:
        validator.check(resource)
    errors = [each.diagnostics for each in refusal.value.issues if each.severity == "error"]
    assert [text.partition(":")[0] for text in errors] == ["per-1"]


def test_extensions_beside_a_date_do_not_hide_it() -> None:
    """The start has a value though something stands beside it, and is compared."""
    period = b'{"start":"2026-10-25","_start":{"extension":[{"url":"urn:a","valueCode":"b"}]},"end":"2026-10-24"}'
    resource = json.parse(b'{"resourceType":"Patient","name":[{"period":%s}]}' % period)
    with pytest.raises(InvalidResource):
        Validator(definitions(), "full").check(resource)


def test_other_invariants_on_dates_are_compared_by_instant() -> None:
    """inv-1 of Task, on two dateTimes."""
    task = '{"resourceType":"Task","status":"draft","intent":"order","authoredOn":"%s","lastModified":"%s"}'
    validator = Validator(definitions(), "full")
    validator.check(json.parse((task % ("2026-10-25T02:50:00+02:00", "2026-10-25T02:10:00+01:00")).encode()))
    validator.check(json.parse((task % ("2026-10-25T08:00:00Z", "2026-10-25")).encode()))
    with pytest.raises(InvalidResource):
        validator.check(json.parse((task % ("2026-10-25T08:00:00Z", "2026-10-25T09:30:00+02:00")).encode()))


_OBSERVATION = json.parse(
    b"""{"resourceType":"Observation","issued":"2026-10-25T08:00:00Z","effectivePeriod":{"start":"2026-10-25","end":
    "2026-10-26"},"valueQuantity":{"value":5,"system":"http://unitsofmeasure.org","code":"mg"},"component":[
    {"valueTime":"08:00:00"},{"valueDateTime":"2026-10-25T10:00:00.000+02:00"},{"valueQuantity":{"value":1}},
    {"valueQuantity":{"value":2}},{"valueDateTime":"2026-10-25"},{"valueString":"2026"}]}"""
)
_VERDICTS = {
    "issued = component[1].value": True,
    "issued != component[1].value": False,
    "issued ~ component[1].value": True,
    "issued !~ component[1].value": False,
    "issued = component[4].value": None,
    "issued != component[4].value": None,
    "issued ~ component[4].value": False,
    "issued < component[4].value": None,
    "issued <= component[1].value": True,
    "issued > @2026-10-25T09:59:00+02:00": True,
    "issued >= @2026-10-25T10:01:00+02:00": False,
    "issued in component.value": True,
    "component.value contains issued": True,
    "(issued | component[1].value).count() = 1": True,
    "issued.combine(component[1].value).isDistinct()": False,
    "component[0].value = @T08:00:00.000": True,
    "component[0].value < @T08:00:01": True,
    "component[0].value > @T08:00": None,
    "issued < now() + 100 years": True,
    "effective.start + 1 day = effective.end": True,
    "effective.start + 1 day < effective.end": False,
    "effective.start <= today()": True,
    "effective.start = '2026-10-25'": True,
    "value > 4 'mg'": True,
    "value > 6 'mg'": False,
    "value > 4 'g'": None,
    "value = 5.0 'mg'": True,
    "value = 5 'g'": None,
    "component[2].value = component[3].value": False,
    "component[2].value < component[3].value": True,
    "component[5].value = '2026'": True,
    "component[5].value = 2026": False,
}


@pytest.mark.parametrize("expression", _VERDICTS)
def test_every_operator_compares_by_type(expression: str) -> None:
    """In equality, order, membership, joined collections; None is empty: neither it nor its opposite is broken."""
    expressions = Expressions(definitions())
    node = TypedNode("Observation", _OBSERVATION, "Observation", _OBSERVATION, _OBSERVATION)
    broken = [expressions.verdict(text, node) is Verdict.BROKEN for text in (expression, f"({expression}).not()")]
    assert broken == {True: [False, True], False: [True, False], None: [False, False]}[_VERDICTS[expression]]
    assert expressions.verdict(expression, node) is not Verdict.UNDECIDED


def test_what_has_no_order_decides_nothing() -> None:
    """A time beside a number, several dates, a month added to a text."""
    expressions = Expressions(definitions())
    node = TypedNode("Observation", _OBSERVATION, "Observation", _OBSERVATION, _OBSERVATION)
    for expression in ("issued < 1", "component.value < issued", "component[0].value < issued", "true < false"):
        assert expressions.verdict(expression, node) is Verdict.UNDECIDED


def test_a_constraint_on_a_date_itself_compares_it_as_one() -> None:
    """As a profile's does at Observation.issued: `$this` has the type of the element."""
    expressions = Expressions(definitions())
    node = TypedNode("instant", {}, "Observation.issued", _OBSERVATION, _OBSERVATION)
    verdicts = {
        text: expressions.verdict(text, node, value="2026-10-25T09:30:00+02:00", trusted=False)
        for text in ("$this < %resource.issued", "$this > %resource.issued", "$this < @2026-10-25T08:00:00Z")
    }
    assert list(verdicts.values()) == [Verdict.HOLDS, Verdict.BROKEN, Verdict.HOLDS]
