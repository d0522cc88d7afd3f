"""What lies below a prefix: list it, measure it, remove it; a page of at most 1,000 keys at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import msgspec

from fhirstore.errors import ObjectNotFound, RequestRefused
from fhirstore.objects.base import Listed, ObjectStore
from fhirstore.objects.facts import Progress

_FOLDERS = 1000


async def exists(objects: ObjectStore, key: str) -> bool:
    """Returns whether there is such an object. One request."""
    try:
        await objects.stat(key)
    except ObjectNotFound:
        return False
    return True


async def list_all(objects: ObjectStore, prefix: str = "", *, start_after: str | None = None) -> AsyncIterator[Listed]:
    """Yields all objects whose keys start with `prefix`, in the store's order. A request for each 1,000.

    Objects written or removed meanwhile may or may not be among them. Raises as `ObjectStore.list`.
    """
    page = await objects.list(prefix, start_after=start_after)
    while True:
        for listed in page.objects:
            yield listed
        if page.cursor is None:
            return
        page = await objects.list(prefix, cursor=page.cursor)


async def delete_prefix(objects: ObjectStore, prefix: str, *, progress: Progress | None = None) -> int:
    """Remove all objects whose keys start with `prefix`, which must not be empty. Returns their number.

    Two requests for each 1,000; `progress` is told how many are gone. It may be repeated after an error. Raises
    RequestRefused; otherwise as `ObjectStore.list` and `ObjectStore.delete_many`.
    """
    if not prefix:
        raise RequestRefused(detail="an empty prefix would remove everything in the store")
    removed = 0
    page = await objects.list(prefix)
    while True:
        await objects.delete_many([listed.key for listed in page.objects])
        removed += len(page.objects)
        if progress is not None and page.objects:
            progress(removed)
        if page.cursor is None:
            return removed
        page = await objects.list(prefix, cursor=page.cursor)


class Usage(msgspec.Struct):
    """A number of objects, and the bytes of their bodies."""

    objects: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        """One object more, of this size."""
        self.objects += 1
        self.bytes += size


class Statistics(msgspec.Struct, frozen=True):
    """What lies below a prefix. `oldest`, `newest`: when the first and the last were written, epoch ms; 0 for none.

    `folders`: by the next folder, which ends with `/`. `rest`: objects beside those folders, or in more than were asked
    for.
    """

    total: Usage
    folders: Mapping[str, Usage]
    rest: Usage
    oldest: int
    newest: int


async def statistics(objects: ObjectStore, prefix: str = "", *, folders: int = _FOLDERS) -> Statistics:
    """Returns how much lies below `prefix`, apart for the first `folders` folders. A request for each 1,000 objects.

    Raises as `ObjectStore.list`.
    """
    total, rest = Usage(), Usage()
    found: dict[str, Usage] = {}
    oldest = newest = 0
    async for listed in list_all(objects, prefix):
        total.add(listed.size)
        slash = listed.key.find("/", len(prefix))
        folder = listed.key[: slash + 1]
        if slash < 0 or (folder not in found and len(found) >= folders):
            rest.add(listed.size)
        else:
            found.setdefault(folder, Usage()).add(listed.size)
        oldest = min(oldest or listed.modified, listed.modified)
        newest = max(newest, listed.modified)
    return Statistics(total, found, rest, oldest, newest)
