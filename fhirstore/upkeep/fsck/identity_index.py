"""Checks that the identity index has every identifier of every live resource.

The index is walked first, and each entry sets its bits in a Bloom filter of fixed size. Then the resources are read,
which another pass needs anyway, and each identifier of a current version and each of its systems is looked up in the
filter. A missing bit means that the entry is not in the index, or was written since; 1 LIST decides. If all bits are
set, the entry exists, except with a probability of one in 200,000 at a million resources with three identifiers each;
every run uses another salt, so a missing entry is found by another run. Resources that were written before there was an
index have no entries; `--repair` writes them.

A superfluous entry does no harm, because a search reads each candidate. A deep check finds these too, by the rule in
`fhirstore.index.dead`: 1 GET per resource of each page of the index.

Cost: 1 LIST per 1,000 entries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fhirstore.batched import batched
from fhirstore.commit.attempt import Base
from fhirstore.commit.idempotent import listed
from fhirstore.commit.messages import List, Protocol
from fhirstore.commit.reading import look
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import CorruptRecord
from fhirstore.format.keyspace import IndexEntry, Keyspace, ResourceKeys, is_claim, parse_index_entry
from fhirstore.format.record import Record
from fhirstore.index.dead import dead_entries
from fhirstore.index.names import names
from fhirstore.upkeep.fsck.finding import Finding, unreadable
from fhirstore.upkeep.fsck.unreadable import listed_behind_damage

_BITS = 2**27  # 16 MiB
_MARKS = 6
_AT_ONCE = 32


@dataclass(slots=True)
class Index:
    """The entries of the index, as a Bloom filter. `salt`: new in every run. `suspects`: entries that may be
    missing."""

    keys: Keyspace
    salt: bytes
    suspects: list[tuple[ResourceKeys, str, int]] = field(default_factory=list)
    _bits: bytearray = field(default_factory=lambda: bytearray(_BITS // 8))

    def add(self, type: str, id: str, name: str) -> None:
        """Add an entry of the index to the filter."""
        for at, bit in self._marks(type, id, name):
            self._bits[at] |= bit

    def read(self, keys: ResourceKeys, current: Record) -> None:
        """Look up the identifiers of a resource's current version."""
        for name in names(keys.type, current.resource):
            if not all(self._bits[at] & bit for at, bit in self._marks(keys.type, keys.id, name)):
                self.suspects.append((keys, name, current.version))

    def missing(self) -> Protocol[list[Finding]]:
        """Returns which suspects are missing. 1 LIST each. Raises Unavailable."""
        suspects, self.suspects = self.suspects, []
        findings: list[Finding] = []
        for some in batched(suspects, _AT_ONCE):
            pages = yield from side_by_side([listed(List(keys.index_entries(name), limit=1)) for keys, name, _ in some])
            for (keys, name, version), page in zip(some, pages, strict=True):
                if page.objects:
                    continue
                base = yield from _base(keys)  # the resource may have changed since, and its entry been removed
                if base is not None and base.version == version:
                    key = keys.index_entry(name, version)
                    findings.append(Finding("index-entry-missing", key, repairable=True, resource=keys))
        return findings

    def _marks(self, type: str, id: str, name: str) -> Iterator[tuple[int, int]]:
        digest = hashlib.blake2b(f"{type}/{id}/{name}".encode(), digest_size=4 * _MARKS, key=self.salt).digest()
        for at in range(0, 4 * _MARKS, 4):
            number = int.from_bytes(digest[at : at + 4], "big") % _BITS
            yield number // 8, 1 << number % 8


def walk_index(keys: Keyspace, index: Index, *, page: int, clean: bool) -> Protocol[list[Finding]]:
    """Add all entries to the filter. `clean`: return dead entries as findings too. Raises Unavailable."""
    findings: list[Finding] = []
    lost: list[str] = []
    cursor: str | None = None
    while True:
        found = yield from listed_behind_damage(List(keys.identity(), cursor=cursor, limit=page), lost)
        entries: list[IndexEntry] = []
        for item in found.objects:
            try:
                entry = parse_index_entry(keys, item.key)
            except ValueError:
                if not is_claim(keys, item.key):
                    findings.append(Finding("stray-key", item.key))
                continue
            entries.append(entry)
            index.add(entry.type, entry.id, entry.name)
        if clean:
            findings += yield from _dead(keys, entries)
        cursor = found.cursor
        if cursor is None:
            return findings + unreadable(lost)


def _dead(keys: Keyspace, entries: Sequence[IndexEntry]) -> Protocol[list[Finding]]:
    by_resource: dict[tuple[str, str], list[IndexEntry]] = {}
    for entry in entries:
        by_resource.setdefault((entry.type, entry.id), []).append(entry)
    findings: list[Finding] = []
    resources = [keys.resource(type_, id_) for type_, id_ in by_resource]
    for some in batched(resources, _AT_ONCE):
        bases = yield from side_by_side([_base(resource) for resource in some])
        for resource, base in zip(some, bases, strict=True):
            if base is None:
                continue
            dead = dead_entries(
                by_resource[resource.type, resource.id], base.shown, version=base.version, type=resource.type
            )
            findings += [
                Finding(
                    "index-entry-dead", resource.index_entry(one.name, one.version), repairable=True, resource=resource
                )
                for one in dead
            ]
    return findings


def _base(resource: ResourceKeys) -> Protocol[Base | None]:
    """Returns the current version; None where it is damaged, which another pass reports."""
    try:
        base, _ = yield from look(resource)
    except CorruptRecord:
        return None
    return base
