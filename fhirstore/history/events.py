"""The history of a type or of a whole tenant: one page, from the event keys.

Cost of a page: 1 or 2 LIST, and 1 or 2 GET per event that is read. At most as many events are read as entries were
asked for. So a page may be shorter than asked for: if an attempt died and left its events, if the density of events
changes, or if versions are large. Only an empty page is tried again, up to twenty times. Once a minute 1 GET more reads
the sweeper's watermark, and each recent transaction costs 1 GET more (`whole_transactions`).

With `at`, an event from before the period counts if its version was still current in it: 1 more GET, of the next
version. If resources change often, many events are read in vain, and pages are short.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Protocol
from fhirstore.format.keyspace import Keyspace
from fhirstore.history.bracket import position, time_of
from fhirstore.history.counting import Counting
from fhirstore.history.cursor import EVENTS, EventsCursor, Outlook, decode, the_last
from fhirstore.history.page import PAGE_BYTES, HistoryPage, HistoryQuery, safe_time
from fhirstore.history.records import Budget
from fhirstore.history.remembered import RememberedHistories
from fhirstore.history.whole_transactions import Stretch, after, at
from fhirstore.history.window import Window, newest, oldest
from fhirstore.paging import encode
from fhirstore.version import Version

_ROUNDS = 20  # after so many the page is empty, and the client follows `next`: this bounds the work of one request


Read = Callable[[Sequence[str], Budget], Protocol[tuple[list[Version], int]]]
"""Takes the names of events, newest first; returns the page's versions, and how many events it read for them."""


@dataclass(frozen=True, slots=True)
class EventsHistory:
    """The history of a type, or (with `type` None) of a tenant."""

    tenant: str
    keys: Keyspace
    type: str | None
    query: HistoryQuery
    remembered: RememberedHistories
    context: Context
    page_bytes: int = PAGE_BYTES

    @property
    def prefix(self) -> str:
        return self.keys.system_history() if self.type is None else self.keys.type_history(self.type)

    def page(self, cursor_text: str | None, *, read: Read | None = None) -> Protocol[HistoryPage]:
        """Returns the first page, or the one that `cursor_text` names.

        `read`: used instead of `Counting` to find the versions of the events. Raises InvalidResource (cursor),
        Unavailable.
        """
        cursor = asked = decode(cursor_text, EVENTS)
        as_of = safe_time(self.context) if cursor is None else cursor.as_of
        want = self.query.want
        if not want:
            return HistoryPage((), None, as_of)
        budget = Budget(self.page_bytes)
        versions: list[Version] = []
        page: Stretch | None = None
        start = "" if asked is None else asked.name
        previous: str | None = None
        for _ in range(_ROUNDS):
            window, listed = yield from self._window(cursor)
            page = self._joined(page, listed)
            names = self._in_order(window, want, first=cursor is None)
            start = start or (self._just_before(names[0]) if names else "")
            previous = previous or self._previous(asked, window, as_of)
            if read is None:
                counting = yield from self._counting(names, window, page)
                counted = yield from counting.versions(names, budget)
                if counted is None:
                    continue
                versions, looked = counted
            else:
                versions, looked = yield from read(names, budget)
            before = the_last((*(() if asked is None else asked.before), start)) if start else ()
            if looked == len(window.names) and window.whole:
                if asked is None or not asked.last:
                    return HistoryPage(tuple(versions), None, as_of, previous=previous)
                following = EventsCursor(asked.last, as_of, asked.outlook, before)
                return HistoryPage(tuple(versions), encode(following), as_of, previous=previous)
            outlook = None if self.query.oldest_first else window.outlook(looked)
            cursor = EventsCursor(names[looked - 1], as_of, outlook, before)
            if versions:
                break
        return HistoryPage(tuple(versions), None if cursor is None else encode(cursor), as_of, previous=previous)

    def _previous(self, asked: EventsCursor | None, window: Window, as_of: int) -> str | None:
        """Returns the cursor of the page before the one that `asked` names. It shows what was shown there, and no more.

        `window`: of this page; it helps to find that one again.
        """
        if asked is None or not asked.before:
            return None
        outlook: Outlook | None = None
        if window.names and not self.query.oldest_first:
            outlook = window.again(asked.outlook if asked.last else None)
        return encode(EventsCursor(asked.before[-1], as_of, outlook, asked.before[:-1], asked.name))

    def _just_before(self, name: str) -> str:
        """Returns the position right before this event: no other event's name lies between."""
        return name[:-1] if self.query.oldest_first else f"{name}."

    def _joined(self, page: Stretch | None, listed: Stretch) -> Stretch:
        """Returns the stretch that this page has read in all rounds so far."""
        if page is None:
            return listed
        return (
            Stretch(self.type, page.first, listed.below)
            if self.query.oldest_first
            else replace(listed, below=page.below)
        )

    def _in_order(self, window: Window, want: int, *, first: bool) -> tuple[str, ...]:
        """Returns the names of the events to read, in the order of the page."""
        if self.query.oldest_first:
            return window.names[:want]
        return window.names[::-1][: window.take(want, first=first)]

    def _window(self, cursor: EventsCursor | None) -> Protocol[tuple[Window, Stretch]]:
        """Lists events. Returns them, and the stretch of the history that they are all of."""
        query = self.query
        floor = "" if query.since is None else position(query.since)
        now = self.context.now()
        end = None if query.at is None or query.at.end > now else position(query.at.end)
        last = "" if cursor is None else cursor.last
        if query.oldest_first:
            start = cursor.name if cursor is not None else floor
            end = f"{last}." if last else end
            window = yield from oldest(self.prefix, after=start, below=end, want=query.want)
            return window, Stretch(self.type, after(start), end if window.whole else at(window.names[-1]))
        if cursor is not None:
            end, outlook = cursor.name, cursor.outlook
            if last:
                floor, outlook = max(floor, last[:-1]), None  # 1 LIST from there returns the whole page
        else:
            outlook = self.remembered.outlook(self.tenant, self.prefix, now)
            if outlook is not None and end is not None:
                outlook = Outlook("", 0, outlook.pace)  # of an earlier period only the pace is of use
        window = yield from newest(self.prefix, below=end, now=now, floor=floor, want=query.want, outlook=outlook)
        if end is None and window.names and not (window.whole and floor):
            self.remembered.remember(self.tenant, self.prefix, window.newest(now), now)
        return window, Stretch(self.type, after(window.start), None if end is None else at(end))

    def _counting(self, names: Sequence[str], window: Window, stretch: Stretch) -> Protocol[Counting]:
        now = self.context.now()
        watermark = 0
        if names and self.query.at is None and min(map(time_of, names)) + self.context.limits.settled < now:
            watermark = yield from self.remembered.watermark(self.tenant, self.keys, now)
        return Counting(
            self.keys,
            self.prefix,
            watermark,
            self.query.at,
            dict.fromkeys(window.names),
            stretch,
            kept=now - self.context.limits.keep_transactions,
            limits=self.context.limits,
            oldest_first=self.query.oldest_first,
        )
