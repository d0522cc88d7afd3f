"""Lists what a tenant has, a page at a time, patiently."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from fhirstore.commit.drive import drive
from fhirstore.commit.idempotent import listed
from fhirstore.commit.messages import List
from fhirstore.errors import InvalidResource
from fhirstore.objects.base import Page
from fhirstore.tenancy import Place
from fhirstore.upkeep.copy.target import patiently


@dataclass(frozen=True, slots=True)
class Named:
    """A resource of a listing. `largest`: bytes of the largest of its objects that the page showed."""

    type: str
    id: str
    largest: int

    @property
    def name(self) -> str:
        """Its name in reports, like `Patient/1`."""
        return f"{self.type}/{self.id}"


async def page_of(place: Place, request: List) -> Page:
    """Returns one page of a listing. 1 LIST. Raises StoreDamaged, Unavailable."""
    return await patiently(lambda: drive(listed(request), place.objects))


async def pages_of(place: Place, request: List) -> AsyncIterator[Page]:
    """Yields the pages of a listing, from `request` on. 1 LIST each. Raises StoreDamaged, Unavailable."""
    while True:
        page = await page_of(place, request)
        yield page
        if page.cursor is None:
            return
        request = List(request.prefix, cursor=page.cursor, delimiter=request.delimiter, limit=request.limit)


async def names_of(place: Place, folder: str) -> AsyncIterator[str]:
    """Yields the names in a flat folder below the tenant's prefix, in the order of their bytes."""
    prefix = place.keys.prefix + folder
    async for page in pages_of(place, List(prefix)):
        for item in page.objects:
            yield item.key.removeprefix(prefix)


async def resource_pages(place: Place, cursor: str | None = None) -> AsyncIterator[tuple[Sequence[Named], str | None]]:
    """Yields the resources of a tenant, each once, in the listing's order; after each page the cursor behind it.

    Only names that the keyspace builds. 1 LIST a page. Raises StoreDamaged, Unavailable.
    """
    prefix = place.keys.resources()
    last: tuple[str, str] | None = None
    async for page in pages_of(place, List(prefix, cursor=cursor)):
        found: dict[tuple[str, str], int] = {}
        for item in page.objects:
            type_, _, rest = item.key.removeprefix(prefix).partition("/")
            name = (type_, rest.partition("/")[0])
            if "/" in rest and name != last and (name in found or _is_resource(place, name)):
                found[name] = max(found.get(name, 1), item.size)
        last = next(reversed(found), last)
        yield [Named(*name, size) for name, size in found.items()], page.cursor


def _is_resource(place: Place, name: tuple[str, str]) -> bool:
    try:
        place.keys.resource(*name)
    except InvalidResource:
        return False
    return True
