"""Scans list the candidates of a snapshot, a page at a time: the ids to look at, whatever the snapshot then says.

| scan | finds | requests |
|---|---|---|
| `FolderScan` | every id of a type | 1 LIST with a delimiter per 1,000 ids, however many versions they have |
| `EventScan` | the ids that changed in (since, T] | 1 LIST per 1,000 events of the type |
| `IdScan` | given ids | none |

A scan can be resumed at the `Position` after any candidate. The cursors of a folder listing are opaque, and its order
is the store's own, so ids are never compared with bounds: a position is the cursor of a page, and the candidate on it
that was last; the folder of a resource that exists stays for ever, so a later listing from the same cursor meets it
again. The events of a type are one flat folder, in the order of time on every store; their position is a key's name.

An id may have several events. A page shows it at its newest event, and the caller takes it only where the version that
is visible at T is the one of an event on this page (`Candidate.made`). So each id is taken exactly once, wherever pages
begin and end.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol as Interface

import msgspec

from fhirstore.commit.idempotent import listed
from fhirstore.commit.messages import List, Protocol
from fhirstore.errors import StoreDamaged
from fhirstore.fhir.definitions.ids import is_id
from fhirstore.format.keyspace import Keyspace, parse_event
from fhirstore.format.record import Record

PAGE = 1_000


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a scan goes on. `cursor`: of a page of a listing; None for the first. `after`: what was done last there."""

    cursor: str | None = None
    after: str | None = None


START = Position()


class Candidate(msgspec.Struct, frozen=True):
    """An id to look at. `then`: the position after it. `made`: the (version, op token) of its events on this page."""

    id: str
    then: Position
    made: frozenset[tuple[int, str]] | None = None

    def is_here(self, record: Record) -> bool:
        """Returns whether this page is the one that shows this version."""
        return self.made is None or (record.version, record.op) in self.made


class ScanPage(msgspec.Struct, frozen=True):
    """`rest`: where the next page begins; None after the last one. `keys`: how many were looked at, for progress.

    `lost`: a part of the listing is damaged; the next page begins behind it.
    """

    candidates: tuple[Candidate, ...]
    rest: Position | None
    keys: int
    lost: bool = False


class Scan(Interface):
    """One pass over candidates."""

    def page(self, position: Position) -> Protocol[ScanPage]:
        """Returns the page that begins at a position. Raises Unavailable, StoreDamaged."""
        ...


@dataclass(frozen=True, slots=True)
class FolderScan:
    """Every id of a type that has, or had, objects. `page_size`: keys per LIST, at most 1,000."""

    keys: Keyspace
    type: str
    page_size: int = PAGE

    def page(self, position: Position) -> Protocol[ScanPage]:
        prefix = self.keys.resources(self.type)
        try:
            found = yield from listed(List(prefix, cursor=position.cursor, delimiter=True, limit=self.page_size))
        except StoreDamaged as error:
            rest = None if error.resume is None else Position(error.resume)
            return ScanPage((), rest, 0, lost=True)
        cut = len(prefix)
        ids = [folder[cut:-1] for folder in found.prefixes]
        rest = None if found.cursor is None else Position(found.cursor)
        if position.after is not None:
            if position.after not in ids:  # new ids came before it, and it is on a later page now
                if rest is None:
                    raise StoreDamaged(prefix, "the listing does not show a resource that it showed before")
                return ScanPage((), Position(rest.cursor, position.after), 0)
            ids = ids[ids.index(position.after) + 1 :]
        cursor = position.cursor
        candidates = tuple([Candidate(id_, Position(cursor, id_)) for id_ in ids if is_id(id_)])
        return ScanPage(candidates, rest, len(candidates))


@dataclass(frozen=True, slots=True)
class EventScan:
    """The ids of a type with an event in (`since`, `until`], epoch ms."""

    keys: Keyspace
    type: str
    since: int
    until: int
    page_size: int = PAGE

    def page(self, position: Position) -> Protocol[ScanPage]:
        prefix = self.keys.type_history(self.type)
        after = position.after if position.after is not None else f"{max(0, self.since + 1):013d}"
        start = None if position.cursor is not None else f"{prefix}{after}"
        try:
            asked = List(prefix, start_after=start, cursor=position.cursor, limit=self.page_size)
            found = yield from listed(asked)
        except StoreDamaged as error:
            return ScanPage((), None if error.resume is None else Position(error.resume), 0, lost=True)
        newest: dict[str, str] = {}
        made: dict[str, set[tuple[int, str]]] = {}
        ended = found.cursor is None
        for item in found.objects:
            name = item.key[len(prefix) :]
            if name[:13] > f"{self.until:013d}":
                ended = True
                break
            try:
                event = parse_event(item.key)
            except ValueError:
                continue
            newest.pop(event.id, None)
            newest[event.id] = name
            made.setdefault(event.id, set()).add((event.version, event.op))
        candidates = tuple([Candidate(id_, Position(after=name), frozenset(made[id_])) for id_, name in newest.items()])
        rest = None if ended else Position(after=found.objects[-1].key[len(prefix) :])
        return ScanPage(candidates, rest, len(candidates))


@dataclass(frozen=True, slots=True)
class IdScan:
    """Given ids, sorted."""

    ids: Sequence[str]
    page_size: int = PAGE

    def page(self, position: Position) -> Protocol[ScanPage]:
        yield from ()
        start = 0 if position.after is None else bisect_right(self.ids, position.after)
        ids = self.ids[start : start + self.page_size]
        ended = start + len(ids) >= len(self.ids)
        rest = None if ended else Position(after=ids[-1])
        return ScanPage(tuple([Candidate(id_, Position(after=id_)) for id_ in ids]), rest, len(ids))


def stored_types(keys: Keyspace) -> Protocol[list[str]]:
    """Returns the names of the folders of types, in the store's order. 1 LIST per 1,000. Raises Unavailable."""
    prefix = keys.resources()
    names: list[str] = []
    cursor: str | None = None
    while True:
        page = yield from listed(List(prefix, cursor=cursor, delimiter=True))
        names += [folder[len(prefix) : -1] for folder in page.prefixes]
        cursor = page.cursor
        if cursor is None:
            return names
