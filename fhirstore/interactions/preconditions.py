"""Preconditions: what a client requires of the current version before it is changed or shown.

One grammar for the HTTP headers `If-Match`, `If-None-Match`, `If-Unmodified-Since`, `If-Modified-Since`, for the
elements of the same names in `Bundle.entry.request`, and for the arguments of the library's methods. An entity tag
contains a version id: `W/"3"`. FHIR compares by version id also where HTTP asks for a strong comparison, so `W/"3"`
and `"3"` mean the same.

https://hl7.org/fhir/R4/http.html#concurrency · https://hl7.org/fhir/R4/http.html#cread ·
https://www.rfc-editor.org/rfc/rfc9110#section-13.1 · https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3
"""

from __future__ import annotations

import re
from calendar import timegm
from dataclasses import dataclass
from datetime import date
from email.utils import parsedate_tz
from typing import TypeAlias

from fhirstore.errors import InvalidResource, VersionConflict
from fhirstore.fhir.times import parse_instant, period
from fhirstore.format.record import Record

# entity-tag = [ "W/" ] DQUOTE *etagc DQUOTE, where an etagc is %x21 / %x23-7E / obs-text: no space, no escape
_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*+"'
_TAGS = re.compile(rf"[ \t,]*+{_TAG}(?:[ \t]*+,[ \t,]*+{_TAG})*+[ \t,]*+")
_OPAQUE_TAG = re.compile(r'"([^"]*)"')
_VERSION_ID = re.compile(r"[1-9][0-9]{0,17}")
_LONGEST_DATE = 64  # characters


@dataclass(frozen=True, slots=True)
class VersionIds:
    """Some versions of a resource, or `any` (`*`): whichever version is current, if the resource exists."""

    ids: frozenset[int] = frozenset()
    any: bool = False

    @classmethod
    def parse(cls, text: str) -> VersionIds:
        """Reads `*`, or entity tags separated by commas. Raises ValueError for anything else.

        An entity tag that contains no version id matches no version; so the condition is never met, but it is one.
        """
        if text.strip(" \t") == "*":
            return cls(any=True)
        return cls(frozenset(int(tag) for tag in entity_tags(text) if _VERSION_ID.fullmatch(tag)))

    def __contains__(self, version_id: int) -> bool:
        return self.any or version_id in self.ids

    def __str__(self) -> str:
        return "*" if self.any else "version " + (" or ".join(str(id_) for id_ in sorted(self.ids)) or "ids of others")


@dataclass(frozen=True, slots=True)
class UnmodifiedSince:
    """Any version that was written by the end of this `second` (of the epoch), the resolution of HTTP dates.

    Weaker than a version id: a change within that second goes unnoticed.
    """

    second: int

    @classmethod
    def parse(cls, text: str) -> UnmodifiedSince:
        """Reads an HTTP date, in any of its three forms. Raises ValueError.

        https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7
        """
        found = parsedate_tz(text) if len(text) <= _LONGEST_DATE and text.isascii() else None
        if found is None:
            raise ValueError("not an HTTP date")
        year, month, day, hour, minute, second, *_, offset = found
        date(year, month, day)  # raises ValueError where the month has no such day
        if not (0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second <= 60):
            raise ValueError("not an HTTP date")
        return cls(timegm((year, month, day, hour, minute, second)) - (offset or 0))  # asctime's form names no zone

    def __contains__(self, last_updated: int) -> bool:
        """`last_updated`: epoch ms."""
        return last_updated // 1000 <= self.second


IfMatch: TypeAlias = int | str | VersionIds | UnmodifiedSince | None
"""What a caller gives as `if_match`: a version id (`3`, `"3"`), entity tags (`'W/"3"'`, `"*"`), or one of the values
above; None: no condition."""

IfNoneMatch: TypeAlias = int | str | VersionIds | None
"""What a caller gives as `if_none_match`; as `IfMatch`, but for the time."""


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What must hold for a write. `if_match`: the current version is one of these, or not newer than that time.
    `if_none_match`: the current version is none of these.

    `skip_unchanged`: a write whose result equals the current version makes no new version.
    """

    if_match: VersionIds | UnmodifiedSince | None = None
    if_none_match: VersionIds | None = None
    skip_unchanged: bool = False

    @property
    def name_a_version(self) -> bool:
        """Whether they are about one version of one resource."""
        return self.if_match is not None or self.if_none_match is not None

    def check(self, current: Record | None) -> None:
        """Raises VersionConflict where one does not hold. A tombstone has a version id and a time, but is no `*`."""
        expected, excluded = self.if_match, self.if_none_match
        if expected is None and excluded is None:
            return
        version = current.version if current is not None else 0
        exists = current is not None and not current.deleted
        if isinstance(expected, UnmodifiedSince):
            if current is not None and current.t not in expected:  # without a resource there is no date to compare
                raise _unmet(expected, version)
        elif expected is not None and not (exists if expected.any else version in expected.ids):
            raise _unmet(expected, version)
        if excluded is not None and (exists if excluded.any else version in excluded.ids):
            raise VersionConflict(
                f"If-None-Match names {excluded}, and the current version is {version}", current=version
            )


NO_PRECONDITIONS = Preconditions()


def preconditions(
    if_match: IfMatch = None, if_none_match: IfNoneMatch = None, *, skip_unchanged: bool = False
) -> Preconditions:
    """Returns the preconditions that a caller's arguments state. Raises InvalidResource for a malformed one."""
    if if_match is None and if_none_match is None and not skip_unchanged:
        return NO_PRECONDITIONS
    expected = if_match if isinstance(if_match, UnmodifiedSince) else _version_ids("if_match", if_match)
    return Preconditions(expected, _version_ids("if_none_match", if_none_match), skip_unchanged)


def version_number(value: int | str) -> int:
    """Returns the version id that a caller gives as a number or as text. Raises InvalidResource."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _VERSION_ID.fullmatch(value):
        return int(value)
    raise InvalidResource("A version id is a whole number, like 3 or '3'", code="value")


def entity_tags(text: str) -> list[str]:
    """Returns the opaque tags, without quotes and `W/`, of a list of entity tags. Raises ValueError.

    Empty items of the list are left out: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1.2.
    """
    if not _TAGS.fullmatch(text):
        raise ValueError("not a list of entity tags")
    return _OPAQUE_TAG.findall(text)


def modified_since(text: str) -> int:
    """Returns a FHIR instant, as `ifModifiedSince` of an entry has it, as epoch ms, rounded down. Raises ValueError.

    https://hl7.org/fhir/R4/datatypes.html#instant
    """
    if " " in text:  # which the grammar of URLs takes for a plus sign
        raise ValueError("not an instant")
    parse_instant(text)
    return period(text).start


def _version_ids(name: str, value: int | str | VersionIds | None) -> VersionIds | None:
    if value is None or isinstance(value, VersionIds):
        return value
    try:
        if not isinstance(value, str) or _VERSION_ID.fullmatch(value):
            return VersionIds(frozenset((version_number(value),)))
        return VersionIds.parse(value)
    except (InvalidResource, ValueError):
        form = f"{name} is a version id (3 or '3'), entity tags ('W/\"3\"') or '*'"
        raise InvalidResource(form, code="value") from None


def _unmet(expected: VersionIds | UnmodifiedSince, version: int) -> VersionConflict:
    now = f"the current version is {version}" if version else "the resource does not exist"
    if isinstance(expected, UnmodifiedSince):
        return VersionConflict(f"The resource was modified after If-Unmodified-Since; {now}", current=version)
    names = "any version" if expected.any else str(expected)
    return VersionConflict(f"If-Match names {names}, but {now}", current=version)
