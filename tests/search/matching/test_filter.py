"""A filter is read from the query of a search; what it cannot evaluate is refused by name."""

from __future__ import annotations

import pytest

from fhirstore.errors import FhirError, InvalidResource, UnknownType, Unsupported
from fhirstore.search.matching import parse_type_filter
from tests.search.matching.asking import NOW, R4, asked, matches

OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "category": [{"coding": [{"system": "c", "code": "laboratory"}]}],
    "code": {"coding": [{"system": "s", "code": "a,b"}, {"system": "t", "code": "$x|y\\z"}]},
    "effectiveDateTime": "2020-05-05",
}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", True),
        ("status=final", True),
        ("status=final,amended", True),
        ("status=amended,final&category=laboratory", True),
        ("status=final&category=survey", False),
        ("status=final&status=amended", False),
        ("category=survey%2Claboratory", True),
        ("category=survey,vital-signs", False),
        ("code=a,b", False),
        ("code=a\\,b", True),
        ("code=a%5C%2Cb", True),
        ("code=t|\\$x\\|y\\\\z", True),
        ("code=t|$x\\|y\\\\z", True),
    ],
)
def test_parameters_are_anded_and_values_ored(query: str, found: bool) -> None:
    """Commas separate alternatives, quoted or not; a backslash takes away what is special."""
    assert matches(query, OBSERVATION) is found


def test_a_plus_sign_is_no_space() -> None:
    """A client that quotes the query once, as one value, sends the offset of a time like this."""
    patient = {"resourceType": "Patient", "meta": {"lastUpdated": "2024-02-01T09:30:00Z"}, "name": [{"text": "a+b c"}]}
    assert matches("_lastUpdated=gt2024-02-01T10:00:00+02:00", patient)
    assert not matches("_lastUpdated=gt2024-02-01T10:00:00+00:00", patient)
    assert matches("name:exact=a+b%20c", patient)
    assert matches("name:exact=a+b c", patient)
    assert matches("name:exact=a%2Bb c", patient)


def test_only_resources_of_the_type_match() -> None:
    """A filter of Observation says nothing about others."""
    assert not asked("Observation", "").matches({"resourceType": "Patient"})
    assert asked("Observation", "").matches({"resourceType": "Observation"})


def test_a_filter_tells_what_it_uses_and_no_values() -> None:
    """Names and modifiers, in order."""
    found = asked("Observation", "code:not=secret&subject:Patient=p&status=final")
    assert found.used == (("code", "not"), ("subject", "Patient"), ("status", ""))
    assert repr(found) == "<ResourceFilter of Observation: code:not, subject:Patient, status>"


@pytest.mark.parametrize(
    ("query", "error", "named"),
    [
        ("nonsense=1", InvalidResource, "'nonsense'"),
        ("a<b=1", InvalidResource, "'a?b'"),
        ("=1", InvalidResource, "''"),
        ("code:nonsense=1", InvalidResource, "'code' has no modifier ':nonsense'"),
        ("code:exact=1", InvalidResource, "':exact'"),
        ("subject:exact=1", InvalidResource, "':exact'"),
        ("status:Patient=1", InvalidResource, "':Patient'"),
        ("subject:Encounter=1", InvalidResource, "'subject'"),
        ("date:not=2020", InvalidResource, "':not'"),
        ("_sort=date", InvalidResource, "'_sort'"),
        ("_include=Observation:subject", InvalidResource, "'_include'"),
        ("_include:iterate=Observation:subject", InvalidResource, "'_include'"),
        ("_count=5", InvalidResource, "'_count'"),
        ("_elements=code", InvalidResource, "'_elements'"),
        ("_summary=true", InvalidResource, "'_summary'"),
        ("code=", InvalidResource, "'code'"),
        ("code", InvalidResource, "'code'"),
        ("code=a,", InvalidResource, "'code'"),
        ("code=a|b|c", InvalidResource, "'code'"),
        ("code=|", InvalidResource, "'code'"),
        ("code:missing=maybe", InvalidResource, "'code'"),
        ("code:missing=true,false", InvalidResource, "'code'"),
        ("code:of-type=a|b|c", InvalidResource, "'code'"),
        ("subject:identifier=|", InvalidResource, "'subject'"),
        ("subject=Patient/", InvalidResource, "'subject'"),
        ("subject=#c", InvalidResource, "'subject'"),
        ("subject:Patient=Group/g", InvalidResource, "'subject'"),
        ("date=yesterday", InvalidResource, "'date'"),
        ("date=2020-13", InvalidResource, "'date'"),
        ("date=xx2020", InvalidResource, "'date'"),
        ("value-quantity=much", InvalidResource, "'value-quantity'"),
        ("value-quantity=1|mg", InvalidResource, "'value-quantity'"),
        ("value-string=...", InvalidResource, "'value-string'"),
        ("code=%zz", InvalidResource, "%"),
        ("code:in=http://example.org/set", Unsupported, "':in' of 'code'"),
        ("code:not-in=http://example.org/set", Unsupported, "':not-in' of 'code'"),
        ("code:below=x", Unsupported, "':below' of 'code'"),
        ("subject:above=x", Unsupported, "':above' of 'subject'"),
        ("subject.name=x", Unsupported, "'subject.name'"),
        ("subject:Patient.name=x", Unsupported, "'subject'"),
        ("_has:Provenance:target:agent=x", Unsupported, "'_has'"),
        ("_text=x", Unsupported, "'_text'"),
        ("_content=x", Unsupported, "'_content'"),
        ("_filter=x", Unsupported, "'_filter'"),
        ("_list=x", Unsupported, "'_list'"),
        ("_query=x", Unsupported, "'_query'"),
        ("code-value-quantity=a", InvalidResource, "'code-value-quantity'"),
        ("code-value-quantity=a$5$6", InvalidResource, "'code-value-quantity'"),
        ("code-value-quantity=a$", InvalidResource, "'code-value-quantity'"),
        ("code-value-quantity=a$x", InvalidResource, "'code-value-quantity'"),
        ("code-value-quantity:missing=true", InvalidResource, "':missing'"),
    ],
)
def test_what_is_not_evaluated_is_refused_by_name(query: str, error: type[FhirError], named: str) -> None:
    """Never ignored: an ignored criterion would let everything through."""
    with pytest.raises(error) as raised:
        asked("Observation", query)
    assert named in str(raised.value)


def test_phonetic_and_special_parameters_are_refused() -> None:
    """How names sound, and distances."""
    for type_, query in (("Patient", "phonetic=x"), ("Location", "near=1|2|3")):
        with pytest.raises(Unsupported, match=query.split("=", maxsplit=1)[0]):
            asked(type_, query)


def test_a_search_is_bounded() -> None:
    """In values, in characters, in parameters."""
    asked("Observation", "code=" + ",".join(["a"] * 1_000))
    for query in (
        "code=" + ",".join(["a"] * 1_001),
        "&".join(["code=a,b"] * 501),
        "code=" + "a" * 65_536,
        "a&" * 1_001,
    ):
        with pytest.raises(InvalidResource):
            asked("Observation", query)
    with pytest.raises(InvalidResource):
        asked("RiskAssessment", "probability=1e1000")


def test_a_type_filter_is_a_search_of_one_type() -> None:
    """`[type]?[query]`; other contexts are refused."""
    observation = dict[str, object](OBSERVATION)
    assert parse_type_filter(R4, "Observation?status=final", now=NOW).matches(observation)
    assert parse_type_filter(R4, "Observation?", now=NOW).matches(observation)
    for text in ("", "?", "?status=final", "Observation", "status=final"):
        with pytest.raises(InvalidResource, match="search of one type"):
            parse_type_filter(R4, text, now=NOW)
    for text in ("Nonsense?a=b", "Patient/1/Observation?status=final", "Resource?_id=1"):
        with pytest.raises(UnknownType):
            parse_type_filter(R4, text, now=NOW)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("encounter:missing=true", True),
        ("encounter:missing=false", False),
        ("code:missing=false", True),
        ("date:missing=true", False),
        ("value-quantity:missing=true", True),
        ("performer:missing=true", True),
        ("value-string:missing=true", True),
        ("_profile:missing=true", True),
        ("_id:missing=true", True),
    ],
)
def test_missing_asks_for_a_value(query: str, found: bool) -> None:
    """For parameters of every type; an element with nothing but extensions has none."""
    without_value = {"performer": [{"extension": [{"url": "u", "valueCode": "unknown"}]}], "_valueString": {"id": "x"}}
    assert matches(query, OBSERVATION | without_value) is found


def test_what_is_stored_unvalidated_does_no_harm() -> None:
    """Values of the wrong shape match nothing and raise nothing."""
    odd: list[object] = [1, True, "x", {}, {"coding": 5}, {"coding": [5, {"code": {}, "system": []}]}, {"value": []}]
    odd += [
        {"start": 5},
        {"start": "x"},
        {"repeat": 5, "event": [5]},
        {"reference": 5},
        {"low": 1, "high": {"value": "x"}},
    ]
    queries = ["code=a", "code=s|a", "code=s|", "code=|a", "code:text=a", "date=2020", "subject=p", "subject=urn:x:y"]
    queries += ["value-quantity=5|s|c", "value-quantity=lt5", "value-string=a", "identifier:of-type=a|b|c"]
    queries += ["subject:identifier=a", "value-date=2020", "_id=5", "_profile=u", "_lastUpdated=2020"]
    elements = ("code", "effectiveDateTime", "effectiveTiming", "subject", "valueQuantity", "valueString", "identifier")
    for query in queries:
        found = asked("Observation", query)
        for one in odd:
            for value in (one, [one]):
                resource = {"resourceType": "Observation", "id": one, "meta": {"profile": value, "lastUpdated": value}}
                assert not found.matches(resource | dict.fromkeys(elements, value)), (query, value)
