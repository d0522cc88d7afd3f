"""Walks all events of a tenant, oldest first: the folders of the system and of every type, merged by time.

An event has two keys with the same `t`, one in each folder. Merging by time brings them together, so that each version
is checked once. Memory is bounded by one page per folder (and by the events of one millisecond, which stay together).

Cost: 1 LIST for the types, then 1 LIST per folder and 1,000 events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from fhirstore.commit.idempotent import listed
from fhirstore.commit.messages import List, Protocol
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import InvalidResource
from fhirstore.format.keyspace import Event, Keyspace, parse_event
from fhirstore.objects.base import Page

IN_SYSTEM, IN_TYPE = 1, 2
"""The folders in which an event was found, as the sum of both."""

_FOLDERS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Window:
    """Events with the folders they were found in. Every event with t < `through` is in this window or an earlier
    one."""

    events: dict[Event, int]
    through: int


@dataclass(slots=True)
class _Folder:
    prefix: str
    side: int
    pending: deque[Event] = field(default_factory=deque)
    cursor: str | None = None
    begun: bool = False
    ended: bool = False


Lists = Callable[[List], Protocol[Page]]


class EventWalk:
    """Walks the events with since <= t < until. `strays`: keys in these folders that are not events."""

    def __init__(self, keys: Keyspace, *, since: int, until: int, page: int = 1000, lists: Lists = listed) -> None:
        """`page`: keys per LIST. `lists`: the protocol that lists a page."""
        self.strays: list[str] = []
        self._keys = keys
        self._since = since
        self._until = until
        self._page = page
        self._lists = lists
        self._folders: list[_Folder] | None = None
        self._over = False

    def next_window(self) -> Protocol[Window | None]:
        """Returns the next window, or None at the end. Raises Unavailable."""
        if self._over:
            return None
        if self._folders is None:
            self._folders = yield from self._open()
        folders = self._folders
        short = [folder for folder in folders if not folder.pending and not folder.ended]
        while True:
            yield from self._fill(short)
            open_ends = [(folder.pending[-1].t, folder) for folder in folders if not folder.ended]
            if not open_ends:
                self._over = True
                return Window(_taken(folders, self._until), self._until)
            through = min(t for t, _ in open_ends)
            if any(folder.pending and folder.pending[0].t < through for folder in folders):
                return Window(_taken(folders, through), through)
            short = [folder for t, folder in open_ends if t == through]  # a whole page of one millisecond

    def _open(self) -> Protocol[list[_Folder]]:
        folders = [_Folder(self._keys.system_history(), IN_SYSTEM)]
        cursor: str | None = None
        while True:
            page = yield from self._lists(List(self._keys.history_types(), cursor=cursor, delimiter=True))
            folders += [_Folder(prefix, IN_TYPE) for prefix in page.prefixes]
            self.strays += [item.key for item in page.objects]
            cursor = page.cursor
            if cursor is None:
                return folders

    def _fill(self, folders: Sequence[_Folder]) -> Protocol[None]:
        """Read a page of each folder, and the next page where that had no event of this walk."""
        missing = list(folders)
        while missing:
            now, later = missing[:_FOLDERS_AT_ONCE], missing[_FOLDERS_AT_ONCE:]
            pages = yield from side_by_side([self._lists(self._request(folder)) for folder in now])
            again = [folder for folder, page in zip(now, pages, strict=True) if not self._take(folder, page)]
            missing = again + later

    def _request(self, folder: _Folder) -> List:
        start = None if folder.begun else f"{folder.prefix}{self._since:013d}"
        return List(folder.prefix, start_after=start, cursor=folder.cursor, limit=self._page)

    def _take(self, folder: _Folder, page: Page) -> bool:
        """Keep the page's events. Returns False where it had none and the folder goes on."""
        before = len(folder.pending)
        for item in page.objects:
            event = event_of(self._keys, item.key)
            if event is None:
                self.strays.append(item.key)
            elif event.t >= self._until:
                folder.ended = True
                break
            else:
                folder.pending.append(event)
        folder.begun, folder.cursor = True, page.cursor
        folder.ended = folder.ended or page.cursor is None
        return folder.ended or len(folder.pending) > before


def event_of(keys: Keyspace, key: str) -> Event | None:
    """Returns the event of `key`; None where the key is not exactly what the keyspace builds."""
    try:
        event = parse_event(key)
        return event if key in events_keys(keys, event) else None
    except (ValueError, InvalidResource):
        return None


def events_keys(keys: Keyspace, event: Event) -> tuple[str, str]:
    """Returns both keys of an event: the system's and the type's."""
    resource = keys.resource(event.type, event.id)
    names = (event.t, event.version, event.method, event.op)
    return resource.system_event(*names), resource.type_event(*names)


def _taken(folders: Sequence[_Folder], through: int) -> dict[Event, int]:
    events: dict[Event, int] = {}
    for folder in folders:
        for event in _before(folder.pending, through):
            events[event] = events.get(event, 0) | folder.side
    return events


def _before(pending: deque[Event], through: int) -> Iterator[Event]:
    while pending and pending[0].t < through:
        yield pending.popleft()
