"""Reads the Parameters resources of `$bulk-submit` and `$bulk-submit-status`.

Providers use the words of several drafts; these are read alike: `fhirBaseUrl` and `FHIRBaseUrl`; `valueUrl`,
`valueUri`, `valueCanonical` and `valueString` for a URL; `complete` and `aborted` for `completed` and `stopped`;
`submissionStatus` as a Coding, a code or a CodeableConcept; `metadata` and `import` as `parameterUrl` with
`parameterValue`, or as a part whose name is the URL. A parameter of no draft is refused by name.

https://hl7.org/fhir/uv/bulkdata/OperationDefinition-bulk-submit.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from fhirstore.errors import InvalidResource
from fhirstore.fhir.json import JsonObject
from fhirstore.submit.request import MODE_URL, SubmitRequest
from fhirstore.submit.source import EncryptionKey
from fhirstore.submit.submitters import MODES, Mode

NDJSON = ("application/fhir+ndjson", "application/ndjson", "ndjson")
"""The formats of files, and their abbreviations."""

_STATUS = {"complete": "completed", "aborted": "stopped"}
_JWE = ("http://hl7.org/fhir/uv/bulkdata/ValueSet/file-encryption-type", "jwe")
_RENAMED = {"FHIRBaseUrl": "fhirBaseUrl"}
_SUBMIT = frozenset(
    (
        "submitter",
        "submissionId",
        "submissionStatus",
        "manifestUrl",
        "replacesManifestUrl",
        "outputFormat",
        "fhirBaseUrl",
        "fileRequestHeader",
        "oauthMetadataUrl",
        "fileEncryptionKey",
        "metadata",
        "import",
    )
)
_STATUS_REQUEST = frozenset(("submitter", "submissionId", "_outputFormat"))
_REPEATED = frozenset(("fileRequestHeader", "oauthMetadataUrl", "metadata", "import"))
_TEXTS = ("valueUrl", "valueUri", "valueCanonical", "valueString", "valueCode", "valueId")


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """What a request to `$bulk-submit-status` says. `submitter`: `system|value`."""

    submitter: str
    submission_id: str


def read_submit(resource: JsonObject, *, release: str = "4.0") -> SubmitRequest:
    """Returns what the Parameters of `$bulk-submit` say; `SubmitRequest.check` checks the rest.

    `release`: of FHIR, which `outputFormat` may name. Raises InvalidResource with the place.
    """
    given = _Given(resource, _SUBMIT)
    status = given.code("submissionStatus")
    output_format = given.text("outputFormat")
    if output_format is not None:
        _check_format("outputFormat", output_format, release)
    mode: Mode | None = None
    for at, url, value in given.pairs("import"):
        if url != MODE_URL or value not in MODES:
            told = f"Of import parameters, only {MODE_URL} is known here, with one of {', '.join(MODES)}"
            raise InvalidResource(told, code="not-supported", expression=(at,))
        mode = value
    return SubmitRequest(
        submitter=given.identifier("submitter"),
        submission_id=given.required_text("submissionId"),
        status=None if status is None else _STATUS.get(status, status),
        manifest_url=given.text("manifestUrl"),
        replaces=given.text("replacesManifestUrl"),
        fhir_base_url=given.text("fhirBaseUrl"),
        output_format=output_format,
        headers=tuple(_headers(given)),
        oauth=tuple(given.texts("oauthMetadataUrl")),
        encryption=_encryption(given),
        metadata=tuple((url, value) for _, url, value in given.pairs("metadata")),
        mode=mode,
    )


def read_submit_status(resource: JsonObject, *, release: str = "4.0") -> StatusRequest:
    """Returns what the Parameters of `$bulk-submit-status` say. Raises InvalidResource with the place."""
    given = _Given(resource, _STATUS_REQUEST)
    output_format = given.text("_outputFormat")
    if output_format is not None:
        _check_format("_outputFormat", output_format, release)
    return StatusRequest(given.identifier("submitter"), given.required_text("submissionId"))


def _check_format(name: str, text: str, release: str) -> None:
    media_type, *options = (part.strip() for part in text.split(";"))
    versions = [option.partition("=")[2].strip('" ') for option in options if option.startswith("fhirVersion")]
    if media_type.lower() not in NDJSON or any(not version.startswith(release) for version in versions):
        told = f"{name} is {NDJSON[0]} here, of FHIR {release}"
        raise InvalidResource(told, code="not-supported", expression=(_place(name),))


def _headers(given: _Given) -> Iterator[tuple[str, str]]:
    for at, parts in given.groups("fileRequestHeader"):
        name, value = _part_text(parts, "headerName"), _part_text(parts, "headerValue")
        token = name is not None and name.isascii() and name.replace("-", "").replace("_", "").isalnum()
        if name is None or value is None or not token or not (value.isascii() and value.isprintable()):
            told = "fileRequestHeader has headerName and headerValue, as HTTP allows them"
            raise InvalidResource(told, code="value", expression=(at,))
        yield name, value


def _encryption(given: _Given) -> EncryptionKey | None:
    for at, parts in given.groups("fileEncryptionKey"):
        value, coding = _part_text(parts, "value"), _part(parts, "coding").get("valueCoding")
        system, code = _JWE
        if isinstance(coding, dict):
            system, code = str(coding.get("system", system)), str(coding.get("code", ""))
        if value is None or code != "jwe":
            told = "fileEncryptionKey has a value, and of codings jwe alone is supported"
            raise InvalidResource(told, code="not-supported", expression=(at,))
        return EncryptionKey(system, code, value)
    return None


def _part(parts: list[JsonObject], name: str) -> JsonObject:
    return next((part for part in parts if part.get("name") == name), {})


def _part_text(parts: list[JsonObject], name: str) -> str | None:
    return _text_of(_part(parts, name))


def _text_of(parameter: Mapping[str, object]) -> str | None:
    values = (parameter.get(name) for name in _TEXTS)
    return next((value for value in values if isinstance(value, str)), None)


def _place(name: str) -> str:
    return f"Parameters.parameter.where(name='{name}')"


class _Given:
    """The parameters by name."""

    def __init__(self, resource: JsonObject, known: frozenset[str]) -> None:
        if resource.get("resourceType") != "Parameters":
            raise InvalidResource("The body is a Parameters resource", code="invalid", expression=("resourceType",))
        listed = resource.get("parameter", [])
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise InvalidResource("parameter is an array of objects", code="structure", expression=(_parameter(),))
        self._by_name: dict[str, list[tuple[str, JsonObject]]] = {}
        for index, one in enumerate(cast("list[JsonObject]", listed)):
            at, name = _parameter(index), one.get("name")
            name = _RENAMED.get(name, name) if isinstance(name, str) else ""
            if name not in known:
                told = f"This operation has no such parameter; it has {', '.join(sorted(known))}"
                raise InvalidResource(told, code="not-supported", expression=(at,))
            self._by_name.setdefault(name, []).append((at, one))
        for name, several in self._by_name.items():
            if len(several) > 1 and name not in _REPEATED:
                raise InvalidResource(f"{name} is given more than once", code="invalid", expression=(several[1][0],))

    def texts(self, name: str) -> Iterator[str]:
        """Yields the values of a parameter that is a text or a URL."""
        for at, one in self._by_name.get(name, ()):
            text = _text_of(one)
            if text is None:
                raise InvalidResource(f"{name} has a valueUrl or valueString", code="value", expression=(at,))
            yield text

    def text(self, name: str) -> str | None:
        """Returns the value of such a parameter that is given once, or not at all."""
        return next(self.texts(name), None)

    def required_text(self, name: str) -> str:
        """Returns the value of such a parameter that must be given."""
        text = self.text(name)
        if text is None:
            raise InvalidResource(f"{name} is required", code="required", expression=(_place(name),))
        return text

    def identifier(self, name: str) -> str:
        """Returns an Identifier as `system|value`; the system may be empty."""
        for at, one in self._by_name.get(name, ()):
            value = one.get("valueIdentifier")
            if isinstance(value, dict) and isinstance(value.get("value"), str):
                system = value.get("system", "")
                if isinstance(system, str) and "|" not in system:
                    return f"{system}|{value['value']}"
            raise InvalidResource(f"{name} is a valueIdentifier with a value", code="value", expression=(at,))
        raise InvalidResource(f"{name} is required", code="required", expression=(_place(name),))

    def code(self, name: str) -> str | None:
        """Returns the code of a Coding, a CodeableConcept or a code."""
        for at, one in self._by_name.get(name, ()):
            coding = one.get("valueCoding")
            concept = one.get("valueCodeableConcept")
            if isinstance(concept, dict):
                codings = concept.get("coding")
                coding = codings[0] if isinstance(codings, list) and codings else None
            code = coding.get("code") if isinstance(coding, dict) else _text_of(one)
            if not isinstance(code, str):
                raise InvalidResource(f"{name} is a valueCoding with a code", code="value", expression=(at,))
            return code
        return None

    def groups(self, name: str) -> Iterator[tuple[str, list[JsonObject]]]:
        """Yields the place and the parts of a parameter that consists of parts."""
        for at, one in self._by_name.get(name, ()):
            parts = one.get("part")
            if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
                raise InvalidResource(f"{name} has parts", code="structure", expression=(at,))
            yield at, cast("list[JsonObject]", parts)

    def pairs(self, name: str) -> Iterator[tuple[str, str, str]]:
        """Yields place, URL and value of each pair of URL and value, however it is written."""
        for at, parts in self.groups(name):
            url, value = _part_text(parts, "parameterUrl"), _part_text(parts, "parameterValue")
            if url is not None and value is not None:
                yield at, url, value
                continue
            for part in parts:
                called, value = part.get("name"), _text_of(part)
                if not isinstance(called, str) or ":" not in called or value is None:
                    told = f"{name} has parts whose name is an absolute URL, with a value that is a text"
                    raise InvalidResource(told, code="value", expression=(at,))
                yield at, called, value


def _parameter(index: int | None = None) -> str:
    return "Parameters.parameter" if index is None else f"Parameters.parameter[{index}]"
