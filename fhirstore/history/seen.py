"""A page of the history of a type or a tenant, for somebody who does not see everything.

A version is shown if it is seen, and the current version of its resource too: what was moved out of sight shows nothing
of its past. As in `fhirstore.search.seen`, a page is full or the last one, and its cursor names a version on it.

Cost: that of the pages that are read for it, and 1 GET for each resource of which a version is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fhirstore.commit.messages import Protocol
from fhirstore.commit.reading import look
from fhirstore.errors import NotFound
from fhirstore.format.keyspace import Keyspace, ResourceKeys
from fhirstore.history.cursor import EVENTS, EventsCursor, decode
from fhirstore.history.events import EventsHistory
from fhirstore.history.page import MAX_COUNT, PAGE_BYTES, HistoryPage
from fhirstore.history.records import currents_at
from fhirstore.paging import encode
from fhirstore.version import Version

_MOST = 20_000  # events that one page reads
_AFTER_ALL = "z" * 250  # longer and later than whatever follows a time in the name of an event


@dataclass(frozen=True, slots=True)
class Sees:
    """`version`: tells of a type and a content (empty: a tombstone) whether it is seen. `limited`: whether that depends
    on the content, for resources of a type."""

    version: Callable[[str, bytes], bool]
    limited: Callable[[str], bool]


def seen_events(events: EventsHistory, sees: Sees, cursor_text: str | None) -> Protocol[HistoryPage]:
    """Returns the first page, or the one that `cursor_text` names. Raises as `EventsHistory.page`."""
    cursor = decode(cursor_text, EVENTS)
    want, oldest_first = events.query.want, events.query.oldest_first
    following, as_of = cursor_text, None if cursor is None else cursor.as_of
    if not want:
        return replace((yield from events.page(cursor_text)), total=None)
    found: list[Version] = []
    read = bytes_ = 0
    size = want + 1
    rest: int | None = None
    while True:
        wider = replace(events, query=replace(events.query, count=min(size, MAX_COUNT)))
        page = yield from wider.page(following)
        as_of = page.as_of if as_of is None else as_of
        new = yield from _seen(events.keys, page.versions, sees)
        found += new
        bytes_ += sum(len(one.content) for one in new)
        following = page.next
        if following is None or len(found) > want or bytes_ > PAGE_BYTES:
            break
        read += wider.query.want
        if read > _MOST:
            last = decode(following, EVENTS)
            rest = None if last is None else int(last.name[:13])
            break
        size *= 2
    shown = fitting(found[:want])
    name: str | None = None
    if shown and (len(shown) < len(found) or rest is not None):
        name = _position(shown[-1], typed=events.type is not None, oldest_first=oldest_first)
    elif rest is not None:
        name = f"{rest:013d}_-" if oldest_first else resumed_at(rest)
    return HistoryPage(tuple(shown), None if name is None else encode(EventsCursor(name, as_of)), as_of)


def seen_instance(keys: ResourceKeys, sees: Sees, page: HistoryPage) -> Protocol[HistoryPage]:
    """Returns the page of the history of one resource with the versions that are seen. Raises NotFound."""
    base, _ = yield from look(keys)
    if base.shown is None or not sees.version(keys.type, base.shown.resource or b""):
        raise NotFound("No such resource")
    shown = tuple(version for version in page.versions if sees.version(keys.type, version.content))
    whole = page.next is None and page.previous is None and page.total == len(page.versions)
    return replace(page, versions=shown, total=len(shown) if whole else None)


def fitting(versions: Sequence[Version]) -> list[Version]:
    """Returns as many of the versions, from the first on, as fit into half a page; at least one, if there is any."""
    shown: list[Version] = []
    room = PAGE_BYTES // 2
    for version in versions:
        room -= len(version.content)
        if shown and room < 0:
            break
        shown.append(version)
    return shown


def resumed_at(t: int) -> str:
    """Returns the position after all events of this time, epoch ms: these are read again."""
    return f"{t:013d}_{_AFTER_ALL}"


def _position(version: Version, *, typed: bool, oldest_first: bool) -> str:
    """Returns the position before the event of a version, or after it, made of the version alone."""
    address = version.id if typed else f"{version.type}_{version.id}"
    name = f"{version.last_updated_ms:013d}_{address}_{version.version_id}_"
    return f"{name}z" if oldest_first else name


def _seen(keys: Keyspace, versions: Sequence[Version], sees: Sees) -> Protocol[list[Version]]:
    seen = [version for version in versions if sees.version(version.type, version.content)]
    limited = {(one.type, one.id): keys.resource(one.type, one.id) for one in seen if sees.limited(one.type)}
    currents = yield from currents_at(list(limited.values()))

    def is_current_seen(version: Version) -> bool:
        at = limited.get((version.type, version.id))
        if at is None:
            return True
        current = currents.get(at.current)
        return current is not None and sees.version(version.type, current.record.resource or b"")

    return [version for version in seen if is_current_seen(version)]
