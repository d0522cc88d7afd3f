"""A bucket in which some objects lie in an archive class: a GET of one is refused, everything else works."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fhirstore.errors import ObjectArchived
from fhirstore.objects.base import ObjectStore, ObjectStream, StoredObject
from fhirstore.objects.wrappers.passing_on import PassingOn


class ArchivingStore(PassingOn):
    """An `ObjectStore` around another. `archived`: the keys in the archive."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self.archived: set[str] = set()

    async def archive(self, part: str) -> None:
        """Moves all objects whose keys contain `part` into the archive."""
        page = await self.inner.list("")
        self.archived |= {one.key for one in page.objects if part in one.key}

    async def delete(self, key: str, *, expires: int | None = None) -> None:
        await self.inner.delete(key, expires=expires)
        self.archived.discard(key)

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self.inner.delete_many(keys)
        self.archived.difference_update(keys)

    async def get(self, key: str) -> StoredObject:
        if key in self.archived:
            raise ObjectArchived(key, "in an archive class", date=self.inner.now())
        return await self.inner.get(key)

    @asynccontextmanager
    async def get_stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[ObjectStream]:
        if key in self.archived:
            raise ObjectArchived(key, "in an archive class", date=self.inner.now())
        async with self.inner.get_stream(key, start=start, end=end) as stream:
            yield stream
