"""Search parameters mean what the specification says, or are refused by name."""

from __future__ import annotations

import pytest

from fhirstore.errors import FhirError, InvalidResource, Unsupported
from fhirstore.fhir.times import period
from fhirstore.format.record import Record
from fhirstore.search.conditional.condition import parse_condition
from fhirstore.search.conditional.identifying import Criteria, parse_criteria

NOW = period("2024-06-01T00:00:00Z").start


def asked(*pairs: tuple[str, str]) -> Criteria:
    """These parameters of a Patient."""
    return parse_criteria("Patient", pairs, now=NOW)


def patient(*identifiers: str, t: str = "2024-05-01T10:00:00.500Z") -> Record:
    """A version with these members of `identifier`, JSON without braces."""
    carried = ",".join(f"{{{one}}}" for one in identifiers)
    return Record(1, period(t).start, "op", "PUT", f'{{"resourceType":"Patient","identifier":[{carried}]}}'.encode())


def matches(criteria: Criteria, record: Record, id: str = "a") -> bool:
    """Is it found?"""
    return criteria.match("Patient", id, record)


@pytest.mark.parametrize(
    ("token", "found"),
    [
        ("v", {"s|v", "|v", "t|v"}),
        ("s|v", {"s|v"}),
        ("|v", {"|v"}),
        ("t|", {"t|v"}),
        ("S|v", set()),
        ("V", set()),
        ("w,t|v", {"s|w", "t|v"}),
        (r"s|a\,b\|c\\", {"s|a,b|c\\"}),
    ],
)
def test_tokens_match_as_the_page_says(token: str, found: set[str]) -> None:
    """`value`, `system|value`, `|value`, `system|`; commas are or; a backslash takes away what is special."""
    all_of_them = {"s|v", "|v", "t|v", "s|w", "s|a,b|c\\"}
    criteria = asked(("identifier", token))
    hits = set()
    for one in all_of_them:
        system, _, value = one.partition("|")
        quoted = value.replace("\\", "\\\\")
        member = f'"system":"{system}","value":"{quoted}"' if system else f'"value":"{quoted}"'
        if matches(criteria, patient(member)):
            hits.add(one)
    assert hits == found


def test_repeated_parameters_are_anded() -> None:
    """Both identifiers must be there; they may be on different elements."""
    both = asked(("identifier", "a"), ("identifier", "s|b"))
    assert matches(both, patient('"value":"a"', '"system":"s","value":"b"'))
    assert not matches(both, patient('"value":"a"'))
    assert matches(asked(("_id", "a,b"), ("_id", "a")), patient())
    assert not matches(asked(("_id", "a,b"), ("_id", "b")), patient())


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("2024", True),
        ("eq2024-05-01", True),
        ("2024-05-02", False),
        ("ne2024-05-01", False),
        ("ne2023", True),
        ("gt2024-04", True),
        ("gt2024-05", False),
        ("ge2024-05", True),
        ("lt2024-05-01T10:00:01Z", True),
        ("lt2024-05", False),
        ("le2024-05", True),
        ("sa2024-04-30", True),
        ("eb2024-05-02", True),
        ("ap2024-05-03", True),
        ("ap2024-04-01", False),
        ("2024-05-01T10:00:00.500Z", True),
        ("2024-05-01T12:00:00+02:00", True),
        ("gt2024-05-01T10:00:00.500Z", False),
        ("2024-05-01T10:00", True),
        ("gt2024-05-01T10:00:01", False),
        ("2023,2024-05", True),
    ],
)
def test_last_updated_compares_instants_with_periods(value: str, found: bool) -> None:
    """A partial date is a stretch of time; each prefix relates the instant to it."""
    assert matches(asked(("_lastUpdated", value)), patient()) is found


def test_a_deleted_resource_matches_nothing() -> None:
    """A tombstone is not found, not even by its id."""
    assert not asked(("_id", "a")).match("Patient", "a", Record(2, 1, "op", "DELETE"))
    assert not asked().match("Patient", "a", None)


@pytest.mark.parametrize(
    ("pair", "error", "part"),
    [
        (("name", "x"), Unsupported, "'name'"),
        (("identifier:of-type", "x"), Unsupported, "':of-type'"),
        (("_id:missing", "true"), Unsupported, "':missing'"),
        (("identifier", ""), InvalidResource, "'identifier'"),
        (("identifier", "|"), InvalidResource, "'identifier'"),
        (("identifier", "a|b|c"), InvalidResource, "'identifier'"),
        (("_id", "a,,b"), InvalidResource, "'_id'"),
        (("_lastUpdated", "xx2024"), InvalidResource, "'_lastUpdated'"),
        (("_lastUpdated", "2024-13"), InvalidResource, "'_lastUpdated'"),
        (("_type", "Patient"), Unsupported, "'_type'"),
        (("<script>", "x"), Unsupported, "'?script?'"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(pair: tuple[str, str], error: type[FhirError], part: str) -> None:
    """Unknown parameters, modifiers and nonsense are errors that name the parameter, never its value."""
    with pytest.raises(error) as refused:
        asked(pair)
    assert part in refused.value.issues[0].diagnostics


def test_the_lenient_leave_out_only_what_is_unknown() -> None:
    """Unknown parameters are ignored and reported; modifiers are refused even so."""
    criteria = parse_criteria("Patient", [("name", "x"), ("_id", "a")], now=NOW, lenient=True)
    assert (criteria.used, criteria.ignored) == ((("_id", "a"),), (("name", "x"),))
    with pytest.raises(Unsupported):
        parse_criteria("Patient", [("identifier:not", "x")], now=NOW, lenient=True)


def test_conditions_must_lead_somewhere() -> None:
    """A condition names ids or identifiers, where no index is at hand; one that all resources meet is none."""
    assert parse_condition("Patient", "?identifier=http%3A%2F%2Fs%7Cv").found_by_index
    for query in ("", "name=x", "_lastUpdated=gt2020", "identifier=s|&_lastUpdated=gt2020"):
        with pytest.raises(FhirError):
            parse_condition("Patient", query)


def test_what_a_condition_claims() -> None:
    """The values of identifiers; the query itself where they do not name what is created; nothing for an id."""
    assert len(parse_condition("Patient", "identifier=s|v&identifier=t|v,w").values) == 2
    assert parse_condition("Patient", "_id=a").values == ()
    (alone,) = parse_condition("Patient", "identifier=s|").values
    assert alone not in parse_condition("Patient", "identifier=s").values
    mixed = parse_condition("Patient", "identifier=s|,v").values
    assert len(mixed) == 2
    assert mixed == parse_condition("Patient", "?identifier=v,s|").values  # in whatever order


def test_qualifications_count_in_r5_only() -> None:
    """Where identifiers are is the release's word: R5 also searches those of a practitioner's qualifications."""
    body = b'{"resourceType":"Practitioner","qualification":[{"identifier":[{"system":"s","value":"q"}]}]}'
    record = Record(1, NOW, "op", "PUT", body)
    for release, found in (("4.0", False), ("4.3", False), ("5.0", True)):
        criteria = parse_condition("Practitioner", "identifier=s|q", release=release)
        assert criteria.match("Practitioner", "a", record) is found
