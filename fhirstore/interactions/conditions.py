"""What a client may require of the current version before it is changed or shown, as values: If-Match and its kin.

https://hl7.org/fhir/R4/http.html#concurrency, https://www.rfc-editor.org/rfc/rfc9110#section-13.1
"""

from __future__ import annotations

from dataclasses import dataclass

from fhirstore.errors import VersionConflict
from fhirstore.format.record import Record


@dataclass(frozen=True, slots=True)
class VersionIds:
    """Some versions of a resource, or `any` (`*`): whichever is current, if the resource exists."""

    ids: frozenset[int] = frozenset()
    any: bool = False

    def __contains__(self, version_id: int) -> bool:
        return self.any or version_id in self.ids

    def __str__(self) -> str:
        return "*" if self.any else "version " + (" or ".join(str(id_) for id_ in sorted(self.ids)) or "ids of others")


@dataclass(frozen=True, slots=True)
class UnmodifiedSince:
    """Any version that was there by the end of this `second` (of the epoch): If-Unmodified-Since, with HTTP's clock.

    Weaker than a version id: what changes within that second goes unnoticed.
    """

    second: int

    def __contains__(self, last_updated: int) -> bool:
        """`last_updated`: epoch ms."""
        return last_updated // 1000 <= self.second


IfMatch = int | VersionIds | UnmodifiedSince | None
"""The version, or versions, one of which must be current; or the time it must not be newer than; None: no condition."""


def check(current: Record | None, if_match: IfMatch, if_none_match: VersionIds | None = None) -> None:
    """Raises VersionConflict where a condition does not hold. A tombstone has an id and a time, but is no `*`."""
    if if_match is None and if_none_match is None:
        return
    version = current.version if current is not None else 0
    exists = current is not None and not current.deleted
    if isinstance(if_match, UnmodifiedSince):
        if current is not None and current.t not in if_match:  # what never was has no date: the condition is ignored
            raise unmet(if_match, version)
    elif if_match is not None:
        wanted = VersionIds(frozenset((if_match,))) if isinstance(if_match, int) else if_match
        if not (exists if wanted.any else version in wanted.ids):
            raise unmet(wanted, version)
    if if_none_match is not None and (exists if if_none_match.any else version in if_none_match.ids):
        raise VersionConflict(
            f"If-None-Match names {if_none_match}, and the current version is {version}", current=version
        )


def unmet(expected: VersionIds | UnmodifiedSince, version: int) -> VersionConflict:
    """What is raised where If-Match, or If-Unmodified-Since, does not hold. `version`: the current one, 0 for none."""
    now = f"the current version is {version}" if version else "the resource does not exist"
    if isinstance(expected, UnmodifiedSince):
        return VersionConflict(f"The resource was modified after If-Unmodified-Since; {now}", current=version)
    names = "any version" if expected.any else str(expected)
    return VersionConflict(f"If-Match names {names}, but {now}", current=version)
