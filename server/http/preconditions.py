"""The conditional headers of a request; their grammar is `VersionIds.parse` and `UnmodifiedSince.parse`.

https://hl7.org/fhir/R4/http.html#concurrency, https://hl7.org/fhir/R4/http.html#cread. A header that is no list of
entity tags is refused with 400, since a condition that is silently ignored loses updates; If-None-Match on reads is the
exception. Dates count only without entity tags, and a malformed date is ignored, as HTTP says.

https://www.rfc-editor.org/rfc/rfc9110#section-13
"""

from __future__ import annotations

from fhirstore import UnmodifiedSince, Version, VersionIds, entity_tags
from fhirstore.errors import VersionConflict
from server.http.call import Call
from server.http.refusal import Refused


def if_match(call: Call) -> VersionIds | UnmodifiedSince | None:
    """The versions that `If-Match` names; without it, the time in `If-Unmodified-Since`. None: neither is there.

    Raises Refused (400).
    """
    expected = _versions(call, b"if-match", "If-Match")
    if expected is None and b"if-unmodified-since" in call.headers:
        return _time(call.headers[b"if-unmodified-since"])
    return expected


def if_none_match(call: Call) -> VersionIds | None:
    """The versions that `If-None-Match` names. None: no such header. Raises Refused (400)."""
    return _versions(call, b"if-none-match", "If-None-Match")


def refuse_unexpected(call: Call, version: Version) -> None:
    """Before a version is shown: raises VersionConflict where it is not what If-Match expects, Refused (400)."""
    expected = if_match(call)
    if isinstance(expected, UnmodifiedSince):
        met = version.last_updated_ms in expected
    else:
        met = expected is None or version.version_id in expected
    if not met:
        name = "If-Unmodified-Since" if isinstance(expected, UnmodifiedSince) else "If-Match"
        raise VersionConflict(
            f"This is version {version.version_id}, not what {name} expects", current=version.version_id
        )


def is_unchanged(call: Call, version: Version) -> bool:
    """Whether the client has this version already: by If-None-Match; without it, by If-Modified-Since.

    A malformed If-None-Match is ignored, and the client gets the resource (fhirpy sends bare ids). Last-Modified has
    whole seconds, so by time alone the answer may be 304 though the resource changed within that same second.
    """
    headers = call.headers
    if b"if-none-match" in headers:
        try:
            return version.version_id in VersionIds.parse(headers[b"if-none-match"].decode("latin-1"))
        except ValueError:
            return False
    if b"if-modified-since" in headers:
        since = _time(headers[b"if-modified-since"])
        return since is not None and version.last_updated_ms in since
    return False


def has_tag(call: Call, tag: str) -> bool:
    """Whether `If-None-Match` names this opaque tag, or any. For resources without versions; compared weakly."""
    header = call.header(b"if-none-match")
    if header is None:
        return False
    try:
        return header.strip() == "*" or tag in entity_tags(header)
    except ValueError:
        return False


def idempotency_key(call: Call) -> str | None:
    """The Idempotency-Key, if the client sent one: 1 to 255 characters."""
    key = call.header(b"idempotency-key")
    if key is not None and not 1 <= len(key) <= 255:
        raise Refused(400, "Idempotency-Key must have 1 to 255 characters")
    return key


def _versions(call: Call, header: bytes, name: str) -> VersionIds | None:
    text = call.header(header)
    try:
        return None if text is None else VersionIds.parse(text)
    except ValueError:
        raise Refused(400, f'{name} must be *, or ETags like W/"3", separated by commas', code="value") from None


def _time(header: bytes) -> UnmodifiedSince | None:
    """The time of a header; None where it is no HTTP date."""
    try:
        return UnmodifiedSince.parse(header.decode("latin-1"))
    except ValueError:
        return None
