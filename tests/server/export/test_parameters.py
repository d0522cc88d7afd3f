"""What a kick-off asks: the URL or a Parameters resource becomes an ExportRequest, in both wire versions."""

from __future__ import annotations

import pytest

from fhirstore.errors import InvalidResource
from fhirstore.export.request import ExportRequest
from fhirstore.fhir.json import parse
from server.operations.export.parameters import Wire, body_pairs, export_request

_BASE = "http://127.0.0.1/fhir"


def _asked(
    *pairs: tuple[str, str], version: int = 3, posted: bool = False, lenient: bool = False, level: str = "system"
) -> ExportRequest:
    wire = Wire(version=version, posted=posted, lenient=lenient, base_url=_BASE)
    return export_request(list(pairs), wire, level=level, group=None, url=f"{_BASE}/$export")


def test_lists_and_repeats_mean_the_same_in_version_3() -> None:
    """A value with commas is as many values."""
    listed = _asked(("_type", "Patient,Observation"), ("_elements", "id, Patient.name"))
    repeated = _asked(
        ("_type", "Patient"), ("_type", "Observation"), ("_elements", "id"), ("_elements", "Patient.name")
    )
    assert listed == repeated
    assert list(listed.types) == ["Patient", "Observation"]


def test_version_4_has_no_lists() -> None:
    """A comma is refused by name; repeats are taken."""
    with pytest.raises(InvalidResource, match="_type has one value"):
        _asked(("_type", "Patient,Observation"), version=4, posted=True)
    assert list(_asked(("_type", "Patient"), ("_type", "Observation"), version=4, posted=True).types) == [
        "Patient",
        "Observation",
    ]


def test_commas_of_a_query_stay() -> None:
    """They are alternatives of the search; only a comma before another query separates two, as version 1 had it."""
    asked = _asked(("_typeFilter", "Observation?status=final,amended"))
    assert list(asked.type_filters) == ["Observation?status=final,amended"]
    asked = _asked(("_typeFilter", "Observation?status=final,amended,Patient?gender=male"))
    assert list(asked.type_filters) == ["Observation?status=final,amended", "Patient?gender=male"]


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("2024-05-01T10:00:00Z", 1714557600000, 1714557600000),
        ("2024-05-01T12:00:00+02:00", 1714557600000, 1714557600000),
        ("2024-05-01T12:00:00 02:00", 1714557600000, 1714557600000),
        ("2024-05-01T10:00:00.1234Z", 1714557600123, 1714557600124),
        ("2024-05-01", 1714521600000, 1714521600000),
    ],
)
def test_since_is_rounded_down_and_until_up(text: str, since: int, until: int) -> None:
    """To milliseconds, so that two exports in a row tile. A + that was not escaped arrives as a space."""
    assert _asked(("_since", text)).since == since
    assert _asked(("_until", text)).until == until


@pytest.mark.parametrize(
    "pair",
    [
        ("_since", "yesterday"),
        ("_since", "2024-13-01T00:00:00Z"),
        ("_since", ""),
        ("_until", "soon"),
        ("_type", " "),
        ("allowPartialManifests", "perhaps"),
        ("_outputFormat", "application/vnd.apache.parquet"),
        ("_outputFormat", "csv"),
        ("patient", "Patient/1"),
    ],
)
@pytest.mark.parametrize("lenient", [False, True])
def test_a_value_that_cannot_be_read_is_refused(pair: tuple[str, str], lenient: bool) -> None:
    """Also of a lenient request: left out, it would export more than was asked for. The message names the parameter."""
    with pytest.raises(InvalidResource, match=pair[0]):
        _asked(pair, lenient=lenient)


def test_a_parameter_that_may_be_given_once_is_refused_twice() -> None:
    """With two values; the same one twice is no contradiction."""
    with pytest.raises(InvalidResource, match="_since may be given once"):
        _asked(("_since", "2024-05-01T10:00:00Z"), ("_since", "2024-06-01T10:00:00Z"))
    assert _asked(("_outputFormat", "ndjson"), ("_outputFormat", "ndjson")) == _asked()


def test_an_unknown_parameter_is_refused_or_reported() -> None:
    """By name, where the name is one; a lenient request goes on and keeps an issue for each."""
    with pytest.raises(InvalidResource, match="_profile is not a parameter"):
        _asked(("_profile", "x"))
    with pytest.raises(InvalidResource, match="whose name is none") as refused:
        _asked(("<script>", "x"))
    assert "script" not in str(refused.value)
    ignored = _asked(("_profile", "x"), ("_count", "2"), lenient=True).ignored
    assert [issue.severity for issue in ignored] == ["warning", "warning"]
    assert len(_asked(*[(f"_x{n}", "1") for n in range(500)], lenient=True).ignored) == 100


def test_the_form_of_the_answer_is_no_parameter_of_an_export() -> None:
    """`_format` and `_pretty` are of every interaction; the answers are JSON whatever they say."""
    assert _asked(("_format", "json"), ("_pretty", "true")) == _asked()


@pytest.mark.parametrize("name", ["application/fhir+ndjson", "application/fhir ndjson", "application/ndjson", "ndjson"])
def test_every_name_of_ndjson_is_accepted(name: str) -> None:
    """Also with the + that was not escaped."""
    assert _asked(("_outputFormat", name)) == _asked()


def test_a_body_has_values_of_the_types_of_each_version() -> None:
    """Strings, instants, booleans, References and Codings; a Patient of this server by its URL, too."""
    body = b"""{"resourceType":"Parameters","parameter":[
        {"name":"_type","valueString":"Patient"},
        {"name":"_since","valueInstant":"2024-05-01T10:00:00Z"},
        {"name":"patient","valueReference":{"reference":"Patient/1"}},
        {"name":"patient","valueReference":{"reference":"http://127.0.0.1/fhir/Patient/2"}},
        {"name":"includeAssociatedData","valueCoding":{
            "system":"http://hl7.org/fhir/uv/bulkdata/CodeSystem/include-associated-data",
            "code":"LatestProvenanceResources"}},
        {"name":"allowPartialManifests","valueBoolean":true}]}"""
    asked = _asked(*body_pairs(parse(body)), version=4, posted=True, level="patient")
    assert asked.level == "patient"
    assert list(asked.types) == ["Patient"]
    assert list(asked.patients) == ["Patient/1", "Patient/2"]
    assert list(asked.include_associated) == ["LatestProvenanceResources"]
    assert asked.partial_manifests


@pytest.mark.parametrize(
    "body",
    [
        b'{"resourceType":"Patient"}',
        b'{"resourceType":"Parameters","parameter":{}}',
        b'{"resourceType":"Parameters","parameter":["x"]}',
        b'{"resourceType":"Parameters","parameter":[{"valueString":"x"}]}',
        b'{"resourceType":"Parameters","parameter":[{"name":7,"valueString":"x"}]}',
        b'{"resourceType":"Parameters","parameter":[{"name":"_type"}]}',
        b'{"resourceType":"Parameters","parameter":[{"name":"_type","valueString":"a","valueCode":"b"}]}',
        b'{"resourceType":"Parameters","parameter":[{"name":"_type","valueInteger":1}]}',
        b'{"resourceType":"Parameters","parameter":[{"name":"_type","valueBoolean":1}]}',
        b'{"resourceType":"Parameters","parameter":[{"name":"_type","resource":{"resourceType":"Patient"}}]}',
        b'{"resourceType":"Parameters","parameter":[{"name":"patient","valueReference":{"display":"x"}}]}',
        b'{"resourceType":"Parameters","parameter":[{"name":"patient","valueReference":"Patient/1"}]}',
        b'{"resourceType":"Parameters","parameter":[{"name":"includeAssociatedData",'
        b'"valueCoding":{"system":"http://other","code":"LatestProvenanceResources"}}]}',
        b'{"resourceType":"Parameters","parameter":[' + b",".join([b'{"name":"a","valueString":"b"}'] * 20_001) + b"]}",
    ],
)
def test_a_body_that_is_not_what_it_must_be_is_refused(body: bytes) -> None:
    """With the place of the parameter, and never by an exception of another kind."""
    with pytest.raises(InvalidResource):
        body_pairs(parse(body))
