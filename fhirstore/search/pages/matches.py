"""A search that is still to be made: `await` gives its first page, `async for` gives all matches, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator

from fhirstore.search.pages.searchset import SearchPage
from fhirstore.version import Version


class Matches:
    """What `TenantStore.search` returns. Nothing is read before it is awaited or iterated over."""

    def __init__(self, page: Callable[[str | None], Awaitable[SearchPage]]) -> None:
        """`page`: reads the page that a cursor names; None: the one that was asked for."""
        self._page = page

    def __await__(self) -> Generator[object, None, SearchPage]:
        return self._page(None).__await__()

    async def __aiter__(self) -> AsyncIterator[Version]:
        page = await self._page(None)
        while True:
            for match in page.matches:
                yield match
            if page.next is None:
                return
            page = await self._page(page.next)
