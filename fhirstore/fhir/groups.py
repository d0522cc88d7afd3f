"""The members of a Group, as the resource lists them.

Traits (`characteristic`) describe the members that an actual group lists; they add none and remove none. A group that
is only defined by its traits, or by an extension that changes its meaning, is refused: its members are not known here.

https://hl7.org/fhir/R4/group.html · https://hl7.org/fhir/R5/group.html · https://hl7.org/fhir/uv/bulkdata/group.html
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from fhirstore.errors import Unsupported
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.references import literal, target
from fhirstore.fhir.times import span


@dataclass(frozen=True, slots=True, repr=False)
class Membership:
    """The ids of the patients in a group, and of the groups whose members are members too.

    `unresolved`: the number of members that name no resource of this server, by a logical reference for instance.
    Members of other types are left out.
    """

    patients: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    unresolved: int = 0


def group_members(resource: JsonObject, *, at: int, bases: Collection[str] = ()) -> Membership:
    """Returns the members of a Group at a time. A group that lists none and has no traits has none.

    Left out are those who are inactive, and those whose period has ended by then or has not begun. `at`: epoch ms.
    `bases`: base URLs of this server, each with a slash at the end. Raises Unsupported for a group whose members are
    not listed.
    """
    listed = resource.get("member")
    members = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    _refuse_unlisted(resource, members)
    patients, groups, unresolved = set[str](), set[str](), 0
    for member in members:
        if member.get("inactive") is True or not _belongs(member.get("period"), at):
            continue
        named = target(literal(member.get("entity")))
        if named is None or (named[0] and named[0] not in bases):
            unresolved += 1
        elif named[1] == "Patient":
            patients.add(named[2])
        elif named[1] == "Group":
            groups.add(named[2])
    return Membership(frozenset(patients), frozenset(groups), unresolved)


def _refuse_unlisted(group: JsonObject, members: list[JsonObject]) -> None:
    if group.get("modifierExtension") or any(member.get("modifierExtension") for member in members):
        raise Unsupported(
            "The Group has a modifier extension, such as a member filter, which is not evaluated; its members are not"
            " known",
            expression=("Group.modifierExtension",),
        )
    if group.get("actual") is False or group.get("membership") not in (None, "enumerated"):
        raise Unsupported(
            "The Group is defined by its characteristics, which are not evaluated; only a group that lists its members"
            " has members here",
            expression=("Group.actual",),
        )
    if group.get("characteristic") and not members:
        raise Unsupported(
            "The Group has characteristics and lists no members; characteristics are not evaluated",
            expression=("Group.member",),
        )


def _belongs(period: object, at: int) -> bool:
    """Returns whether the period, if there is one, includes that time. A malformed end or start is ignored."""
    if not isinstance(period, dict):
        return True
    try:
        start, end = period.get("start"), period.get("end")
        if isinstance(start, str) and at < span(start)[0]:
            return False
        return not isinstance(end, str) or at < span(end)[1]
    except ValueError:
        return True
