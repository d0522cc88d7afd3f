"""Fills the parameters that a tenant has defined newly: resources that are there already get the rows that they lack.

Each batch reads the versions that the index has, and applies them again: what has got another version meanwhile has the
rows already. How far it is, is in the file, so that any process can go on with it. Searches by other parameters are
answered meanwhile, and do not wait.

Cost: 1 GET for each resource of the type, 1 more where it has been changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Protocol
from fhirstore.format.keyspace import Keyspace
from fhirstore.format.record import Record
from fhirstore.history.records import currents_at, records_at
from fhirstore.index.local.apply import Batch, Change
from fhirstore.index.local.file import IndexFile
from fhirstore.tenancy import Place
from fhirstore.threads import in_thread

AT_ONCE = 100
"""Resources of one batch."""


async def fill(place: Place, context: Context, file: IndexFile) -> None:
    """Fills all parameters that are not ready. It can be cancelled at any moment. Raises Unavailable, IndexDamaged."""
    while (filling := await in_thread(file.filling)) is not None:
        some = await in_thread(file.to_fill, filling, AT_ONCE)
        names = [(id_, version) for _, id_, version in some]
        records = await drive(versions_of(place.keys, filling.type, names), place.objects)
        batch = Batch([_change(filling.type, id_, one) for id_, one in records], at=context.now())
        await in_thread(file.fill, batch, filling, some[-1][0] if some else None)


def versions_of(keys: Keyspace, type: str, names: Sequence[tuple[str, int]]) -> Protocol[list[tuple[str, Record]]]:
    """Returns the records of these versions, by id; without those that cannot be read any more."""
    resources = [keys.resource(type, id_) for id_, _ in names]
    currents = yield from currents_at(resources)
    found: list[tuple[str, Record]] = []
    followed: list[tuple[str, str]] = []
    for one, (id_, version) in zip(resources, names, strict=True):
        seen = currents.get(one.current)
        if seen is None:
            continue
        if seen.record.version == version:
            found.append((id_, seen.record))
        elif seen.record.version > version:
            followed.append((id_, one.version(version)))
    earlier = yield from records_at([key for _, key in followed], set())
    return found + [(id_, earlier[key]) for id_, key in followed if key in earlier]


def _change(type: str, id: str, record: Record) -> Change:
    return Change(type, id, record.version, record.t, record.t, record.resource)
