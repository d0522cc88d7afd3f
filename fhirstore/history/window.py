"""The newest events below a place, by a LIST that only goes forward.

Event keys sort by time, so the newest events end the listing, and a LIST starts anywhere but cannot go backwards. So
one lists a *window*: from some place up to the upper end. Started too late it holds nothing; too early and a LIST, of
at most 1,000 keys, is cut off before the end: it shows how dense the events are there, but not the newest ones.

Where to start: where an earlier LIST knows of enough events (its `Outlook`; the page then costs 1 LIST); or so far
back that some hundred events are expected at the pace seen last. When that window is cut off, the place that the
earlier LIST knows still holds an event at least: a shorter page, 2 LIST, and the next page, or the next look at the
newest events, knows where it was cut off. A few events are always kept for that. Where no place is known that holds
one (on the first page of a process, after a rush that it did not see), up to 6 LIST look for a full page; and only
while there is nothing to show at all, the search goes on (`bracket`).

The first look at a history by a process starts at its very beginning: up to 1,000 events are found at once.
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
_MOST_TO_LEARN = 6  # where nothing is known, or what was known is not true any more
_MOST_KNOWN = 900  # events to leave for one LIST to find again, with room for some that appear meanwhile
_MOST_REMEMBERED = 400  # the same, with room for as many new ones and more


@dataclass(frozen=True, slots=True)
class Window:
    """All events between `start` and the upper end: their `names`, oldest first. `whole`: no older ones are asked for.

    `bracket`: with what it learned if more are needed, but a LIST that started earlier was cut off.
    """

    names: tuple[str, ...]
    start: str
    whole: bool
    bracket: Bracket | None = None

    def take(self, want: int, *, first: bool = False) -> int:
        """How many of the newest to use now: a few are kept for the next page, should others be hard to find.

        Of the `first` page only one, if that makes it full.
        """
        spare = 0 if self.whole else min(len(self.names) - 1, _SPARE)
        if first and len(self.names) > want:
            spare = min(spare, 1)
        return min(want, len(self.names) - spare)

    def outlook(self, used: int) -> Outlook:
        """What to know of the events before the newest `used`."""
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
        """What to know when these very events are looked for again. `older`: what is known of those before them."""
        if older is not None and older.known + len(self.names) <= _MOST_KNOWN:
            return replace(older, known=older.known + len(self.names))
        pace = (time_of(self.names[-1]) - time_of(self.names[0])) / len(self.names)
        return _outlook(self.names, self.start, _MOST_KNOWN, pace)

    def newest(self, now: int) -> Outlook:
        """What to know for the next look at the newest events, when `names` end with them.

        Where they are few, that includes where a LIST was cut off, so that the next look finds more.
        """
        if self.bracket is not None and self.bracket.pace is not None:
            known = _outlook(self.names, self.start, _MOST_REMEMBERED, self.bracket.pace)
            return replace(known, reach=self.bracket.reach, tried=self.bracket.tried)
        pace = (now - time_of(self.names[0])) / len(self.names)
        return _outlook(self.names, self.start, _MOST_REMEMBERED, pace)


def newest(
    prefix: str, *, below: str | None, now: int, floor: str, want: int, outlook: Outlook | None
) -> Protocol[Window]:
    """The newest events below `below` (None: of all), and after `floor`; if there are any, at least one.

    1 or 2 LIST; up to 6 where the outlook is none or not true any more; more only as long as there is nothing to show.
    Raises Unavailable.
    """
    aim = max(100, min(_LIST // 2, 4 * want))
    bracket = Bracket(now if below is None else time_of(below), floor, aim, floor, tried=int(outlook is None))
    starts = _plan(bracket, outlook, want)
    most, lists = _MOST_LISTS if outlook is not None else _MOST_TO_LEARN, 0
    names: list[str] = []  # the most that were found up to the end, from `start` on
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
                bracket.tried = 0  # what crowds there may well end shortly ahead of where a LIST was cut off
            names, start = found, tried
        else:
            bracket.nothing_after(tried)
        if (names or start <= floor) and (len(names) >= want + _SPARE or start <= floor or lists >= most):
            break
    in_doubt = len(names) < want + _SPARE and bracket.reach > floor
    return Window(tuple(names), start, start <= floor, bracket if in_doubt else None)


def oldest(prefix: str, *, after: str, below: str | None, want: int) -> Protocol[Window]:
    """The oldest events after `after` and below `below` (None: of all). 1 LIST. Raises Unavailable."""
    names, complete = yield from _names(prefix, after, below, limit=want)
    return Window(tuple(names), after, complete)


def _plan(bracket: Bracket, outlook: Outlook | None, want: int) -> list[str]:
    """Where to start first, and if that was nothing, next."""
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
    """Events after `start` and below `below`; False: and perhaps more, then there is at least one."""
    request = List(prefix, start_after=prefix + start if start else None, limit=limit)
    while True:
        page = yield from listed(request)
        names = [found.key.removeprefix(prefix) for found in page.objects]
        inside = [name for name in names if (below is None or name < below) and is_name(name)]
        complete = page.cursor is None or (below is not None and bool(names) and names[-1] >= below)
        if inside or complete:
            return inside, complete
        request = List(prefix, cursor=page.cursor, limit=limit)
