"""The conditions of an entry, as values: ifMatch, ifNoneMatch, ifModifiedSince.

They have the grammar of the HTTP headers of the same names; ifModifiedSince is an instant.
https://hl7.org/fhir/R4/bundle-definitions.html#Bundle.entry.request.ifMatch · https://hl7.org/fhir/R4/http.html#cread
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from fhirstore.bundles.entries import Entry
from fhirstore.errors import InvalidResource
from fhirstore.interactions.conditions import VersionIds
from fhirstore.version import Version

_TAGS = re.compile(r'\s*(?:W/)?"[^"]*"\s*(?:,\s*(?:W/)?"[^"]*"\s*)*')
_TAG = re.compile(r'"([^"]*)"')
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


def if_match(entry: Entry) -> VersionIds | None:
    """`ifMatch`. Raises InvalidResource."""
    return _tags(entry, "ifMatch", entry.if_match)


def if_none_match(entry: Entry) -> VersionIds | None:
    """`ifNoneMatch`. Raises InvalidResource."""
    return _tags(entry, "ifNoneMatch", entry.if_none_match)


def not_modified(entry: Entry, version: Version) -> bool:
    """Is a read of `version` answered 304? ifNoneMatch goes before ifModifiedSince. Raises InvalidResource."""
    tags = if_none_match(entry)
    if tags is not None:
        return version.version_id in tags
    if entry.if_modified_since is None:
        return False
    return version.last_updated <= _instant(entry, entry.if_modified_since)


def _tags(entry: Entry, name: str, text: str | None) -> VersionIds | None:
    if text is None:
        return None
    if text.strip() == "*":
        return VersionIds(any=True)
    if not _TAGS.fullmatch(text):
        raise InvalidResource(f'{name} must be like W/"3", or *', code="value", expression=entry.at(name))
    return VersionIds(frozenset(int(tag) for tag in _TAG.findall(text) if _NUMBER.fullmatch(tag)))


def _instant(entry: Entry, text: str) -> int:
    """Epoch ms."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        where = entry.at("ifModifiedSince")
        raise InvalidResource(
            "ifModifiedSince must be an instant, like 2026-11-20T04:47:24.123Z", code="value", expression=where
        )
    return int((when - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
