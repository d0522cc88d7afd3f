"""Upkeep of a tenant's search index on this machine: how it is, building it, copies of it in the bucket, comparing it.

The index is a copy of what the bucket says: whatever happens to it, nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fhirstore.commit.drive import drive
from fhirstore.index.local.schema import LAYOUT
from fhirstore.indexing.copies import remove_old_copies
from fhirstore.indexing.copying import SavedCopy
from fhirstore.indexing.indexer import Indexer
from fhirstore.indexing.status import IndexStatus
from fhirstore.indexing.verify import IndexComparison, verify
from fhirstore.tenancy import Place

_LOOK = 1.0  # seconds between two looks at how far building is


class SearchIndex:
    """Of one tenant, on this machine."""

    def __init__(self, indexer: Indexer, place: Place) -> None:
        self._indexer = indexer
        self._place = place

    async def status(self) -> IndexStatus:
        """Returns how it is, without making it. Its resources are counted: 10 ms for a million."""
        return await self._indexer.status()

    async def build(
        self, *, from_log: bool = False, on_progress: Callable[[IndexStatus], None] = lambda _: None
    ) -> IndexStatus:
        """Builds it, or brings it up to date. Returns how it is then. Raises Unavailable, CorruptRecord.

        `from_log`: take no copy of the bucket. `on_progress`: told once a second. Where another process of this machine
        builds it, this waits for that.
        """
        building = asyncio.create_task(self._build(from_log=from_log))
        try:
            while not (await asyncio.wait([building], timeout=_LOOK))[0]:
                on_progress(await self.status())
            await building
        finally:
            building.cancel()
        return await self.status()

    async def _build(self, *, from_log: bool) -> None:
        await self._indexer.build(from_log=from_log)
        await self._indexer.catch_up()

    async def drop(self, *, copies: bool = False) -> bool:
        """Removes the file. Returns whether there was one; the next search builds another. Raises Unavailable.

        `copies`: remove the copies in the bucket, too.
        """
        if copies:
            now = self._place.objects.now()
            await drive(remove_old_copies(self._place.keys, LAYOUT, now=now, all=True), self._place.objects)
        return await self._indexer.drop()

    async def save(self) -> SavedCopy | None:
        """Stores a copy in the bucket, from which other machines start. None: another process is doing that
        now.

        Needs as much room on the disk as the index has. Raises IndexBehind, Unavailable, IndexUnusable, LeaseLost.
        """
        return await self._indexer.save(apart=-1)

    async def verify(
        self, *, on_progress: Callable[[IndexComparison], None] = lambda _: None, most: int = 1_000
    ) -> IndexComparison:
        """Compares it with the bucket, while others write. Returns the differences, `most` of them by name.

        1 LIST per 1,000 objects below `resources/`, 1 GET per resource. Raises IndexBehind, Unavailable.
        """
        return await verify(self._indexer, on_progress=on_progress, most=most)
