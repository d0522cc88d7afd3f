"""The history of a type or of a whole tenant: one page, from the event keys.

A page costs 1 or 2 LIST, and 1 or 2 GET per event looked at; no more events are looked at than entries were asked
for. So now and then it is shorter than asked for: where an attempt died and left its events, where the density of
events changes, where versions are large. Only as long as it is empty it goes on, twenty times at most. Once a minute
1 GET more reads the sweeper's watermark; and each young transaction costs 1 GET more (`whole_transactions`).

With `at`, events from before the period count if their version was still current: 1 more GET says when the next one
came. Many are looked at in vain where resources changed often; the pages are short then.

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

_ROUNDS = 20  # then the page is empty, and its `next` goes on: no request runs for ever


Read = Callable[[Sequence[str], Budget], Protocol[tuple[list[Version], int]]]
"""Given the names of events, newest first: what is on the page, and how many were looked at before it was full."""


@dataclass(frozen=True, slots=True)
class EventsHistory:
    """One history of events: a type's, or with `type` None the tenant's."""

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
        """The first page, or the one that `cursor_text` names. `read`: another way to tell what is on it.

        Raises InvalidResource (cursor), Unavailable.
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
        """The cursor of the page before the one that `asked` names: what was shown there, and no more.

        The `window` of this page is good for finding it again.
        """
        if asked is None or not asked.before:
            return None
        outlook: Outlook | None = None
        if window.names and not self.query.oldest_first:
            outlook = window.again(asked.outlook if asked.last else None)
        return encode(EventsCursor(asked.before[-1], as_of, outlook, asked.before[:-1], asked.name))

    def _just_before(self, name: str) -> str:
        """A place from which this event is the next one: no other event's name lies between."""
        return name[:-1] if self.query.oldest_first else f"{name}."

    def _joined(self, page: Stretch | None, listed: Stretch) -> Stretch:
        """What this page has looked at before, with nothing found, and what was listed now."""
        if page is None:
            return listed
        return (
            Stretch(self.type, page.first, listed.below)
            if self.query.oldest_first
            else replace(listed, below=page.below)
        )

    def _in_order(self, window: Window, want: int, *, first: bool) -> tuple[str, ...]:
        """The events to look at."""
        if self.query.oldest_first:
            return window.names[:want]
        return window.names[::-1][: window.take(want, first=first)]

    def _window(self, cursor: EventsCursor | None) -> Protocol[tuple[Window, Stretch]]:
        """Events to choose from, and the stretch of which they are all."""
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
                floor, outlook = max(floor, last[:-1]), None  # 1 LIST from there has the whole page
        else:
            outlook = self.remembered.outlook(self.tenant, self.prefix, now)
            if outlook is not None and end is not None:
                outlook = Outlook("", 0, outlook.pace)  # only the pace may help where the period ended
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
