"""The patients of a Group at the time of a snapshot, those of nested groups included.

https://hl7.org/fhir/uv/bulkdata/group.html
"""

from __future__ import annotations

from fhirstore.batched import batched
from fhirstore.commit.limits import Limits
from fhirstore.commit.messages import Protocol
from fhirstore.errors import CorruptRecord, Gone, NotFound, Unsupported
from fhirstore.export.request import Plan, bases_of
from fhirstore.export.selection import Unreadable, parsed
from fhirstore.export.snapshot import Damaged, versions_at
from fhirstore.fhir.groups import Membership, group_members
from fhirstore.format.keyspace import Keyspace, ResourceKeys
from fhirstore.format.record import Record

GROUP = "Group"

_AT_ONCE = 16
_MOST_GROUPS = 1_000
_MOST_MEMBERS = 1_000_000


def members_at(keys: Keyspace, group: str, plan: Plan, *, limits: Limits) -> Protocol[frozenset[str]]:
    """Returns the ids of the patients who are members at T. 1 GET per group.

    A nested group that does not exist has no members. Raises NotFound, Gone (the group itself); Unsupported (members
    that are not listed, or too many); CorruptRecord, Unavailable.
    """
    patients: set[str] = set()
    seen = {group}
    level = [group]
    while level:
        nested: set[str] = set()
        for some in batched(level, _AT_ONCE):
            resources = [keys.resource(GROUP, id_) for id_ in some]
            found = yield from versions_at(resources, plan.at, limits=limits)
            for resource, version in zip(resources, found, strict=True):
                if isinstance(version, Damaged):
                    raise CorruptRecord(version.key)
                membership = _membership(resource, version, plan, required=resource.id == group)
                patients |= membership.patients
                nested |= membership.groups
        level = sorted(nested - seen)
        seen |= nested
        if len(seen) > _MOST_GROUPS or len(patients) > _MOST_MEMBERS:
            raise Unsupported("The Group has too many members, or nested groups, for one export", code="too-costly")
    return frozenset(patients)


def _membership(resource: ResourceKeys, version: Record | None, plan: Plan, *, required: bool) -> Membership:
    if version is None or version.resource is None:
        if not required:
            return Membership()
        if version is None:
            raise NotFound("No such Group")
        raise Gone("The Group was deleted", version=version.version)
    try:
        return group_members(parsed(version.resource), at=plan.at, bases=bases_of(plan.base))
    except Unreadable as error:
        raise CorruptRecord(resource.current) from error
