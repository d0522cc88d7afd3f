"""One tenant's local index in this process: built from the bucket, brought up to date before each search.

`ensure` is the promise: whatever was acknowledged before it was called, by any process on any machine, is in the index
when it returns. It costs one LIST of the events since the watermark, shared by all who wait at that moment; what this
process wrote itself is at hand already, so that nothing of it is read. Where `local` consistency is enough, it sends
nothing: the versions of this process are there at once, those of others as soon as the follower has seen them.

A tenant that has nothing has no file: searches look for an event of it, and find nothing where there is none.

An index that is new, or was damaged, is built first: until then a search is told to come again, and is never answered
in part. One process of the machine builds; the others wait for it.

Waits and SQL run in threads (`fhirstore.threads`); one batch is applied at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from fhirstore.commit.drive import drive
from fhirstore.commit.idempotent import listed
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import List
from fhirstore.format.record import Record
from fhirstore.index.local.apply import IndexDamaged, IndexReplaced
from fhirstore.index.local.catalogue import Catalogue
from fhirstore.index.local.empty import EmptyIndex
from fhirstore.index.local.file import IndexFile
from fhirstore.index.local.noted import READY
from fhirstore.index.local.placing import noticing
from fhirstore.index.local.reader import Reader
from fhirstore.index.local.schema import LAYOUT
from fhirstore.indexing.aside import Aside
from fhirstore.indexing.builds import Builds
from fhirstore.indexing.catching_up import CatchingUp
from fhirstore.indexing.copies import newest_copy, worth_a_copy
from fhirstore.indexing.copying import APART, SavedCopy, save_copy
from fhirstore.indexing.follower import Follower
from fhirstore.indexing.held import HeldFile
from fhirstore.indexing.latest import Latest
from fhirstore.indexing.lead import Lead
from fhirstore.indexing.options import IndexOptions
from fhirstore.indexing.queue import Queue
from fhirstore.indexing.readings import Readings
from fhirstore.indexing.status import ABSENT, IndexBehind, IndexStatus, status_at, told
from fhirstore.tenancy import Place
from fhirstore.threads import in_thread

PATIENCE = 10.0
"""Seconds that a search waits for the index."""
_Result = TypeVar("_Result")


class _NotReady(Exception):
    """The index is being built."""


class Indexer:
    """Made with the path of the index file. The caller must `aclose` it."""

    def __init__(
        self,
        place: Place,
        context: Context,
        catalogue: Catalogue,
        path: Path,
        options: IndexOptions | None = None,
        *,
        is_served: Callable[[Place], bool] = lambda _: True,
    ) -> None:
        self.place = place
        self._is_served = is_served
        self.context = context
        self.path = path
        self.queue = Queue()
        self.queue.drop()  # what this process committed before
        self.lead = Lead(path)
        self.problem: str | None = None
        self._options = options or IndexOptions()
        self._held = HeldFile(path, catalogue, _identity(place))
        self._aside = Aside(self._held.identity) if self._options.aside else None
        self._catching_up = CatchingUp(place, context, self._held, self.queue, self._aside)
        self._builds = Builds(
            place,
            context,
            self._held,
            self.lead,
            keeps_lead=lambda: self._follower.active,
            problem=lambda problem: setattr(self, "problem", problem),
        )
        self._readings = Readings()
        self._seen = IndexStatus(str(path), ABSENT)
        self._vacant: bool | None = None  # True: the log had no event when it was last looked at; False: for good
        self._looked = Latest(self._look_for_events)
        self._ensured = Latest(self._bring_up_to_date)
        self._flushed = Latest(self._flush)
        self._follower = Follower(
            self,
            every=self._options.poll,
            steady=self._options.consistency == "local",
            copies=self._options.copies,
        )

    async def aclose(self) -> None:
        """Ends what is under way, and closes the file."""
        await self._follower.aclose()
        for runs in (self._looked, self._ensured, self._flushed, self._builds):
            await runs.aclose()
        if self._aside is not None:
            await self._aside.aclose()
        if self._held.file is not None:
            self._held.file.close()
        self.lead.release()

    @property
    def busy(self) -> bool:
        """Whether it has something to apply, or is being built, or filled."""
        return bool(len(self.queue)) or self._builds.busy

    async def rest(self) -> None:
        """Closes the file, and follows no more, until it is used again: then it is as if it had been made anew."""
        await self._follower.aclose()
        if self._aside is not None:
            await self._aside.aclose()
        self.lead.release()
        self.queue.drop()
        await self._held.close()

    @property
    def catalogue(self) -> Catalogue:
        """The parameters that can be searched, as far as this process knows: those of the tenant may have changed since
        it last read or applied anything.
        """
        return self._held.catalogue

    async def learn(self) -> None:
        """Brings the catalogue up to date, with all that was acknowledged. Raises IndexBehind, Unavailable."""
        await self.ensure(strong=True)
        await self.read(lambda reader: reader.seq)

    @property
    def is_served(self) -> bool:
        """Whether its place is still that of the tenant."""
        return self._is_served(self.place)

    def follow(self) -> None:
        """Keeps the index up to date from now on, where the options ask for that. To be called in the event loop."""
        if self._options.follow or self._options.consistency == "local":
            self._follower.begin()

    def wrote(self, type: str, id: str, record: Record) -> None:
        """Takes a version that this process has committed. To be called before the write is acknowledged."""
        self.wrote_all({f"{type}/{id}": record})

    def wrote_all(self, records: Mapping[str, Record]) -> None:
        """Does the same with all versions of a transaction, by `Type/id`."""
        self._vacant = False
        self.queue.add(records, now=self.context.now())
        self._follower.wake()

    async def ensure(self, *, within: float | None = None, strong: bool | None = None) -> None:
        """Returns when all is in the index that was acknowledged before the call. Raises IndexBehind, Unavailable.

        `within`: seconds; None: `PATIENCE`. `strong`: by any process; False: by this one; None: as the options say.
        """
        strongly = self._options.consistency == "strong" if strong is None else strong
        idle = self._vacant is False and not self.queue.dropped and not len(self.queue)
        if idle and (not strongly or self._catching_up.has_all()):
            self.follow()
            return
        try:
            async with asyncio.timeout(PATIENCE if within is None else within):
                if await self._is_vacant():
                    return
                self.follow()
                await (self._ensured if strongly else self._flushed).run()
        except TimeoutError as error:
            raise await self._behind() from error

    async def catch_up(self) -> None:
        """Does as a strong `ensure`, however long it takes."""
        await self._ensured.run()

    async def build(self, *, from_log: bool = False) -> None:
        """Builds the index, or goes on with that; nothing to do if it is ready. Raises Unavailable, CorruptRecord.

        `from_log`: take no copy of the bucket.
        """
        if from_log:
            await self._builds.build_alone(from_copy=False)
        else:
            await self._builds.build()

    async def save(self, *, apart: int = APART) -> SavedCopy | None:
        """Makes a copy of the index in the bucket. None: another machine does, or did within `apart` ms (negative: that
        does not matter).

        Raises IndexBehind, Unavailable, LeaseLost.
        """
        await self.catch_up()
        return await save_copy(await in_thread(self.opened), self.place, self.context, apart=apart)

    async def save_if_due(self) -> SavedCopy | None:
        """Makes a copy where there is none yet, or the newest lacks much of the index. 1 LIST and 1 GET to know."""
        file = await in_thread(self.opened)
        newest = await drive(newest_copy(self.place.keys, LAYOUT, self.catalogue.digest), self.place.objects)
        facts = await in_thread(file.facts)
        if facts.state != READY or not worth_a_copy(facts, newest, now=self.context.now()):
            return None
        return await save_copy(file, self.place, self.context)

    async def read(self, do: Callable[[Reader], _Result], *, like: Hashable = None, short: bool = True) -> _Result:
        """Returns what `do` returns, run on a reader of the newest sequence number. Raises IndexBehind.

        `like`, `short`: where it is run, see `Readings.run`.
        """
        if self._vacant:
            return await self._readings.run(EmptyIndex(self.catalogue), do, like=like, short=False)
        try:
            try:
                return await self._read_known(do, like, short=short)
            except IndexReplaced as error:
                await self._held.renew(error)
                await self.ensure(strong=True)  # what is there now may be behind what the caller made sure of
                return await self._read_known(do, like, short=short)
        except (IndexDamaged, _NotReady) as error:
            if isinstance(error, IndexDamaged):
                await self._held.renew(error)
            self._builds.begin()
            raise await self._behind() from error

    def opened(self) -> IndexFile:
        """Returns the file; makes it. Blocks. Raises IndexUnusable."""
        return self._held.opened()

    async def take_purges(self) -> None:
        """Applies the purges of all machines since the last look. 1 LIST, and 1 GET for each. Raises Unavailable."""
        await self._catching_up.take_purges()

    async def leave(self) -> None:
        """Removes the file that this process has open: its tenant was removed. That of another tenant is left alone."""
        await self._held.leave()

    async def drop(self) -> bool:
        """Removes the file. Returns whether there was one; whoever searches next builds another. Other processes
        notice at their next search."""
        return await self._held.drop()

    async def status(self) -> IndexStatus:
        """Returns how the index is, without making one."""
        queued, leads = len(self.queue), self.lead.held
        now, problem = self.context.now(), self.problem
        return await in_thread(lambda: status_at(self.path, now=now, queued=queued, leads=leads, problem=problem))

    async def look(self) -> None:
        """Reads the file's facts for `seen`."""
        self._seen = await self.status()

    @property
    def seen(self) -> IndexStatus:
        """How the index is, without reading the file: of what is in it, what was last looked at."""
        complete = max(self._catching_up.complete, self._seen.complete)
        return replace(
            self._seen,
            complete=complete,
            lag=max(0, self.context.now() - complete) / 1000 if complete else None,
            queued=len(self.queue),
            leads=self.lead.held,
            problem=self.problem,
        )

    async def _behind(self) -> IndexBehind:
        """Returns what a search is told that cannot be answered yet, with how far the index is."""
        return IndexBehind(told(await self.status()))

    async def _read_known(self, do: Callable[[Reader], _Result], like: Hashable, *, short: bool) -> _Result:
        """Reads the file that this process has brought up to date. Raises IndexReplaced where it is another one."""
        known = self._catching_up.known
        file = self._held.file if known is not None else await in_thread(self.opened)
        if file is None or (known is not None and not self._catching_up.is_sure_of(file)):
            raise IndexReplaced(f"The index at {self.path} was replaced")
        return await self._readings.run(file, partial(_answered, do), like=like, short=short)

    async def _is_vacant(self) -> bool:
        """Returns whether the tenant has nothing, and never had. 1 LIST where there is no file."""
        if self._vacant is not False:
            with noticing(self.path):
                there = self._held.file is not None or self.path.exists()
            if there:
                self._vacant = False
            else:
                await self._looked.run()
        return self._vacant is True

    async def _look_for_events(self) -> None:
        page = await drive(listed(List(self.place.keys.system_history(), limit=1)), self.place.objects)
        if self._vacant is not False:  # this process has written meanwhile
            self._vacant = not page.objects

    async def _bring_up_to_date(self) -> None:
        """Waits for the index to be built, too, if it is not: whoever waits for this decides how long."""
        while True:
            try:
                known = await self._catching_up.surely_ready()
                if known is not None and await self._catching_up.caught_up(known):
                    self._builds.begin_filling(known.file)
                    return
                await asyncio.shield(self._builds.begin())
            except IndexDamaged as error:
                await self._held.renew(error)

    async def _flush(self) -> None:
        """Where the file cannot be used, another one is opened by what makes it strong."""
        with suppress(IndexDamaged):
            if await self._catching_up.flush():
                return
        await self._ensured.run()


def _identity(place: Place) -> str:
    since = f" {place.since}" if place.since else ""
    return f"{place.objects.location} {place.tenant}{since}"


def _answered(do: Callable[[Reader], _Result], reader: Reader) -> _Result:
    if not reader.ready:
        raise _NotReady
    return do(reader)
