"""Which entries of the identity index are dead: no search can ever need them again.

An entry is named after the version v that introduced the identifier, or the first identifier of a system. Let c be the
current version that a reader saw *after* the entry was listed. If c >= v, no attempt at v can commit any more; and if c
does not have the identifier, a version that brings it back is above c and writes an entry of its own. So the entry is
dead, whatever is written meanwhile, and its DELETE needs no condition. The same holds for the older of two entries with
the same identifier and id, if neither is above c. An entry above c may belong to a write under way, so it stays.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhirstore.format.keyspace import IndexEntry
from fhirstore.format.record import Record
from fhirstore.index.names import names


def dead_entries(entries: Iterable[IndexEntry], shown: Record | None, *, version: int, type: str) -> list[IndexEntry]:
    """Returns the dead entries among those of one resource.

    `shown`: the version that a reader saw after the entries were listed, None if there was none; `version`: its number,
    or that of the stub in its place.
    """
    carried = names(type, shown.resource) if shown is not None else ()
    settled = [entry for entry in entries if entry.version <= version]
    newest = {entry.name: entry.version for entry in sorted(settled, key=lambda entry: entry.version)}
    return [entry for entry in settled if entry.name not in carried or entry.version < newest[entry.name]]
