"""The Parameters of $presign-upload and $complete-upload, and those that answer.

https://hl7.org/fhir/R4/parameters.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from fhirstore import Upload, UploadRequest, instant
from fhirstore.errors import InvalidResource, Issue
from fhirstore.fhir import json
from fhirstore.fhir.json import JsonObject, NumberLiteral
from server.content.body import as_json, raw_body
from server.http.call import Call
from server.http.outcome import operation_outcome
from server.http.prefer import is_lenient

Parameter = dict[str, object]

_MOST = 64 * 1024  # bytes of the Parameters
_LONGEST_NUMBER = 18  # digits
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_NUMBERS = ("valueInteger", "valueUnsignedInt", "valuePositiveInt", "valueDecimal", "valueInteger64", "valueString")
_TEXTS = ("valueString", "valueCode", "valueId", "valueUri")
_BEGIN: Mapping[str, tuple[str, ...]] = {
    "contentType": _TEXTS,
    "method": _TEXTS,
    "size": _NUMBERS,
    "maxSize": _NUMBERS,
    "sha256": _TEXTS,
    "securityContext": ("valueReference", *_TEXTS),
    "expiresIn": _NUMBERS,
    "partSize": _NUMBERS,
}
_COMPLETE: Mapping[str, tuple[str, ...]] = {"uploadId": _TEXTS, "sha256": _TEXTS, "size": _NUMBERS}


async def asked_upload(call: Call) -> UploadRequest:
    """Returns what $presign-upload is asked. Raises InvalidResource, MalformedContent, Refused (415)."""
    given = await _given(call, _BEGIN)
    expiry = _number(given, "expiresIn")
    if expiry is not None and expiry > call.settings.upload_expiry:
        raise InvalidResource(
            f"expiresIn is more than {call.settings.upload_expiry} seconds (FHIRSTORE_UPLOAD_EXPIRY)", code="value"
        )
    if "contentType" not in given:
        raise InvalidResource("contentType is needed", code="required")
    return UploadRequest(
        content_type=given["contentType"],
        method=given.get("method", "put"),
        size=_number(given, "size"),
        most=_number(given, "maxSize"),
        sha256=given.get("sha256"),
        security_context=given.get("securityContext"),
        expires_in=call.settings.upload_expiry if expiry is None else expiry,
        part_size=_number(given, "partSize"),
    )


async def asked_completion(call: Call) -> tuple[str, str | None, int | None]:
    """Returns the id of the upload, and SHA-256 and size, where said, that $complete-upload is asked for.

    A SHA-256 that is none is refused here: a completion with another SHA-256 removes what was sent.
    """
    given = await _given(call, _COMPLETE)
    if "uploadId" not in given:
        raise InvalidResource("uploadId is needed", code="required")
    sha256 = given.get("sha256")
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise InvalidResource("sha256 must be 64 hexadecimal digits", code="value")
    return given["uploadId"], sha256, _number(given, "size")


def parameters_of(parameters: Iterable[Parameter]) -> bytes:
    """Returns the Parameters resource as JSON."""
    return msgspec.json.encode({"resourceType": "Parameters", "parameter": list(parameters)})


def pair(name: str, first: str, second: str) -> Parameter:
    """Returns a parameter of a name and a value: a header, or a field of a form."""
    return {
        "name": name,
        "part": [{"name": "name", "valueString": first}, {"name": "value", "valueString": second}],
    }


def facts_of(upload: Upload) -> list[Parameter]:
    """Returns what is known of an upload."""
    facts: list[Parameter] = [
        {"name": "uploadId", "valueString": upload.id},
        {"name": "status", "valueCode": upload.status},
        {"name": "method", "valueCode": upload.method},
        {"name": "contentType", "valueCode": upload.content_type},
        {"name": "maxSize" if upload.size is None else "size", "valueDecimal": upload.most},
        {"name": "expires", "valueInstant": instant(upload.expires)},
        {"name": "completeBy", "valueInstant": instant(upload.complete_by)},
    ]
    if upload.part_size:
        facts.append({"name": "partSize", "valueDecimal": upload.part_size})
    if upload.found is not None:
        facts.append({"name": "sha256", "valueString": upload.found[1]})
    if upload.binary is not None:
        facts.append({"name": "binary", "valueReference": {"reference": f"Binary/{upload.binary}"}})
    if upload.issue is not None:
        outcome = operation_outcome([Issue(*upload.issue)])
        facts.append({"name": "outcome", "resource": msgspec.Raw(outcome)})
    return facts


async def _given(call: Call, known: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Returns the values in the body by name, as text."""
    resource = json.parse(await as_json(call, await raw_body(call, most=_MOST)))
    if resource.get("resourceType") != "Parameters":
        raise InvalidResource("The body must be a Parameters resource", code="invalid")
    listed = resource.get("parameter", [])
    if not isinstance(listed, list):
        raise InvalidResource("Parameters.parameter must be a list", code="structure")
    found: dict[str, str] = {}
    for n, parameter in enumerate(listed):
        at = (f"Parameters.parameter[{n}]",)
        name = parameter.get("name") if isinstance(parameter, Mapping) else None
        if not isinstance(name, str):
            raise InvalidResource("A parameter has no name", expression=at, code="required")
        if name not in known:
            if is_lenient(call):
                continue
            raise InvalidResource(f"There are the parameters {', '.join(known)}", expression=at, code="not-supported")
        if name in found:
            raise InvalidResource(f"Give {name} once", expression=at, code="value")
        text = _text(parameter, known[name])
        if text is None:
            raise InvalidResource(f"{name} needs a value: one of {', '.join(known[name])}", expression=at, code="value")
        found[name] = text
    return found


def _text(parameter: JsonObject, members: tuple[str, ...]) -> str | None:
    """Returns the value of a parameter as text; None where it has none of these."""
    for member in members:
        value = parameter.get(member)
        if member == "valueReference" and isinstance(value, Mapping):
            value = value.get("reference")
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, str) and value:
            return value
        if isinstance(value, NumberLiteral):
            return bytes(value).decode("ascii")
        if isinstance(value, int):
            return str(value)
    return None


def _number(given: Mapping[str, str], name: str) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER):
        raise InvalidResource(f"{name} is a whole number", code="value")
    return int(text)
