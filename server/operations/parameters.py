"""The parameters of an operation that reads: those of the URL, or those of a Parameters resource in the body.

https://hl7.org/fhir/R4/operations.html#request
"""

from __future__ import annotations

from collections.abc import Mapping

from fhirstore import Pairs
from fhirstore.errors import InvalidResource
from fhirstore.fhir import json
from fhirstore.fhir.json import JsonObject
from server.content.body import as_json, raw_body
from server.http.call import Call

_MOST = 1_000  # parameters of one request


async def operation_pairs(call: Call) -> Pairs:
    """Returns the parameters as pairs of name and text, those of the URL first. The body of a POST may be empty.

    Raises InvalidResource, MalformedContent, Refused (415).
    """
    if call.scope["method"] != "POST":
        return call.query
    body = await raw_body(call, required=False)
    return [*call.query, *(_pairs_of(json.parse(await as_json(call, body))) if body else ())]


def _pairs_of(resource: JsonObject) -> Pairs:
    if resource.get("resourceType") != "Parameters":
        raise InvalidResource("The body must be a Parameters resource", code="invalid")
    listed = resource.get("parameter", [])
    if not isinstance(listed, list) or len(listed) > _MOST:
        raise InvalidResource(f"Parameters.parameter must be a list of up to {_MOST:,}", code="too-long")
    return [_pair(each, f"Parameters.parameter[{number}]") for number, each in enumerate(listed)]


def _pair(parameter: object, at: str) -> tuple[str, str]:
    if not isinstance(parameter, Mapping) or not isinstance(parameter.get("name"), str):
        raise InvalidResource("A parameter has no name", code="required", expression=(at,))
    values = [value for name, value in parameter.items() if name.startswith("value")]
    text = _text(values[0]) if len(values) == 1 else None
    if text is None:
        wrong = "A parameter must have one value[x] that is text or a number"
        raise InvalidResource(wrong, code="value", expression=(at,))
    return str(parameter["name"]), text


def _text(value: object) -> str | None:
    """Returns the text of a value[x] as a URL has it; None where it has none."""
    if isinstance(value, Mapping):
        code = value.get("code")
        if isinstance(code, str):  # a Coding
            system = value.get("system")
            return f"{system}|{code}" if isinstance(system, str) else code
        value = value.get("reference")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int)) and value != "" else None
