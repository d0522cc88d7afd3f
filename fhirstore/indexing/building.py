"""Builds an index from the log: LIST, GET and SQL at the same time, in bounded memory.

Events are listed a page ahead. A page is read in groups of resources, some groups at once; what was read is applied in
large batches, in the order of the log, while the next groups are read. So the bucket and the disk are both kept busy.
The rows of a batch are made while those before are written, where there is much to build by other processes
(`extracting`).

From the beginning, one transaction applies a *run* of batches, the more the larger the index is, since that touches
each page of the file less often. What is not committed is lost with the process, and read again.

A group is told the versions of the groups before it, which will be applied first: a resource with events in two groups
is read once. If anything fails, what has no rows yet is dropped; the watermark says where to go on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context
from fhirstore.errors import FhirStoreError, Unavailable
from fhirstore.format.keyspace import Event
from fhirstore.format.record import Record
from fhirstore.history.page import safe_time
from fhirstore.index.local.apply import Batch
from fhirstore.index.local.file import IndexFile, PreparedBatch
from fhirstore.indexing.changes import Changes
from fhirstore.indexing.committed import committed, events_from, first_times, name_of
from fhirstore.indexing.extracting import Extracting
from fhirstore.tenancy import Place
from fhirstore.threads import in_thread

PAGE = 2_000
"""Events of one page."""
_GROUP, _AT_ONCE = 64, 4  # resources that are read together, and groups that are read at once
_BATCH, _BATCH_BYTES = 5_000, 16 * 1024 * 1024  # whose rows are made together: resources, or bytes of their content
_RUN, _RUN_BYTES = 50_000, 64 * 1024 * 1024  # what one transaction of a build from the beginning has at most
_SHARE = 8  # of the resources that are there, a run is one in so many: its end is waited for with nothing beside it


@dataclass(frozen=True, slots=True)
class _Page:
    """`events`: settled ones. `watermark`: when all of them are applied. `safe`: the safe time before the LIST. All
    times are epoch ms.
    """

    events: Sequence[Event]
    watermark: int
    safe: int
    now: int
    last: bool


@dataclass(frozen=True, slots=True)
class _Group:
    """What is read of some resources. `watermark`: of their page, if they are the last of it."""

    records: Mapping[str, Record]
    born: Mapping[str, int]
    now: int
    watermark: int | None


@dataclass(slots=True)
class _Collected:
    """What is read and not applied yet. `size`: bytes."""

    records: dict[str, Record] = field(default_factory=dict)
    born: dict[str, int] = field(default_factory=dict)
    watermark: int | None = None
    now: int = 0
    size: int = 0

    def add(self, group: _Group) -> None:
        self.records.update(group.records)
        for name, born in group.born.items():
            self.born.setdefault(name, born)
        self.watermark = self.watermark if group.watermark is None else group.watermark
        self.now = max(self.now, group.now)
        self.size += sum(len(record.resource or b"") for record in group.records.values())

    @property
    def full(self) -> bool:
        return len(self.records) >= _BATCH or self.size >= _BATCH_BYTES


class Building:
    """One build of `file`, from its watermark up to the safe time. Used once."""

    def __init__(self, place: Place, context: Context, file: IndexFile, extracting: Extracting) -> None:
        self._place = place
        self._context = context
        self._file = file
        self._extracting = extracting
        self._ahead: dict[str, int] = {}  # versions that are read, and not applied yet
        self._most = _GROUP
        self._keep_old = False
        self._collected = _Collected()
        self._listing: asyncio.Task[_Page] | None = None
        self._reading: deque[asyncio.Task[_Group]] = deque()
        self._preparing: deque[asyncio.Task[PreparedBatch]] = deque()
        self._run: list[PreparedBatch] = []  # what is applied next, together
        self._run_size, self._run_bytes, self._taken = 0, 0, 0
        self._applying: asyncio.Task[None] | None = None
        self._being_applied: list[PreparedBatch] = []

    async def run(self) -> None:
        """Applies all that is settled. Raises Unavailable, CorruptRecord, IndexDamaged.

        Old rows are kept where the index was ready before, for searches that were under way.
        """
        since = await in_thread(lambda: self._file.watermark)
        self._keep_old = since > 0
        try:
            async for page in self._pages(since):
                await self._read_page(page)
            while self._reading:
                await self._collect()
            await self._prepare()
            while self._preparing:
                await self._take()
            await self._apply()
            await self._applied()
        except Unavailable:
            with suppress(FhirStoreError):  # what is read already is not read again
                await self._apply()
                await self._applied()
            raise
        finally:
            await self._end()

    async def _pages(self, since: int) -> AsyncIterator[_Page]:
        """Yields pages of events; the next one is listed meanwhile."""
        page = await self._listed(since)
        while not page.last:
            self._listing = asyncio.create_task(self._listed(page.watermark))
            yield page
            page = await self._listing
        yield page

    async def _listed(self, since: int) -> _Page:
        safe, now = safe_time(self._context), self._context.now()
        listing = await drive(events_from(self._place.keys, since, most=PAGE), self._place.objects)
        last = listing.complete or listing.end >= safe
        settled = [event for event in listing.events if event.t < safe]
        return _Page(settled, safe if last else listing.end, safe, now, last)

    async def _read_page(self, page: _Page) -> None:
        """Begins to read the resources of a page, a group after the other."""
        by_name: dict[str, list[Event]] = {}
        for event in page.events:
            by_name.setdefault(name_of(event), []).append(event)
        names = list(by_name)
        start = 0
        while start < len(names) or not names:
            while len(self._reading) >= _AT_ONCE:
                await self._collect()
            some, start = names[start : start + self._most], start + self._most
            watermark = page.watermark if start >= len(names) else None
            events = {name: by_name[name] for name in some}
            self._reading.append(asyncio.create_task(self._read(page, events, watermark)))
            if not names:
                return

    async def _read(self, page: _Page, of: Mapping[str, Sequence[Event]], watermark: int | None) -> _Group:
        """Reads the resources that events are of, by name. The file is not asked for those that begin among them."""
        older = [name for name, some in of.items() if min(event.version for event in some) > 1]
        known = await asyncio.to_thread(self._file.known, older) if older else {}
        for name in of.keys() & self._ahead.keys():
            known[name] = max(known.get(name, 0), self._ahead[name])
        events = [event for some in of.values() for event in some]
        found = await drive(committed(self._place.keys, events, known, safe=page.safe), self._place.objects)
        times = await drive(first_times(self._place.keys, events, found.records, known), self._place.objects)
        return _Group(found.records, times, page.now, watermark)

    async def _collect(self) -> None:
        """Waits for the first group, and applies what is collected if that is much."""
        group = await self._reading.popleft()
        self._collected.add(group)
        self._ahead.update({name: record.version for name, record in group.records.items()})
        largest = max((len(record.resource or b"") for record in group.records.values()), default=0)
        self._most = max(1, min(_GROUP, _BATCH_BYTES // (_AT_ONCE * max(1, largest))))
        if self._collected.full:
            await self._prepare()

    async def _prepare(self) -> None:
        """Begins to make the rows of what is collected, when one of those that are made is done."""
        while len(self._preparing) >= self._extracting.at_once:
            await self._take()
        some, self._collected = self._collected, _Collected()
        changes = Changes((some.records,), some.born).changes()
        batch = Batch(changes, watermark=some.watermark, at=some.now, keep_old=self._keep_old)
        self._preparing.append(asyncio.create_task(self._extracting.prepared(batch)))

    async def _take(self) -> None:
        """Waits for the rows of the first batch, and begins to apply what has rows if that is much."""
        ready = await self._preparing.popleft()
        self._run.append(ready)
        self._run_size += len(ready.batch.changes)
        self._run_bytes += sum(len(one.resource) for one in ready.batch.changes if isinstance(one.resource, bytes))
        self._taken += len(ready.batch.changes)
        most = min(_RUN, self._taken // _SHARE)
        if self._keep_old or self._run_size >= most or self._run_bytes >= _RUN_BYTES:
            await self._apply()

    async def _apply(self) -> None:
        """Begins to apply what has rows, when what was before is applied."""
        await self._applied()
        some, self._run = self._run, []
        self._run_size, self._run_bytes = 0, 0
        if some:
            self._being_applied = some
            self._applying = asyncio.create_task(asyncio.to_thread(self._file.apply_together, some))

    async def _applied(self) -> None:
        if self._applying is not None:
            await self._applying
            self._applying = None
            for batch in self._being_applied:
                for change in batch.batch.changes:
                    self._ahead.pop(change.name, None)
            self._being_applied = []

    async def _end(self) -> None:
        """Ends what is still under way; a batch that is being written is written to its end."""
        for task in (self._listing, *self._reading, *self._preparing):
            if task is not None:
                task.cancel()
        tasks = [task for task in (self._listing, self._applying, *self._reading, *self._preparing) if task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)
