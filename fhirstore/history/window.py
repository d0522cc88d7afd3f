"""The newest events below a position, by a LIST that only goes forward.

Event keys sort by time, so the newest events are at the end of the listing. A LIST may start anywhere, but it cannot go
backwards. So a history lists a *window*: from some start up to the upper end. If the start is too late, the window is
empty. If it is too early, the LIST (at most 1,000 keys) is cut off before the end; it shows how dense the events are
there, but not the newest ones.

The start is chosen in this order:

1. If an earlier LIST has left an `Outlook` with enough known events, the window starts there: 1 LIST.
2. Otherwise it starts so far back that some hundred events are expected at the last known pace. If that LIST is cut
   off, a second one starts where the earlier LIST knows of at least one event: a shorter page, 2 LIST. The next page
   knows where this one was cut off. A few known events are always left for that purpose.
3. If no position with an event behind it is known (the first page of a process, or after a burst of writes), up to 6
   LIST search for a full page. More are made only while nothing was found at all (`bracket`).

The first window of a process starts at the beginning of the history: up to 1,000 events are found at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from fhirstore.commit.idempotent import listed
from fhirstore.commit.messages import List, Protocol
from fhirstore.history.bracket import Bracket, time_of
from fhirstore.history.cursor import Outlook, is_name

_LIST = 1_000
_SPARE = 16
_AFTER_ALL = "~"
_MOST_LISTS = 2
_MOST_TO_LEARN = 6  # if nothing is known, or what was known is not true any more
_MOST_KNOWN = 900  # known events that one LIST finds again, with room for some new ones
_MOST_REMEMBERED = 400  # the same, with room for as many new ones


@dataclass(frozen=True, slots=True)
class Window:
    """The `names` of all events between `start` and the upper end, oldest first.

    `whole`: the query asks for no older ones. `bracket`: what the search has learned, if more events are needed and a
    LIST that started earlier was cut off.
    """

    names: tuple[str, ...]
    start: str
    whole: bool
    bracket: Bracket | None = None

    def take(self, want: int, *, first: bool = False) -> int:
        """Returns how many of the newest events to use now; the others are kept for the next page.

        The next page is sure to find those. On the `first` page only one is kept if that makes the page full.
        """
        spare = 0 if self.whole else min(len(self.names) - 1, _SPARE)
        if first and len(self.names) > want:
            spare = min(spare, 1)
        return min(want, len(self.names) - spare)

    def outlook(self, used: int) -> Outlook:
        """Returns the outlook for the events before the newest `used`."""
        left = self.names[: len(self.names) - used]
        if self.bracket is not None and self.bracket.pace is not None:
            known = _outlook(left, self.start, _MOST_KNOWN, self.bracket.pace)
            return replace(known, reach=self.bracket.reach, tried=self.bracket.tried)
        older = left or self.names
        older = older[: len(older) // 2 + 1]
        begin = older[0] if self.whole else self.start
        pace = (time_of(older[-1]) - time_of(begin)) / len(older)
        return _outlook(left, self.start, _MOST_KNOWN, pace)

    def again(self, older: Outlook | None) -> Outlook:
        """Returns the outlook for finding these events again. `older`: the outlook for those before them."""
        if older is not None and older.known + len(self.names) <= _MOST_KNOWN:
            return replace(older, known=older.known + len(self.names))
        pace = (time_of(self.names[-1]) - time_of(self.names[0])) / len(self.names)
        return _outlook(self.names, self.start, _MOST_KNOWN, pace)

    def newest(self, now: int) -> Outlook:
        """Returns the outlook for the next query of the newest events; `names` must end with the newest ones.

        If they are few, it includes where a LIST was cut off, so that the next query finds more.
        """
        if self.bracket is not None and self.bracket.pace is not None:
            known = _outlook(self.names, self.start, _MOST_REMEMBERED, self.bracket.pace)
            return replace(known, reach=self.bracket.reach, tried=self.bracket.tried)
        pace = (now - time_of(self.names[0])) / len(self.names)
        return _outlook(self.names, self.start, _MOST_REMEMBERED, pace)


def newest(
    prefix: str, *, below: str | None, now: int, floor: str, want: int, outlook: Outlook | None
) -> Protocol[Window]:
    """Returns the newest events below `below` (None: no bound) and after `floor`; at least one, if there are any.

    Cost: 1 or 2 LIST; up to 6 without an outlook, or if it is wrong; more only while nothing was found. Raises
    Unavailable.
    """
    aim = max(100, min(_LIST // 2, 4 * want))
    bracket = Bracket(now if below is None else time_of(below), floor, aim, floor, tried=int(outlook is None))
    starts = _plan(bracket, outlook, want)
    most, lists = _MOST_LISTS if outlook is not None else _MOST_TO_LEARN, 0
    names: list[str] = []  # the longest window so far, from `start` up to the end
    start = _AFTER_ALL
    while True:
        if starts and not names:
            tried = starts.pop(0)
        elif names:
            tried = bracket.lower(start, len(names))
        else:
            tried, most = bracket.guess(), _MOST_TO_LEARN
        if tried >= start or not bracket.admits(tried):
            if names:
                break
            continue
        lists += 1
        found, complete = yield from _names(prefix, tried, below)
        if not complete:
            bracket.cut_off(found)
        elif found or tried <= floor:
            if not names and most == _MOST_TO_LEARN:
                bracket.tried = 0  # the dense part may end shortly after the position where a LIST was cut off
            names, start = found, tried
        else:
            bracket.nothing_after(tried)
        if (names or start <= floor) and (len(names) >= want + _SPARE or start <= floor or lists >= most):
            break
    in_doubt = len(names) < want + _SPARE and bracket.reach > floor
    return Window(tuple(names), start, start <= floor, bracket if in_doubt else None)


def oldest(prefix: str, *, after: str, below: str | None, want: int) -> Protocol[Window]:
    """Returns the oldest events after `after` and below `below` (None: no bound). 1 LIST. Raises Unavailable."""
    names, complete = yield from _names(prefix, after, below, limit=want)
    return Window(tuple(names), after, complete)


def _plan(bracket: Bracket, outlook: Outlook | None, want: int) -> list[str]:
    """Returns the first start, and the next one if that finds nothing."""
    if outlook is None:
        return [bracket.floor]
    start = max(outlook.start, bracket.floor)
    if outlook.known and (start <= bracket.floor or outlook.known >= want + _SPARE):
        return [start]
    if bracket.floor < outlook.reach < start:
        bracket.reach, bracket.pace, bracket.tried = outlook.reach, outlook.pace, outlook.tried
        first = bracket.ahead(start)
    else:
        first = bracket.back(outlook.pace, start)
    if outlook.known:
        return [first, start]
    bracket.empty = start if start > bracket.floor else None
    return [first]


def _outlook(names: Sequence[str], start: str, most: int, pace: float) -> Outlook:
    known = min(len(names), most)
    begin = names[-known - 1] if known < len(names) else start
    return Outlook(begin, known, min(max(pace, 1e-3), 1e12))


def _names(prefix: str, start: str, below: str | None, *, limit: int = _LIST) -> Protocol[tuple[list[str], bool]]:
    """Returns events after `start` and below `below`, and whether these are all. If not, there is at least one."""
    request = List(prefix, start_after=prefix + start if start else None, limit=limit)
    while True:
        page = yield from listed(request)
        names = [found.key.removeprefix(prefix) for found in page.objects]
        inside = [name for name in names if (below is None or name < below) and is_name(name)]
        complete = page.cursor is None or (below is not None and bool(names) and names[-1] >= below)
        if inside or complete:
            return inside, complete
        request = List(prefix, cursor=page.cursor, limit=limit)
