"""Ids from the identity index, in the order of their entries' keys, with each LIST sent as late as possible.

All entries of one name are in one flat folder, so a LIST returns them in the order of `{id}_` (`sort_key`). Tokens of
which any may match are merged; parameters of which all must match are walked in step. Neither needs more than one LIST
per name at a time. Only for a value in any system, whose entries are sorted by system, all entries are read first.

The result is a superset of the matches. An id that matches during the whole search is always found, because its entries
are next to each other and the last of them is never removed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol as Shape

from fhirstore.batched import batched
from fhirstore.commit.idempotent import listed
from fhirstore.commit.messages import List, Protocol
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.format.keyspace import IndexEntry, Keyspace, parse_index_entry
from fhirstore.objects.base import Listed

_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Candidate:
    """An id that may match, and its entries in the index."""

    id: str
    entries: tuple[IndexEntry, ...] = ()


class Source(Shape):
    """A source of candidates, in the order of `sort_key`, each id once."""

    def next(self) -> Protocol[Candidate | None]:
        """Returns the next candidate, or None at the end. Raises Unavailable."""
        ...


def sort_key(id: str) -> str:
    """Returns the text by which candidates are sorted."""
    return f"{id}_"


class Given:
    """Candidates from a set of ids."""

    def __init__(self, ids: frozenset[str]) -> None:
        self._ids = deque(sorted(ids, key=sort_key))

    def next(self) -> Protocol[Candidate | None]:
        yield from ()
        return Candidate(self._ids.popleft()) if self._ids else None


@dataclass(slots=True)
class Entries:
    """The entries of one name. `ahead`: entries read and not yet used."""

    keys: Keyspace
    type: str
    name: str
    ahead: deque[IndexEntry] = field(default_factory=deque)
    over: bool = False
    _cursor: str | None = None

    @property
    def short(self) -> bool:
        """Whether a LIST is needed to know the next entry."""
        return not self.ahead and not self.over

    def read_on(self) -> Protocol[None]:
        """Read until there is an entry ahead, or the end. Raises Unavailable."""
        while self.short:
            if "/" in self.name:
                self.ahead.extend((yield from self._page()))
            else:
                yield from self._all()

    def _page(self) -> Protocol[list[IndexEntry]]:
        prefix = self.keys.index(self.type, self.name)
        page = yield from listed(List(prefix, cursor=self._cursor))
        self._cursor = page.cursor
        self.over = page.cursor is None
        return [entry for item in page.objects if (entry := _entry_of(self.keys, item)) is not None]

    def _all(self) -> Protocol[None]:
        found: list[IndexEntry] = []
        while not self.over:
            found += yield from self._page()
        self.ahead.extend(sorted(found, key=lambda one: sort_key(one.id)))


@dataclass(slots=True)
class AnyOf:
    """Candidates with an entry of any of these names."""

    names: Sequence[Entries]

    def next(self) -> Protocol[Candidate | None]:
        yield from self._read_on()
        first = min((sort_key(one.ahead[0].id) for one in self.names if one.ahead), default=None)
        if first is None:
            return None
        entries: list[IndexEntry] = []
        found = True
        while found:
            found = False
            for name in self.names:
                while name.ahead and sort_key(name.ahead[0].id) == first:
                    entries.append(name.ahead.popleft())
                    found = True
            yield from self._read_on()
        return Candidate(entries[0].id, tuple(entries))

    def _read_on(self) -> Protocol[None]:
        short = [name for name in self.names if name.short]
        for some in batched(short, _AT_ONCE):
            yield from side_by_side([name.read_on() for name in some])


@dataclass(slots=True)
class AllOf:
    """Candidates that all of these sources have."""

    sources: Sequence[Source]

    def next(self) -> Protocol[Candidate | None]:
        found = yield from side_by_side([source.next() for source in self.sources])
        while True:
            there = [one for one in found if one is not None]
            if len(there) < len(found):
                return None
            last = max(sort_key(one.id) for one in there)
            behind = [n for n, one in enumerate(there) if sort_key(one.id) < last]
            if not behind:
                return Candidate(there[0].id, tuple(dict.fromkeys(entry for one in there for entry in one.entries)))
            following = yield from side_by_side([self.sources[n].next() for n in behind])
            for n, one in zip(behind, following, strict=True):
                found[n] = one


def _entry_of(keys: Keyspace, item: Listed) -> IndexEntry | None:
    """Returns the entry with this key; None where the key is not one of an entry."""
    try:
        return parse_index_entry(keys, item.key)
    except ValueError:
        return None
