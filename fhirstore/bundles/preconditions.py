"""The preconditions of a Bundle entry: `ifMatch`, `ifNoneMatch`, `ifModifiedSince`.

The first two have the grammar of the HTTP headers; `ifModifiedSince` is an instant, not an HTTP date.
https://hl7.org/fhir/R4/bundle-definitions.html#Bundle.entry.request.ifMatch · https://hl7.org/fhir/R4/http.html#cread
"""

from __future__ import annotations

from fhirstore.bundles.entries import Entry
from fhirstore.errors import InvalidResource
from fhirstore.interactions.preconditions import Preconditions, VersionIds, modified_since
from fhirstore.interactions.preconditions import preconditions as stated
from fhirstore.version import Version


def preconditions(entry: Entry, *, skip_unchanged: bool = False) -> Preconditions:
    """Returns the preconditions of an entry that writes. Raises InvalidResource."""
    return stated(if_match(entry), if_none_match(entry), skip_unchanged=skip_unchanged)


def if_match(entry: Entry) -> VersionIds | None:
    """Returns the versions that `ifMatch` names. Raises InvalidResource."""
    return _version_ids(entry, "ifMatch", entry.if_match)


def if_none_match(entry: Entry) -> VersionIds | None:
    """Returns the versions that `ifNoneMatch` names. Raises InvalidResource."""
    return _version_ids(entry, "ifNoneMatch", entry.if_none_match)


def not_modified(entry: Entry, version: Version) -> bool:
    """Whether a read of `version` is answered 304. `ifNoneMatch` goes before `ifModifiedSince`.

    Raises InvalidResource.
    """
    tags = if_none_match(entry)
    if tags is not None:
        return version.version_id in tags
    if entry.if_modified_since is None:
        return False
    try:
        return version.last_updated_ms <= modified_since(entry.if_modified_since)
    except ValueError:
        where = entry.at("ifModifiedSince")
        raise InvalidResource(
            "ifModifiedSince must be an instant, like 2026-11-20T04:47:24.123Z", code="value", expression=where
        ) from None


def _version_ids(entry: Entry, name: str, text: str | None) -> VersionIds | None:
    try:
        return None if text is None else VersionIds.parse(text)
    except ValueError:
        raise InvalidResource(f'{name} must be like W/"3", or *', code="value", expression=entry.at(name)) from None
