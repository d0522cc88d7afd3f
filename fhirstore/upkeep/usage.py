"""Counts what a tenant stores, by kind and resource type, from listings alone.

It costs 1 LIST per 1,000 objects, and a few dozen for the folders, which are walked side by side. No object is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

import msgspec

from fhirstore.format.kinds import KINDS, Kept, kept_at
from fhirstore.objects.base import Listed, ObjectStore, Page
from fhirstore.objects.folders import Usage
from fhirstore.tenancy import Place

_AT_ONCE = 8  # LISTs in flight
_DEEPER = ("resources/", "history/", "history/type/", "identity/")
"""Folders, below a tenant's prefix, whose own folders are walked apart: one for each type."""


class UsageProgress(msgspec.Struct, frozen=True):
    """How far a count has come. Its end is not known before."""

    objects: int
    bytes: int
    requests: int


class StoredUsage(msgspec.Struct, frozen=True):
    """What a tenant stores. `counts`: by kind and type, in the order of `KINDS`, without what there is none of.

    `requests`: the LISTs that the count took. `pending_uploads`: begun and neither completed nor aborted; a bucket
    bills their parts, which no listing shows. `oldest`, `newest`: when the first and the last object were written,
    epoch ms; 0 for none.
    """

    total: Usage
    counts: Mapping[Kept, Usage]
    requests: int
    pending_uploads: int
    oldest: int
    newest: int

    def as_json(self) -> dict[str, object]:
        """Returns the counts as plain JSON values."""
        kinds = [
            {"kind": kept.kind, "type": kept.type, "objects": used.objects, "bytes": used.bytes}
            for kept, used in self.counts.items()
        ]
        return {
            "objects": self.total.objects,
            "bytes": self.total.bytes,
            "requests": self.requests,
            "pendingUploads": self.pending_uploads,
            "oldest": self.oldest,
            "newest": self.newest,
            "kinds": kinds,
        }


async def usage(
    place: Place, types: Iterable[str], *, on_progress: Callable[[UsageProgress], None] | None = None
) -> StoredUsage:
    """Returns what the tenant stores. `types`: those of FHIR; objects of another are counted without a type.

    Writes meanwhile may be counted or not. Raises as `ObjectStore.list`.
    """
    count = _Count(place.objects, place.keys.prefix, frozenset(types), on_progress)
    folders = await count.folders("", _DEEPER)
    waiting = iter(folders)  # shared by the walkers

    async def walk() -> None:
        for folder in waiting:
            await count.walk(folder)

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_AT_ONCE):
                tasks.create_task(walk())
    except ExceptionGroup as several:
        raise several.exceptions[0] from several
    return await count.done()


class _Count:
    """The counters of one count; its memory depends on the number of kinds and types only."""

    def __init__(
        self,
        objects: ObjectStore,
        prefix: str,
        types: frozenset[str],
        on_progress: Callable[[UsageProgress], None] | None,
    ) -> None:
        self._objects = objects
        self._prefix = prefix
        self._types = types
        self._on_progress = on_progress
        self._counts: dict[Kept, Usage] = {}
        self._total = Usage()
        self._requests = 0
        self._oldest = self._newest = 0

    async def folders(self, folder: str, deeper: tuple[str, ...]) -> list[str]:
        """Returns the folders that together hold all below `folder`, and counts the objects beside them."""
        page = await self._page(folder, delimiter=True)
        if page.cursor is not None:  # more than a page of them, which no folder of ours has
            return [folder]
        for listed in page.objects:
            self._add(listed)
        found = []
        for prefix in page.prefixes:
            below = prefix[len(self._prefix) :]
            found += await self.folders(below, deeper) if below in deeper else [below]
        return found

    async def walk(self, folder: str) -> None:
        """Counts all objects below a folder."""
        page = await self._page(folder)
        while True:
            for listed in page.objects:
                self._add(listed)
            if self._on_progress is not None:
                self._on_progress(UsageProgress(self._total.objects, self._total.bytes, self._requests))
            if page.cursor is None:
                return
            page = await self._page(folder, cursor=page.cursor)

    async def done(self) -> StoredUsage:
        """Returns the counts, with the uploads that are pending."""
        pending = 0
        cursor: str | None = None
        while True:
            self._requests += 1
            page = await self._objects.list_uploads(self._prefix, cursor=cursor)
            pending += len(page.uploads)
            cursor = page.cursor
            if cursor is None:
                break
        counts = {
            kept: self._counts[kept]
            for kept in sorted(self._counts, key=lambda one: (KINDS.index(one.kind), one.type or ""))
        }
        return StoredUsage(self._total, counts, self._requests, pending, self._oldest, self._newest)

    async def _page(self, folder: str, *, cursor: str | None = None, delimiter: bool = False) -> Page:
        self._requests += 1
        return await self._objects.list(self._prefix + folder, cursor=cursor, delimiter=delimiter)

    def _add(self, listed: Listed) -> None:
        kept = kept_at(listed.key[len(self._prefix) :])
        if kept.type is not None and kept.type not in self._types:
            kept = Kept(kept.kind)
        self._counts.setdefault(kept, Usage()).add(listed.size)
        self._total.add(listed.size)
        self._oldest = min(self._oldest or listed.modified, listed.modified)
        self._newest = max(self._newest, listed.modified)
