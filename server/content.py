"""Bodies and media types: what a request may carry, what it may ask for.

https://hl7.org/fhir/R4/http.html#mime-type. FHIR JSON both ways; other formats are refused in so many words.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from fhirstore.errors import ContentTooLarge, InvalidResource
from server.call import Call
from server.outcome import Refused

_JSON = frozenset({"application/fhir+json", "application/json", "text/json"})
_ACCEPTED = _JSON | {"*/*", "application/*"}
_ACCEPTED_AS_IS = frozenset(name.encode() for name in _ACCEPTED)
_JSON_FORMATS = _JSON | {"json"}
_ONLY_JSON = "This server speaks FHIR JSON: application/fhir+json or application/json"
_NOT_YET = ("_summary", "_elements", "_pretty")


def check_accept(scope: Scope, headers: Mapping[bytes, bytes]) -> None:
    """Refuse (406) a client that accepts no JSON, by `Accept` or, which goes first, `_format`."""
    wanted: str | None = None
    if scope["query_string"]:
        query = QueryParams(scope["query_string"])
        for name in _NOT_YET:
            if name in query:
                raise Refused(501, f"{name} is not implemented; leave it out")
        wanted = query.get("_format")
        if wanted is not None:
            if wanted.partition(";")[0].strip().replace(" ", "+") not in _JSON_FORMATS:
                raise Refused(406, f"_format asks for another format. {_ONLY_JSON}")
            return
    accept = headers.get(b"accept")
    if accept is None or accept in _ACCEPTED_AS_IS:
        return
    for choice in accept.decode("latin-1").split(","):
        media_type, *parameters = (part.strip().lower() for part in choice.split(";"))
        refused = any(p.replace(" ", "").rstrip("0.") in ("q=", "q") for p in parameters if p.startswith("q"))
        if media_type in _ACCEPTED and not refused:
            return
    raise Refused(406, f"The Accept header allows no format of this server. {_ONLY_JSON}")


async def resource_body(call: Call) -> bytes:
    """The body, if it is JSON by its Content-Type and within the limit (`Settings.max_body`)."""
    limit = call.settings.max_body
    content_type = call.header(b"content-type") or ""
    if content_type not in _JSON:
        media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
        if media_type not in _JSON:
            raise Refused(415, f"The Content-Type is not one this server reads. {_ONLY_JSON}")
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name == "charset" and value.strip('"') not in ("utf-8", "utf8", "us-ascii"):
                raise Refused(415, "FHIR JSON is UTF-8; send charset=utf-8 or leave it out")
    if call.headers.get(b"content-encoding", b"identity") != b"identity":
        raise Refused(415, "Compressed request bodies are not implemented; send the body as it is")
    length = call.header(b"content-length")
    if length is not None and length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await call.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        more = message.get("more_body", False)
    if not size:
        raise InvalidResource("The request has no body; send the resource as FHIR JSON", code="required")
    return b"".join(chunks)


def _too_large(limit: int) -> ContentTooLarge:
    return ContentTooLarge(f"The body is over the limit of {limit:,} bytes (FHIRSTORE_MAX_BODY_BYTES)")
