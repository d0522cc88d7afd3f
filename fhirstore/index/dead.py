"""When an entry of the identity index can never be needed again.

It is named after the version v that brought the identifier, or the first one of a system. Let c be the current version
that a reader saw *after* the entry was listed. If c >= v, no attempt at v can come any more; and if c does not carry
the identifier, whatever version brings it back is above c and writes an entry of its own. So the entry is dead, whoever
writes meanwhile, and its DELETE needs no condition. The same holds for the older of two entries of the same identifier
and id, both not above c. An entry above c may belong to a write under way: it stays.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhirstore.format.keyspace import IndexEntry
from fhirstore.format.record import Record
from fhirstore.index.names import names


def dead_entries(entries: Iterable[IndexEntry], shown: Record | None, *, version: int, type: str) -> list[IndexEntry]:
    """Returns which of one resource's entries are dead.

    `shown`: the version that a reader saw after the entries were listed, None if there was none; `version`: its number,
    or that of the stub in its place.
    """
    carried = names(type, shown.resource) if shown is not None else ()
    settled = [entry for entry in entries if entry.version <= version]
    newest = {entry.name: entry.version for entry in sorted(settled, key=lambda entry: entry.version)}
    return [entry for entry in settled if entry.name not in carried or entry.version < newest[entry.name]]
