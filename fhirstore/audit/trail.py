"""A tenant's audit trail: read by time, patient and agent; the chains of segments checked; what is old removed.

Cost of reading and of checking: 1 LIST per 1,000 segments of the time asked for, 1 GET per segment, 8 at once.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator

import msgspec

from fhirstore.audit.segment import SPAN, Segment, SegmentName, decode_segment, parse_name, told
from fhirstore.errors import CorruptRecord, ObjectNotFound
from fhirstore.format.keyspace import Keyspace
from fhirstore.objects.base import ObjectStore

_AT_ONCE = 8
_LATEST = 600_000  # ms: as long ago as a process that starts looks for the segments of others
_MOST_FINDINGS = 1_000
_FOREVER = 10**13


class Finding(msgspec.Struct, frozen=True):
    """Something that should not be so. `key`: of the segment. `detail`: what is wrong."""

    key: str
    detail: str


class TrailReport(msgspec.Struct, frozen=True):
    """What a check found. `open`: processes whose last segment does not say that they ended: they run, or were killed.

    `lost`: events that processes dropped, and said so. `left_off`: findings beyond the first thousand.
    """

    segments: int
    events: int
    processes: int
    open: int
    lost: int
    findings: tuple[Finding, ...]
    left_off: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing was removed or changed, as far as the segments can tell."""
        return not self.findings

    def as_json(self) -> dict[str, object]:
        """Returns the report as plain JSON values."""
        plain = msgspec.to_builtins(self)
        assert isinstance(plain, dict)  # noqa: S101 - a struct becomes a dict
        return plain


class AuditTrail:
    """The audit trail below `keys` in `objects`."""

    def __init__(self, objects: ObjectStore, keys: Keyspace) -> None:
        self.objects = objects
        self.prefix = keys.audit_trail()

    def key(self, name: SegmentName) -> str:
        """Returns the key of a segment."""
        return f"{self.prefix}{name}"

    async def newest(self, now: int) -> str:
        """Returns the name of the newest segment of the last ten minutes; "" where there is none. 1 LIST or more."""
        last = ""
        async for name in self.names(now - _LATEST, _FOREVER):
            last = str(name)
        return last

    async def names(self, since: int, until: int) -> AsyncIterator[SegmentName]:
        """Yields the names of segments that begin from `since` until `until`, epoch ms, oldest first."""
        cursor: str | None = None
        start = f"{self.prefix}{max(since, 0):013d}"
        while True:
            page = await self.objects.list(self.prefix, start_after=None if cursor else start, cursor=cursor)
            for item in page.objects:
                name = parse_name(item.key.removeprefix(self.prefix))
                if name is not None and name.t > until:
                    return
                if name is not None:
                    yield name
            cursor = page.cursor
            if cursor is None:
                return

    async def events(
        self, *, since: int = 0, until: int = _FOREVER, patient: str | None = None, agent: str | None = None
    ) -> AsyncIterator[bytes]:
        """Yields the AuditEvents recorded in [since, until), epoch ms, in the order of their times, each as JSON.

        `patient`: only those that name this patient. `agent`: only those of this client, user or address. Raises
        CorruptRecord, ObjectArchived, StoreBusy, StoreUnavailable.
        """
        waiting: list[tuple[int, str, int, bytes]] = []
        async for segment in self._segments(since - SPAN, until):
            while waiting and waiting[0][0] < segment.name.t:  # no later segment has an event before its own first one
                yield heapq.heappop(waiting)[3]
            name = str(segment.name)
            for n, event in enumerate(segment.events):
                try:
                    one = told(event)
                except ValueError:
                    raise CorruptRecord(self.key(segment.name)) from None
                if not since <= one.recorded < until:
                    continue
                if (patient is None or patient in one.patients) and (agent is None or agent in one.agents):
                    heapq.heappush(waiting, (one.recorded, name, n, event))
        while waiting:
            yield heapq.heappop(waiting)[3]

    async def _segments(self, since: int, until: int) -> AsyncIterator[Segment]:
        async for name, read in self._read(since, until):
            if isinstance(read, Segment):
                yield read
            elif read:
                raise CorruptRecord(self.key(name))

    async def _read(self, since: int, until: int) -> AsyncIterator[tuple[SegmentName, Segment | str]]:
        """Yields each segment, or what is wrong with it; "" where it was removed meanwhile."""
        some: list[SegmentName] = []
        async for name in self.names(since, until):
            some.append(name)
            if len(some) == _AT_ONCE:
                for one, read in zip(some, await asyncio.gather(*map(self._one, some)), strict=True):
                    yield one, read
                some = []
        for one, read in zip(some, await asyncio.gather(*map(self._one, some)), strict=True):
            yield one, read

    async def _one(self, name: SegmentName) -> Segment | str:
        try:
            found = await self.objects.get(self.key(name))
            return await asyncio.to_thread(decode_segment, name, found.body)
        except ObjectNotFound:
            return ""
        except ValueError as error:
            return str(error)

    async def verify(self, *, since: int = 0, until: int = _FOREVER, expired_before: int = 0) -> TrailReport:
        """Checks every segment that begins in this time, and that each chain is whole.

        `expired_before`: segments that began before may be gone. Raises as `events`, but for damage, which it reports.
        """
        check = _Check(self.prefix, max(since, expired_before))
        async for name, read in self._read(since, until):
            check.see(name, read)
        return check.report()

    async def expire(self, before: int) -> int:
        """Removes the segments all of whose events were recorded before this time, epoch ms. Returns how many.

        1 LIST and 1 DELETE per 1,000.
        """
        removed = 0
        keys: list[str] = []
        async for name in self.names(0, before - SPAN - 1):
            keys.append(self.key(name))
            if len(keys) == 1000:
                await self.objects.delete_many(keys)
                removed, keys = removed + len(keys), []
        if keys:
            await self.objects.delete_many(keys)
        return removed + len(keys)


class _Check:
    """The check of a trail, segment by segment; its memory depends on the number of processes and segments' names."""

    def __init__(self, prefix: str, horizon: int) -> None:
        """`horizon`: what began before, epoch ms, may be missing."""
        self._prefix = prefix
        self._horizon = horizon
        self._last: dict[str, Segment] = {}
        self._seen: set[str] = set()
        self._besides: list[tuple[str, str]] = []
        self._findings: list[Finding] = []
        self._left_off = self._segments = self._events = self._lost = 0

    def see(self, name: SegmentName, read: Segment | str) -> None:
        """Takes the next segment, in the order of names."""
        self._seen.add(str(name))
        self._segments += 1
        if isinstance(read, str):
            if read:
                self._find(str(name), read)
            return
        header, before = read.header, self._last.get(name.process)
        self._events += len(read.events)
        self._lost += header.lost
        if header.beside:
            self._besides.append((str(name), header.beside))
        if before is not None and header.number == before.header.number + 1:
            if (header.previous, header.sha256) != (str(before.name), before.sha256):
                self._find(str(name), f"does not follow {before.name} as that is: one of both was changed")
            if before.header.final:
                self._find(str(name), f"follows {before.name}, which says that it was the last")
        elif before is not None and header.number <= before.header.number:
            self._find(str(name), f"its number is {header.number}, after {before.header.number}")
        elif header.number != 1 and not self._may_be_gone(header.previous):
            self._find(str(name), f"the segment before, {header.previous}, is missing or damaged")
        for event in read.events:
            try:
                told(event)
            except ValueError:
                self._find(str(name), "an event is not readable")
                break
        self._last[name.process] = read

    def _may_be_gone(self, text: str) -> bool:
        name = parse_name(text)
        return name is not None and name.t < self._horizon

    def report(self) -> TrailReport:
        """Returns what was found."""
        for name, beside in self._besides:
            if beside not in self._seen and not self._may_be_gone(beside):
                self._find(name, f"names {beside}, which is missing")
        return TrailReport(
            self._segments,
            self._events,
            len(self._last),
            sum(not last.header.final for last in self._last.values()),
            self._lost,
            tuple(self._findings),
            self._left_off,
        )

    def _find(self, name: str, detail: str) -> None:
        if len(self._findings) < _MOST_FINDINGS:
            self._findings.append(Finding(self._prefix + name, detail))
        else:
            self._left_off += 1
