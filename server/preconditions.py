"""The conditional headers of a request.

https://hl7.org/fhir/R4/http.html#concurrency. `If-Match` with one version; what is not built yet is refused with 501,
since a condition that is silently ignored loses updates or makes duplicates.
"""

from __future__ import annotations

import re

from server.call import Call
from server.outcome import Refused

_TAG = re.compile(r'(?:W/)?"(\d{1,18})"')
_ANY_TAG = re.compile(r'(?:W/)?"[^"]*"')


def if_match(call: Call) -> int | None:
    """The version id that `If-Match` names; -1, which no version has, for a tag that is none of ours."""
    header = call.header(b"if-match")
    if header is None:
        return None
    if match := _TAG.fullmatch(header.strip()):
        return int(match[1])
    if _ANY_TAG.fullmatch(header.strip()):
        return -1
    raise Refused(501, 'If-Match is implemented for one version only, like W/"3"; not for lists or *')


def idempotency_key(call: Call) -> str | None:
    """The Idempotency-Key, if the client sent one: 1 to 255 characters."""
    key = call.header(b"idempotency-key")
    if key is not None and not 1 <= len(key) <= 255:
        raise Refused(400, "Idempotency-Key must have 1 to 255 characters")
    return key


def refuse_unbuilt(call: Call, *headers: str) -> None:
    """Refuse conditions of this interaction that are not implemented, rather than ignore them."""
    for name in headers:
        if name.lower().encode() in call.headers:
            raise Refused(501, f"The header {name} is not implemented for this interaction; leave it out")
