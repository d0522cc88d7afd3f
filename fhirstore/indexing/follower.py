"""Keeps an index up to date in the background, so that searches find little to do, and looks after its file.

Each process applies what it wrote itself. One process of the machine *leads* (`lead`): it also looks at the log for the
writes of others, at the audit lines for their purges, drops old rows, builds the file if it must, and stores copies of
it in the bucket. Where the tenant was removed, the file is removed, too.

Where nothing happens the looks become rarer, unless searches rely on them (`steady`: `local` consistency): a strong
search looks for itself. What fails is tried again, later and later; the index says what it was (`Indexer.problem`).
"""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Protocol

from fhirstore.commit.limits import Context
from fhirstore.errors import FhirStoreError
from fhirstore.index.local.file import IndexFile
from fhirstore.indexing.lead import Lead
from fhirstore.indexing.queue import Queue
from fhirstore.threads import offload

KEPT = 3_600_000
"""How long old rows are kept, ms: so old may the link to a next page be."""
_PRUNED_EVERY = 600.0  # seconds
_COPY_LOOKED_AT_EVERY = 600.0  # seconds
_FACTS_EVERY = 15.0  # seconds between countings of what is in the file
_SELDOM = 15  # times `every`, between looks where nothing happens
_TRY_AGAIN = 60.0  # seconds, at most, between looks that fail


class Followed(Protocol):
    """The index that is kept up to date: `Indexer`."""

    queue: Queue
    lead: Lead
    problem: str | None
    context: Context

    @property
    def is_served(self) -> bool: ...
    def opened(self) -> IndexFile: ...
    async def leave(self) -> None: ...
    async def catch_up(self) -> None: ...
    async def look(self) -> None: ...
    async def take_purges(self) -> None: ...
    async def save_if_due(self) -> object: ...


class Follower:
    """`every`: seconds between looks. `steady`: look as often where nothing happens. `copies`: store copies of the
    index in the bucket.
    """

    def __init__(self, index: Followed, *, every: float, steady: bool, copies: bool = False) -> None:
        self._index = index
        self._every = every
        self._steady = steady
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._copies = copies
        self._copying: asyncio.Task[None] | None = None
        self._prune_at = self._copy_at = self._facts_at = 0.0
        self._seq: int | None = None

    @property
    def active(self) -> bool:
        """Whether it has begun, and not ended."""
        return self._task is not None and not self._task.done()

    def begin(self) -> None:
        """Begins, if it has not."""
        if not self.active:
            self._task = asyncio.create_task(self._run(), name="fhirstore-index")

    def wake(self) -> None:
        """Says that this process has committed something: it is applied within `every` seconds."""
        self._woken.set()

    async def aclose(self) -> None:
        """Ends it."""
        tasks = [task for task in (self._task, self._copying) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        wait = 0.0
        while True:
            await self._pause(wait)
            try:
                if not self._index.is_served:
                    await self._index.leave()
                    self._index.lead.release()
                    return
                busy = await self.look()
            except (FhirStoreError, sqlite3.Error, OSError) as error:
                self._index.problem = _told(error)
                wait = min(_TRY_AGAIN, max(self._every, 2 * wait))
            else:
                self._index.problem = None
                longest = self._every if busy or self._steady else _SELDOM * self._every
                wait = min(longest, max(self._every, 1.5 * wait))

    async def _pause(self, wait: float) -> None:
        """Waits; where this process commits something meanwhile, no longer than `every` seconds from then."""
        try:
            async with asyncio.timeout(wait):
                await self._woken.wait()
        except TimeoutError:
            pass
        else:
            self._woken.clear()
            await asyncio.sleep(self._every)
            self._woken.clear()

    async def look(self) -> bool:
        """Does once what is to do. Returns whether anything had happened. Raises FhirStoreError, sqlite3.Error."""
        index = self._index
        await offload(index.opened)  # makes the folder
        leads = index.lead.take()
        if not leads and not len(index.queue):
            return False
        await index.catch_up()
        if leads:
            await index.take_purges()
            await self._prune()
            if self._copies:
                self._copy()
            await self._look_at_facts()
        before, self._seq = self._seq, await offload(lambda: index.opened().fact("seq"))
        return self._seq != before

    def _copy(self) -> None:
        """Makes a copy beside the looks, if one is due: it takes seconds, or minutes."""
        now = asyncio.get_running_loop().time()
        if now >= self._copy_at and (self._copying is None or self._copying.done()):
            self._copy_at = now + _COPY_LOOKED_AT_EVERY
            self._copying = asyncio.create_task(self._save(), name="fhirstore-index-copy")

    async def _save(self) -> None:
        try:
            await self._index.save_if_due()
        except (FhirStoreError, sqlite3.Error, OSError) as error:
            self._index.problem = f"no copy was made: {_told(error)}"

    async def _look_at_facts(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._facts_at:
            self._facts_at = now + _FACTS_EVERY
            await self._index.look()

    async def _prune(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._prune_at:
            self._prune_at = now + _PRUNED_EVERY
            before = self._index.context.now() - KEPT
            await offload(lambda: self._index.opened().prune(before))


def _told(error: Exception) -> str:
    """Returns what may be told of an error: those of fhirstore hold no data of patients."""
    return str(error) if isinstance(error, FhirStoreError) else type(error).__name__
