"""Which resource each entry of a transaction writes: its id, assigned up front or found by its criteria.

| entry | no match | one | several |
|---|---|---|---|
| POST with ifNoneExist | created | left as it is, 200 | refused |
| PUT [type]?criteria | created, under the id in the resource if there is one | updated | refused |
| PATCH [type]?criteria | refused | patched | refused |
| DELETE [type]?criteria | nothing to do | deleted | refused |

https://hl7.org/fhir/R4/http.html#ccreate, #cond-update, #3.1.0.7.1
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fhirstore import resources
from fhirstore.bundles.entries import Entry
from fhirstore.bundles.references import Target
from fhirstore.errors import InvalidResource, MultipleMatches, NotFound
from fhirstore.resources import Version


@dataclass(frozen=True, slots=True)
class Planned:
    """An entry that writes, and what it is about.

    `id`: None where there is nothing to do (a delete that matches nothing). `fresh`: the id was made up here.
    `found`: what a conditional create found: it stays as it is.
    """

    entry: Entry
    type: str
    id: str | None
    fresh: bool = False
    found: Version | None = None

    @property
    def writes(self) -> bool:
        return self.id is not None and self.found is None

    @property
    def target(self) -> Target | None:
        """What the entry's fullUrl stands for after the transaction; nothing, if it is deleted."""
        if self.id is None or self.entry.interaction == "delete":
            return None
        if self.found is not None:
            return Target(f"{self.type}/{self.id}", self.found.version_id)
        return Target(f"{self.type}/{self.id}", 1 if self.fresh else None)


def criteria_of(entry: Entry) -> str | None:
    """The criteria of a conditional entry that writes; None: it is not conditional."""
    if not entry.writes:
        return None
    return entry.if_none_exist if entry.interaction == "create" else entry.criteria


def plan_entry(entry: Entry, matches: Sequence[Version], new_id: Callable[[], str]) -> Planned:
    """`matches`: of its criteria, two at most; none where it is not conditional. Raises FhirError."""
    assert entry.type is not None  # noqa: S101 - whatever writes has a type
    member = "ifNoneExist" if entry.interaction == "create" else "url"
    if len(matches) > 1:
        raise MultipleMatches("Several resources match these criteria; be more selective", expression=entry.at(member))
    match = matches[0] if matches else None
    if entry.interaction == "create":
        _content(entry, entry.type)
        if match is not None:
            return Planned(entry, entry.type, match.id, found=match)
        return Planned(entry, entry.type, new_id(), fresh=True)
    if entry.interaction == "update":
        return _update(entry, entry.type, match, new_id)
    if entry.id is None and match is None and entry.interaction == "patch":
        raise NotFound("No resource matches these criteria", expression=entry.at(member))
    return Planned(entry, entry.type, entry.id if match is None else match.id)


def _update(entry: Entry, type_: str, match: Version | None, new_id: Callable[[], str]) -> Planned:
    content = _content(entry, type_)
    if entry.id is not None:
        return Planned(entry, type_, resources.id_for_update(content, type_, entry.id))
    own = content.get("id")
    if match is not None:
        if own is not None and own != match.id:
            raise InvalidResource(
                "The resource that matches the criteria has another id than the one in the body",
                code="invalid",
                expression=(f"{entry.place}.resource.id",),
            )
        return Planned(entry, type_, match.id)
    if own is None:
        return Planned(entry, type_, new_id(), fresh=True)
    return Planned(entry, type_, resources.id_for_update(content, type_, None))


def _content(entry: Entry, type_: str) -> dict[str, object]:
    assert entry.resource is not None  # noqa: S101 - POST and PUT have one
    resources.type_of(entry.resource, type_)
    return entry.resource
