"""When an entry of the identity index can never be needed again.

It is named after the version v that brought the identifier, or the first one of a system. Let c be the current version
that a reader saw *after* the entry was listed. If c >= v, no attempt at v can come any more; and if c does not carry
the identifier, whatever version brings it back is above c and writes an entry of its own. So the entry is dead, whoever
writes meanwhile, and its DELETE needs no condition. The same holds for the older of two entries of the same identifier
and id, both not above c. An entry above c may belong to a write under way: it stays.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhirstore.commit.attempt import Base
from fhirstore.identifiers import names
from fhirstore.keyspace import IndexEntry


def dead_entries(entries: Iterable[IndexEntry], base: Base, type: str) -> list[IndexEntry]:
    """Which of one resource's entries are dead; `base`: what a reader saw after they were listed."""
    carried = names(type, base.shown.resource) if base.shown is not None else ()
    settled = [entry for entry in entries if entry.version <= base.version]
    newest = {entry.name: entry.version for entry in sorted(settled, key=lambda entry: entry.version)}
    return [entry for entry in settled if entry.name not in carried or entry.version < newest[entry.name]]
