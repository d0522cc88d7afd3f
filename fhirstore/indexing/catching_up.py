"""Brings an index up to date by consistent cuts: what this process wrote, and what the log says since the watermark."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context
from fhirstore.history.page import safe_time
from fhirstore.index.local.apply import IndexDamaged
from fhirstore.index.local.file import IndexFile
from fhirstore.indexing.aside import Aside
from fhirstore.indexing.changes import Changes
from fhirstore.indexing.committed import Listing, committed, events_from, first_times, name_of
from fhirstore.indexing.held import HeldFile
from fhirstore.indexing.purges import purges_since
from fhirstore.indexing.queue import Queue, Versions
from fhirstore.indexing.rewound import newest_applied, rewound
from fhirstore.tenancy import Place
from fhirstore.threads import in_thread

MOST_PENDING = 100_000
"""New events since the watermark that are looked through at once; with more, the index is built up to them first."""
MOST_READ = 5_000
"""Settled resources that are read at once; with more, the index is built up to them first, in bounded memory."""
_WRITTEN_EVERY = 1_000  # ms between watermarks that are written though nothing has changed


@dataclass(slots=True)
class Known:
    """What this process knows of a file without asking it. `watermark`: the file's may be later. `done`: keys of the
    events of the last listing whose versions, or later ones, it has. `written`: when the watermark was, epoch ms.
    `sure`: this process has brought it up to date. `writes`: what the store said (`ObjectStore.writes`) before the last
    listing whose versions it all has; `listed`: when that was, epoch ms.
    """

    file: IndexFile
    watermark: int
    done: set[str] = field(default_factory=set)
    written: int = 0
    sure: bool = False
    writes: int | None = None
    listed: int = 0


class CatchingUp:
    """That of one index. `known`: of the file that is open. `complete`: epoch ms; it had all that was acknowledged
    before.
    """

    def __init__(self, place: Place, context: Context, held: HeldFile, queue: Queue, aside: Aside | None) -> None:
        self.place = place
        self.context = context
        self.known: Known | None = None
        self.complete = 0
        self._held = held
        self._queue = queue
        self._aside = aside

    def has_all(self) -> bool:
        """Returns whether nothing was written to the store since the last listing, of whose versions none lacks.

        Only for a second: what a run does beside, such as to write the watermark, is not put off for longer.
        """
        known = self.known
        if known is None or not known.sure or known.file is not self._held.file or known.writes is None:
            return False
        since = self.context.now() - known.listed
        return 0 <= since < _WRITTEN_EVERY and self.place.objects.writes() == known.writes

    def is_sure_of(self, file: IndexFile) -> bool:
        """Returns whether this process has brought the file up to date."""
        known = self.known
        return known is not None and known.file is file and known.sure

    async def surely_ready(self) -> Known | None:
        """Returns what is known of the file; None where it is being built, or is set aside.

        Where the bucket has gone back in time, by a restore for instance, the file is set aside. That is looked at once
        of each file, by a few GETs. Raises IndexDamaged.
        """
        known = self.known
        if known is not None and known.file is self._held.file:
            known.file.check()
            return known
        file = await in_thread(self._held.ready)
        if file is None:
            return None
        newest = await in_thread(newest_applied, file)
        if await drive(rewound(self.place.keys, newest), self.place.objects):
            await self._held.renew(IndexDamaged("The bucket has gone back in time"))
            return None
        self.known = Known(file, await in_thread(lambda: file.watermark))
        return self.known

    async def caught_up(self, known: Known) -> bool:
        """Applies one batch that is a consistent cut: what this process wrote, and what the events since came to.

        Returns whether that was possible: False where more is pending than a search waits for. Where nothing is new,
        the file is not touched but for the watermark, once a second.
        """
        taken = self._queue.take()
        try:
            done = await self._take_in(known, taken)
        except BaseException:
            self._queue.failed(taken)
            raise
        (self._queue.done if done else self._queue.failed)(taken)
        known.sure = known.sure or done
        return done

    async def _take_in(self, known: Known, taken: Versions) -> bool:
        writes = self.place.objects.writes()
        safe, now = safe_time(self.context), self.context.now()
        listing = await self._listed(known.watermark, most=MOST_PENDING, done=known.done)
        if not listing.complete and (later := await in_thread(lambda: known.file.watermark)) > known.watermark:
            known.watermark = later  # others applied, or it was built
            listing = await self._listed(later, most=MOST_PENDING, done=known.done)
        if not listing.complete:
            return False
        versions = {name: record.version for name, record in taken.items()}
        asked = {name for event in listing.events if event.version > versions.get(name := name_of(event), 0)}
        there: Mapping[str, int] = {}
        if asked:
            there = await in_thread(known.file.known, asked)
            versions |= {name: max(versions.get(name, 0), version) for name, version in there.items()}
        if len(_settled(listing, versions, safe)) > MOST_READ:
            return False
        found = await drive(committed(self.place.keys, listing.events, versions, safe=safe), self.place.objects)
        watermark = safe if found.undecided is None else min(safe, found.undecided)
        if taken or found.records or now - known.written >= _WRITTEN_EVERY:
            newest = {**taken, **found.records}
            times = await drive(first_times(self.place.keys, listing.events, newest, there), self.place.objects)
            changes = Changes((found.records, taken), times)
            await changes.applied(
                known.file, watermark=watermark, now=now, keep_old=True, complete=True, aside=self._aside
            )
            known.written = now
        self.complete = max(self.complete, now)
        known.watermark = max(known.watermark, watermark)
        versions |= {name: record.version for name, record in found.records.items()}
        known.done = {
            key
            for key, event in zip(listing.keys, listing.events, strict=True)
            if event.version <= versions.get(name_of(event), 0)
        }.union(listing.left_out)
        known.writes, known.listed = writes, now
        return True

    async def flush(self) -> bool:
        """Applies what this process wrote, and sends nothing. Returns whether that was possible: not where the file has
        not heard of a resource that it did not create, since the log tells its first version, and so its place.
        """
        file = None if self._queue.dropped else await in_thread(self._held.ready)
        if file is None or not self.is_sure_of(file):
            return False
        versions = self._queue.unapplied()
        later = [name for name, record in versions.items() if record.version > 1]
        if later and len(await in_thread(file.known, later)) < len(later):
            return False
        if versions:
            changes = Changes((versions,), {})
            await changes.applied(file, watermark=None, now=self.context.now(), keep_old=True)
            self._queue.applied(versions)
        return True

    async def take_purges(self) -> None:
        """Applies the purges of all machines since the last look. 1 LIST, and 1 GET for each. Raises Unavailable."""
        file = await in_thread(self._held.opened)
        since = await in_thread(file.fact, "purges")
        safe, now = safe_time(self.context), self.context.now()
        found = await drive(purges_since(self.place.keys, since or 0, safe=safe), self.place.objects)

        def do() -> None:
            if found.records:
                Changes((found.records,), {}).apply(file, watermark=None, now=now, keep_old=True)
            file.note("purges", found.through)

        await in_thread(do)

    async def _listed(self, since: int, *, most: int, done: Collection[str] = frozenset()) -> Listing:
        return await drive(events_from(self.place.keys, since, most=most, done=done), self.place.objects)


def _settled(listing: Listing, versions: Mapping[str, int], safe: int) -> set[str]:
    """Returns the resources with settled events of versions that are not known."""
    events = listing.events
    return {name for event in events if event.t < safe and event.version > versions.get(name := name_of(event), 0)}
