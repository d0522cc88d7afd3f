"""What a client may require of the current version before it is changed: If-Match and If-None-Match, as values.

https://hl7.org/fhir/R4/http.html#concurrency, https://www.rfc-editor.org/rfc/rfc9110#section-13.1
"""

from __future__ import annotations

from dataclasses import dataclass

from fhirstore.errors import VersionConflict
from fhirstore.record import Record


@dataclass(frozen=True, slots=True)
class VersionIds:
    """Some versions of a resource, or `any` (`*`): whichever is current, if the resource exists."""

    ids: frozenset[int] = frozenset()
    any: bool = False

    def __contains__(self, version_id: int) -> bool:
        return self.any or version_id in self.ids

    def __str__(self) -> str:
        return "*" if self.any else "version " + (" or ".join(str(id_) for id_ in sorted(self.ids)) or "ids of others")


IfMatch = int | VersionIds | None
"""The version, or versions, one of which must be current; None: no condition."""


def check(current: Record | None, if_match: IfMatch, if_none_match: VersionIds | None = None) -> None:
    """Raises VersionConflict where a condition does not hold. A tombstone has a version id, but is no `*`."""
    if if_match is None and if_none_match is None:
        return
    version = current.version if current is not None else 0
    exists = current is not None and not current.deleted
    wanted = VersionIds(frozenset((if_match,))) if isinstance(if_match, int) else if_match
    if wanted is not None and not (exists if wanted.any else version in wanted.ids):
        now = f"the current version is {version}" if version else "the resource does not exist"
        names = "any version" if wanted.any else str(wanted)
        raise VersionConflict(f"If-Match names {names}, but {now}", current=version)
    if if_none_match is not None and (exists if if_none_match.any else version in if_none_match.ids):
        raise VersionConflict(
            f"If-None-Match names {if_none_match}, and the current version is {version}", current=version
        )
