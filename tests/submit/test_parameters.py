"""The Parameters of a request, in the words of every draft; and the submitters' configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fhirstore.errors import InvalidResource, StoreMisconfigured, UnknownSubmitter
from fhirstore.submit.parameters import StatusRequest, read_submit, read_submit_status
from fhirstore.submit.request import MODE_URL
from fhirstore.submit.submitters import Submitter, Submitters

SUBMITTER = {"name": "submitter", "valueIdentifier": {"system": "s", "value": "x"}}
ID = {"name": "submissionId", "valueString": "1"}


def _parameters(*given: dict[str, object]) -> dict[str, object]:
    return {"resourceType": "Parameters", "parameter": [SUBMITTER, ID, *given]}


def test_all_parameters_are_read() -> None:
    """Headers, OAuth, encryption, metadata, mode."""
    request = read_submit(
        _parameters(
            {
                "name": "submissionStatus",
                "valueCoding": {"system": "http://hl7.org/fhir/event-status", "code": "completed"},
            },
            {"name": "manifestUrl", "valueUrl": "https://a/1"},
            {"name": "replacesManifestUrl", "valueUrl": "https://a/0"},
            {"name": "fhirBaseUrl", "valueUrl": "https://a/fhir"},
            {"name": "outputFormat", "valueString": "application/fhir+ndjson; fhirVersion=4.0"},
            {
                "name": "fileRequestHeader",
                "part": [
                    {"name": "headerName", "valueString": "X-Key"},
                    {"name": "headerValue", "valueString": "secret-value"},
                ],
            },
            {"name": "oauthMetadataUrl", "valueUrl": "https://a/.well-known/smart-configuration"},
            {"name": "fileEncryptionKey", "part": [{"name": "value", "valueString": "ey.secret"}]},
            {
                "name": "metadata",
                "part": [
                    {"name": "parameterUrl", "valueUri": "https://a/batch"},
                    {"name": "parameterValue", "valueString": "7"},
                ],
            },
            {"name": "metadata", "part": [{"name": "https://a/period", "valueString": "2026"}]},
            {"name": "import", "part": [{"name": MODE_URL, "valueCode": "merge-patch"}]},
        )
    )
    assert (request.submitter, request.submission_id, request.status) == ("s|x", "1", "completed")
    assert (request.manifest_url, request.replaces, request.fhir_base_url) == (
        "https://a/1",
        "https://a/0",
        "https://a/fhir",
    )
    assert request.headers == (("X-Key", "secret-value"),)
    assert request.oauth == ("https://a/.well-known/smart-configuration",)
    assert request.encryption is not None and request.encryption.value == "ey.secret"
    assert request.metadata == (("https://a/batch", "7"), ("https://a/period", "2026"))
    assert request.mode == "merge-patch"
    assert "secret" not in repr(request)


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"valueCoding": {"code": "complete"}}, "completed"),
        ({"valueCoding": {"code": "aborted"}}, "stopped"),
        ({"valueCoding": {"code": "stopped"}}, "stopped"),
        ({"valueCode": "in-progress"}, "in-progress"),
        ({"valueCodeableConcept": {"coding": [{"code": "completed"}]}}, "completed"),
    ],
)
def test_a_status_is_read_in_the_words_of_every_draft(given: dict[str, object], status: str) -> None:
    """The older words mean the newer ones."""
    assert read_submit(_parameters({"name": "submissionStatus", **given})).status == status


@pytest.mark.parametrize("name", ["fhirBaseUrl", "FHIRBaseUrl"])
@pytest.mark.parametrize("value", ["valueUrl", "valueString", "valueUri"])
def test_a_base_is_read_in_the_words_of_every_draft(name: str, value: str) -> None:
    """Its name and its type differ."""
    assert read_submit(_parameters({"name": name, value: "https://a"})).fhir_base_url == "https://a"


@pytest.mark.parametrize(
    "given",
    [
        {"name": "manifestURL", "valueUrl": "https://a"},
        {"name": "manifestUrl", "valueInteger": 1},
        {"name": "submissionStatus", "valueCoding": {}},
        {"name": "submissionId", "valueString": "2"},
        {"name": "outputFormat", "valueString": "text/csv"},
        {"name": "outputFormat", "valueString": "ndjson; fhirVersion=5.0"},
        {"name": "import", "part": [{"name": MODE_URL, "valueCode": "append"}]},
        {"name": "import", "part": [{"name": "https://else", "valueCode": "replace"}]},
        {"name": "import"},
        {"name": "fileRequestHeader", "part": [{"name": "headerName", "valueString": "X"}]},
        {
            "name": "fileRequestHeader",
            "part": [{"name": "headerName", "valueString": "X"}, {"name": "headerValue", "valueString": "a\r\nb: c"}],
        },
        {
            "name": "fileEncryptionKey",
            "part": [{"name": "value", "valueString": "x"}, {"name": "coding", "valueCoding": {"code": "rot13"}}],
        },
        {"name": "submitter", "valueString": "x"},
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(given: dict[str, object]) -> None:
    """A parameter of no draft, another type, a value that is not known, one twice."""
    with pytest.raises(InvalidResource) as refused:
        read_submit(_parameters(given))
    assert refused.value.issues[0].expression


def test_a_status_request_is_read() -> None:
    """Its format may be abbreviated."""
    assert read_submit_status(_parameters({"name": "_outputFormat", "valueString": "ndjson"})) == StatusRequest(
        "s|x", "1"
    )
    with pytest.raises(InvalidResource):
        read_submit_status({"resourceType": "Parameters", "parameter": [ID]})
    with pytest.raises(InvalidResource):
        read_submit_status({"resourceType": "Patient"})


def test_submitters_are_read_from_json_and_toml(tmp_path: Path) -> None:
    """And found by identifier and tenant."""
    one = {
        "identifier": "s|x",
        "tenant": "default",
        "hosts": ["files.example.org", "*.a.org:8443", "[::1]:80"],
        "client_id": "me",
    }
    (tmp_path / "submitters.json").write_text(json.dumps({"submitters": [one]}))
    (tmp_path / "submitters.toml").write_text('[[submitters]]\nidentifier = "s|x"\ntenant = "default"\n')
    assert Submitters.read(tmp_path / "submitters.json").find("s|x", "default").hosts[0] == "files.example.org"
    known = Submitters.read(tmp_path / "submitters.toml")
    assert known.find("s|x", "default").mode == "replace"
    for identifier, tenant in (("s|x", "other"), ("s|y", "default")):
        with pytest.raises(UnknownSubmitter):
            known.find(identifier, tenant)


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"identifier": "x"}, "system|value"),
        ({"tenant": "No Tenant"}, "tenant id"),
        ({"client_key": "abc", "client_id": "me"}, "env:NAME"),
        ({"client_key": "env:KEY"}, "client_id"),
        ({"hosts": ["https://a"]}, "host"),
        ({"hosts": ["*"]}, "host"),
        ({"hosts": ["*.org"]}, "host"),
        ({"hosts": ["a.*.org"]}, "host"),
        ({"hosts": ["me@a.org"]}, "host"),
        ({"buckets": ["bucket"]}, "s3://"),
        ({"folders": ["inbox"]}, "absolute"),
        ({"mode": "replace", "modes": ["create-only"]}, "mode"),
        ({"mode": "append"}, "append"),
        ({"host": "a"}, "host"),
    ],
)
def test_a_wrong_configuration_is_refused_with_what_to_correct(
    tmp_path: Path, members: dict[str, object], told: str
) -> None:
    """In one line."""
    one = {"identifier": "s|x", "tenant": "default", **members}
    (tmp_path / "s.json").write_text(json.dumps({"submitters": [one]}))
    with pytest.raises(StoreMisconfigured) as refused:
        Submitters.read(tmp_path / "s.json")
    assert told in str(refused.value) and "\n" not in str(refused.value)


def test_a_submitter_is_configured_once() -> None:
    """Two with one identifier are a mistake."""
    one = Submitter(identifier="s|x", tenant="default")
    with pytest.raises(StoreMisconfigured):
        Submitters([one, one])
