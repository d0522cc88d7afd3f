"""From the names that an index found to the versions that are shown: the index finds, the bucket answers.

The version of a name is read from `current.json`; where another one has followed since the search began, it is read
from its own object. What a purge has removed in between is left out. Cost: 1 GET for each name, 2 more where another
version has followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhirstore.commit.limits import Limits
from fhirstore.commit.messages import Absent, Get, Protocol
from fhirstore.commit.reading import ask, seen, vread
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.format.keyspace import Keyspace, ResourceKeys
from fhirstore.format.record import Record, decode
from fhirstore.history.records import Budget
from fhirstore.search.pages.finding import Name
from fhirstore.version import Version, version_of


@dataclass(frozen=True, slots=True)
class Answers:
    """`versions`: of the names up to `read`, in their order, without those that are gone. `read`: how many names were
    looked up: fewer than were given where the budget ended."""

    versions: tuple[Version, ...]
    read: int


def answers(keys: Keyspace, names: Sequence[Name], budget: Budget, *, limits: Limits) -> Protocol[Answers]:
    """Returns the versions of these names, as many as the budget has room for. At least one name is looked up.

    Raises Unavailable, CorruptRecord, ObjectArchived.
    """
    found: list[Version] = []
    read = 0
    while read < len(names) and (budget.room > 0 or not read):
        some = names[read : read + budget.at_once]
        records = yield from _records(keys, some, limits)
        for name, record in zip(some, records, strict=True):
            if found and budget.room <= 0:
                break
            read += 1
            if record is not None:
                budget.spend(record)
                found.append(version_of(name.type, name.id, record))
    return Answers(tuple(found), read)


def _records(keys: Keyspace, names: Sequence[Name], limits: Limits) -> Protocol[list[Record | None]]:
    """Returns the record of each name; None where it is gone."""
    resources = [keys.resource(name.type, name.id) for name in names]
    currents = yield from _currents(resources)
    found: list[Record | None] = []
    followed: list[tuple[int, ResourceKeys, int]] = []
    for number, (name, record) in enumerate(zip(names, currents, strict=True)):
        if record is not None and record.version > name.version:
            followed.append((number, resources[number], name.version))
        found.append(record if record is not None and record.version == name.version and record.exists else None)
    if followed:
        versions = yield from side_by_side([vread(one, version, limits=limits) for _, one, version in followed])
        for (number, _, _), record in zip(followed, versions, strict=True):
            found[number] = record if record is not None and record.exists else None
    return found


def _currents(resources: Sequence[ResourceKeys]) -> Protocol[list[Record | None]]:
    """Returns the versions that readers see of at most `IN_FLIGHT` resources; None where there is none.

    Benchmark: searches, see docs/performance.md.
    """
    keys = [one.current for one in resources]
    replies = yield from ask(*map(Get, keys))
    found = [
        None if isinstance(reply, Absent) else decode(reply.body, key) for key, reply in zip(keys, replies, strict=True)
    ]
    announced = [number for number, record in enumerate(found) if record is not None and record.intent is not None]
    if announced:
        records = yield from side_by_side([seen(resources[number], replies[number]) for number in announced])
        for number, record in zip(announced, records, strict=True):
            found[number] = record
    return found
