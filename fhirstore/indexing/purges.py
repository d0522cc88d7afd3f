"""Which resources were purged, on any machine: a purge leaves no event, but an audit line before its commit.

The lines lie in the order of their time, and a purge is committed within its write window or never. So all that were
committed have their lines before the safe time; the lines after it are read again by the next look.

Cost: 1 LIST per thousand lines since the last look, 1 GET for each.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from fhirstore.commit.idempotent import listed
from fhirstore.commit.messages import List, Protocol
from fhirstore.errors import InvalidResource
from fhirstore.format.keyspace import Keyspace, ResourceKeys, parse_audit_line
from fhirstore.format.record import Record
from fhirstore.history.bracket import position
from fhirstore.history.records import currents_at

_LIST = 1_000


@dataclass(frozen=True, slots=True, repr=False)
class Purges:
    """`records`: what purges left of resources, by `Type/id`. `through`: where the next look begins, epoch ms."""

    records: dict[str, Record]
    through: int


def purges_since(keys: Keyspace, since: int, *, safe: int) -> Protocol[Purges]:
    """Returns the purges since a time. `since`, `safe`: epoch ms. Raises Unavailable, CorruptRecord.

    One look reads a thousand lines; where there are more, `through` is the time of the last one.
    """
    prefix = keys.audit()
    page = yield from listed(List(prefix, start_after=prefix + position(since), limit=_LIST))
    lines = [line for item in page.objects if (line := parse_audit_line(item.key)) is not None]
    wanted: dict[str, ResourceKeys] = {}
    for _, type_, id_ in lines:
        with suppress(InvalidResource):  # a foreign line, which names what is no resource
            wanted[f"{type_}/{id_}"] = keys.resource(type_, id_)
    currents = yield from currents_at(list(wanted.values()))
    records = {
        name: seen.record
        for name, one in wanted.items()
        if (seen := currents.get(one.current)) is not None and seen.record.purged
    }
    through = lines[-1][0] if page.cursor is not None and lines else safe
    return Purges(records, max(since, min(through, safe)))
