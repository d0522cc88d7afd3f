"""Plans which resource each entry of a transaction writes: its id is assigned in advance, or found by its criteria.

| entry | no match | one | several |
|---|---|---|---|
| POST with ifNoneExist | created, unless another entry's resource matches | left as it is, 200 | refused |
| PUT [type]?criteria | created, under the id in the resource if there is one | updated | refused |
| PATCH [type]?criteria | refused | patched | refused |
| DELETE [type]?criteria | nothing to do | deleted | refused |

A resource that is created or updated on criteria must meet them itself.

https://hl7.org/fhir/R4/http.html#ccreate, #cond-update, #3.1.0.7.1
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fhirstore.bundles.entries import Entry
from fhirstore.bundles.references import Target
from fhirstore.bundles.results import blame
from fhirstore.errors import InvalidResource, MultipleMatches, NotFound
from fhirstore.fhir import json
from fhirstore.interactions import resources
from fhirstore.search.conditional.identifying import Criteria
from fhirstore.search.conditional.unmet_criteria import (
    how_read,
    refuse_undecided,
    refuse_unmet_content,
    refuse_unmet_names,
)
from fhirstore.version import Version


@dataclass(frozen=True, slots=True)
class Planned:
    """An entry that writes, and the resource it writes.

    `id`: None where there is nothing to write (a delete without a match). `fresh`: the id was assigned here. `found`:
    the match of a conditional create, which is left as it is. `criteria`: of a conditional entry. `matched`: this
    resource meets them; otherwise no resource does. `same_as`: the index of the entry that creates the resource which
    is the result of this conditional create, too.
    """

    entry: Entry
    type: str
    id: str | None
    fresh: bool = False
    found: Version | None = None
    criteria: Criteria | None = None
    matched: bool = False
    same_as: int | None = None

    @property
    def writes(self) -> bool:
        return self.id is not None and self.found is None and self.same_as is None

    @property
    def target(self) -> Target | None:
        """The resource that the entry's fullUrl refers to after the transaction; None if it is deleted."""
        if self.id is None or self.entry.interaction == "delete":
            return None
        if self.found is not None:
            return Target(f"{self.type}/{self.id}", self.found.version_id)
        return Target(f"{self.type}/{self.id}", 1 if self.fresh or self.same_as is not None else None)


def criteria_of(entry: Entry) -> str | None:
    """Returns the criteria of a conditional entry that writes; None where it is not conditional."""
    if not entry.writes:
        return None
    return entry.if_none_exist if entry.interaction == "create" else entry.criteria


def plan_entry(
    entry: Entry, matches: Sequence[Version], new_id: Callable[[], str], *, criteria: Criteria | None = None
) -> Planned:
    """Returns the plan of an entry. `matches`: of its `criteria`, if it is conditional. Raises FhirError."""
    assert entry.type is not None  # noqa: S101 - whatever writes has a type
    if len(matches) > 1:
        member = "ifNoneExist" if entry.interaction == "create" else "url"
        text = "Several resources match these criteria; be more selective"
        if entry.interaction == "delete":
            text += ", or delete them by an entry each: an entry of a transaction is about one resource"
        raise MultipleMatches(text, expression=entry.at(member))
    if matches:
        return _matching(entry, entry.type, matches[0], criteria)
    if entry.interaction == "create":
        _content(entry, entry.type)
        return _meeting(Planned(entry, entry.type, new_id(), fresh=True, criteria=criteria))
    if entry.interaction == "update":
        content = _content(entry, entry.type)
        if entry.id is None and content.get("id") is None:
            return _meeting(Planned(entry, entry.type, new_id(), fresh=True, criteria=criteria))
        id_ = resources.id_for_update(content, entry.type, entry.id)
        return _meeting(Planned(entry, entry.type, id_, criteria=criteria))
    if entry.id is None and entry.interaction == "patch":
        read = "" if criteria is None else f"; {how_read(criteria)}"
        raise NotFound(f"No resource matches these criteria{read}", expression=entry.at("url"))
    return Planned(entry, entry.type, entry.id)


def _matching(entry: Entry, type_: str, match: Version, criteria: Criteria | None) -> Planned:
    if entry.interaction == "create":
        _content(entry, type_)
        return Planned(entry, type_, match.id, found=match, criteria=criteria, matched=True)
    if entry.interaction == "update":
        own = _content(entry, type_).get("id")
        if own is not None and own != match.id:
            raise InvalidResource(
                "The id in the body is not that of the resource which matches",
                code="invalid",
                expression=(f"{entry.place}.resource.id",),
            )
        return _meeting(Planned(entry, type_, match.id, criteria=criteria, matched=True))
    return Planned(entry, type_, match.id, criteria=criteria, matched=True)


def _meeting(plan: Planned) -> Planned:
    """Returns the plan. Raises InvalidResource where its resource cannot meet its criteria, whatever its links become
    (`refuse_unmet_links` judges the rest)."""
    if plan.criteria is not None and plan.id is not None:
        if not plan.matched:
            refuse_undecided(plan.criteria)
        refuse_unmet_names(plan.criteria, plan.type, plan.id, json.encode(plan.entry.resource or {}))
    return plan


def refuse_unmet_links(planned: Iterable[Planned]) -> None:
    """Raises InvalidResource for a resource whose content, with its links resolved, does not meet its criteria."""
    for plan in planned:
        if plan.criteria is not None and plan.writes and plan.entry.interaction in ("create", "update"):
            try:
                refuse_unmet_content(plan.criteria, plan.type, {**(plan.entry.resource or {}), "id": plan.id})
            except InvalidResource as error:
                raise blame(error, plan.entry.place) from None


def _content(entry: Entry, type_: str) -> dict[str, object]:
    assert entry.resource is not None  # noqa: S101 - POST and PUT have one
    if entry.resource.get("resourceType") != type_:
        raise InvalidResource(
            f"resourceType is not {type_}, which the request is for",
            code="invalid",
            expression=(f"{entry.place}.resource.resourceType",),
        )
    return entry.resource
