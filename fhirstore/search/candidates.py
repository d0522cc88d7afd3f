"""From criteria to the resources that truly match, by their ids or by the identity index.

The index is a superset: an entry says that some version was to carry the identifier. So each candidate's current
version is read, and checked. Whoever looks on behalf of a write also takes away what turned out to be dead
(`commit.dead_entries`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fhirstore.commit.attempt import Base
from fhirstore.commit.dead_entries import dead_entries
from fhirstore.commit.messages import Delete, List, Protocol
from fhirstore.commit.reading import look
from fhirstore.commit.repeating import listed
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.keyspace import IndexEntry, Keyspace, ResourceKeys, parse_index_entry
from fhirstore.search.criteria import Criteria

_AT_ONCE = 32
_MOST_REMOVED = 1_000


@dataclass(frozen=True, slots=True)
class Match:
    """A resource that meets the criteria, as its `base` was read."""

    keys: ResourceKeys
    base: Base


@dataclass(slots=True)
class Candidates:
    """Ids of resources that may match, in order, and the index entries that led there."""

    keys: Keyspace
    criteria: Criteria
    ids: list[str]
    entries: dict[str, list[IndexEntry]]

    def after(self, id: str | None) -> list[str]:
        """Those that come after `id`."""
        return self.ids if id is None else [one for one in self.ids if one > id]

    def matching(self, ids: Sequence[str]) -> Protocol[list[Match]]:
        """Those of `ids` that match. 1 GET each, in parallel."""
        matches, _ = yield from self._look(ids)
        return matches

    def all_matching(self, *, most: int) -> Protocol[list[Match]]:
        """Look for up to `most` matches, and take dead entries away."""
        found: list[Match] = []
        for first in range(0, len(self.ids), _AT_ONCE):
            some, dead = yield from self._look(self.ids[first : first + _AT_ONCE])
            found += some
            if dead:
                yield (Delete(tuple(dead[:_MOST_REMOVED])),)
            if len(found) >= most:
                break
        return found

    def _look(self, ids: Sequence[str]) -> Protocol[tuple[list[Match], list[str]]]:
        type_ = self.criteria.type or ""
        matches: list[Match] = []
        dead: list[str] = []
        for first in range(0, len(ids), _AT_ONCE):
            some = [self.keys.resource(type_, id_) for id_ in ids[first : first + _AT_ONCE]]
            looks = yield from side_by_side([look(keys) for keys in some])
            for keys, (base, _) in zip(some, looks, strict=True):
                if self.criteria.match(type_, keys.id, base.shown):
                    matches.append(Match(keys, base))
                entries = self.entries.get(keys.id, ())
                dead += [keys.index_entry(one.name, one.version) for one in dead_entries(entries, base, type_)]
        return matches, dead


def candidates(keys: Keyspace, criteria: Criteria) -> Protocol[Candidates]:
    """Everything that may meet the criteria, which are `found_by_index`. 1 LIST per token, unless there are ids."""
    if criteria.ids:
        return Candidates(keys, criteria, sorted(frozenset.intersection(*criteria.ids)), {})
    entries: dict[str, list[IndexEntry]] = {}
    ids: set[str] | None = None
    for tokens in criteria.identifiers:
        wanted = [token.name for token in tokens]
        if not all(wanted):
            continue
        found: set[str] = set()
        pages = [entries_of(keys, criteria.type or "", name) for name in dict.fromkeys(wanted) if name]
        for entry in _each((yield from side_by_side(pages))):
            found.add(entry.id)
            known = entries.setdefault(entry.id, [])
            if entry not in known:
                known.append(entry)
        ids = found if ids is None else ids & found
    return Candidates(keys, criteria, sorted(ids or ()), entries)


def find(keys: Keyspace, criteria: Criteria, *, most: int = 2) -> Protocol[list[Match]]:
    """Up to `most` matches of a condition. 1 LIST per token, 1 GET per candidate. Raises Unavailable, CorruptRecord."""
    found = yield from candidates(keys, criteria)
    return (yield from found.all_matching(most=most))


def entries_of(keys: Keyspace, type: str, name: str) -> Protocol[list[IndexEntry]]:
    """The entries below one name, in the order listed. 1 LIST per 1,000. Raises Unavailable."""
    prefix = keys.index(type, name)
    found: list[IndexEntry] = []
    page = yield from listed(List(prefix))
    while True:
        found += [entry for item in page.objects if (entry := index_entry_of(keys, item.key)) is not None]
        if page.cursor is None:
            return found
        page = yield from listed(List(prefix, cursor=page.cursor))


def index_entry_of(keys: Keyspace, key: str) -> IndexEntry | None:
    """The entry that `key` is, if it is one."""
    try:
        return parse_index_entry(keys, key)
    except ValueError:
        return None


def _each(pages: Iterable[list[IndexEntry]]) -> Iterator[IndexEntry]:
    return (entry for page in pages for entry in page)
