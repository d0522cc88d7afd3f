"""The conditional headers of a request.

https://hl7.org/fhir/R4/http.html#concurrency, https://hl7.org/fhir/R4/http.html#cread. ETags are version ids,
`W/"3"`. FHIR compares them by version id also where HTTP asks for a strong comparison, so `W/"3"` and `"3"` mean the
same. What is not an entity tag at all is refused with 400, but for If-None-Match on reads: a condition that is silently
ignored loses updates. Dates count only where there are no tags, and what is no date counts for nothing, as HTTP says.

https://www.rfc-editor.org/rfc/rfc9110#section-13
"""

from __future__ import annotations

import re

from fhirstore import UnmodifiedSince, Version, VersionIds
from fhirstore.errors import VersionConflict
from server.http.call import Call
from server.http.fields import listed
from server.http.http_dates import second_of
from server.http.refusal import Refused

_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_VERSION = re.compile(r"[1-9][0-9]{0,17}")


def if_match(call: Call) -> VersionIds | UnmodifiedSince | None:
    """The versions that `If-Match` names; without it, the time in `If-Unmodified-Since`. None: neither is there.

    Raises Refused (400).
    """
    expected = _versions(call, b"if-match", "If-Match")
    if expected is None and b"if-unmodified-since" in call.headers:
        second = second_of(call.headers[b"if-unmodified-since"].decode("latin-1"))
        return None if second is None else UnmodifiedSince(second)
    return expected


def if_none_match(call: Call) -> VersionIds | None:
    """The versions that `If-None-Match` names. None: no such header. Raises Refused (400)."""
    return _versions(call, b"if-none-match", "If-None-Match")


def refuse_unexpected(call: Call, version: Version) -> None:
    """Before a version is shown: raises VersionConflict where it is not what If-Match expects, Refused (400)."""
    expected = if_match(call)
    if isinstance(expected, UnmodifiedSince):
        met = version.last_updated in expected
    else:
        met = expected is None or version.version_id in expected
    if not met:
        name = "If-Unmodified-Since" if isinstance(expected, UnmodifiedSince) else "If-Match"
        raise VersionConflict(
            f"This is version {version.version_id}, not what {name} expects", current=version.version_id
        )


def is_unchanged(call: Call, version: Version) -> bool:
    """Does the client have this version already? If-None-Match decides; without it, If-Modified-Since.

    What is no entity tag matches nothing here: then the client gets what it would get anyway (fhirpy sends bare ids).

    Last-Modified tells whole seconds, so who asks by time alone may be told 304 though the resource changed within
    that same second; the ETag is exact.
    """
    headers = call.headers
    if b"if-none-match" in headers:
        return version.version_id in (_named(headers[b"if-none-match"].decode("latin-1")) or VersionIds())
    if b"if-modified-since" in headers:
        since = second_of(headers[b"if-modified-since"].decode("latin-1"))
        return since is not None and version.last_updated // 1000 <= since
    return False


def has_tag(call: Call, tag: str) -> bool:
    """Does `If-None-Match` name this tag, or any? For what has no version, compared weakly."""
    header = call.header(b"if-none-match")
    if header is None:
        return False
    return header.strip() == "*" or tag.removeprefix("W/") in [item.removeprefix("W/") for item in listed(header)]


def idempotency_key(call: Call) -> str | None:
    """The Idempotency-Key, if the client sent one: 1 to 255 characters."""
    key = call.header(b"idempotency-key")
    if key is not None and not 1 <= len(key) <= 255:
        raise Refused(400, "Idempotency-Key must have 1 to 255 characters")
    return key


def _versions(call: Call, header: bytes, name: str) -> VersionIds | None:
    text = call.header(header)
    if text is None:
        return None
    named = _named(text)
    if named is None:
        raise Refused(400, f'{name} must be *, or ETags like W/"3", separated by commas', code="value")
    return named


def _named(text: str) -> VersionIds | None:
    """The versions that a list of entity tags names; None where it is no such list."""
    if text.strip() == "*":
        return VersionIds(any=True)
    tags = [_TAG.fullmatch(item) for item in listed(text)]
    values = [tag[1] for tag in tags if tag is not None]
    if not tags or len(values) < len(tags):
        return None
    # A tag that is none of ours names no version, which is not the same as no condition.
    return VersionIds(frozenset(int(value) for value in values if _VERSION.fullmatch(value)))
