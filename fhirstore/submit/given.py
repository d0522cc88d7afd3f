"""Manifests that are given and not fetched: of files that somebody names, and no manifest lists.

They are read as any other, under URLs that begin with `PREFIX`; all else is read by the sources below. No provider can
name such a URL: only the process that gave a manifest knows it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from fhirstore.errors import SourceFailed
from fhirstore.submit.source import Access, Opened, Source, Sources, Wanted

PREFIX = "urn:fhirstore:given:"
_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class GivenManifests:
    """The `Sources` of these manifests, by URL, and of what they list. `on_read` is told how far each file is read."""

    manifests: Mapping[str, bytes]
    others: Sources
    on_read: Callable[[str, int], None] = field(default=lambda _url, _bytes: None)

    def check(self, url: str, access: Access) -> None:
        """Raises SourceFailed for what is refused without a request."""
        if url not in self.manifests:
            self.others.check(url, access)

    def opening(self, access: Access) -> AbstractAsyncContextManager[Source]:
        """Returns the source for one manifest."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[Source]:
            async with self.others.opening(access) as source:
                yield _GivenSource(self, source)

        return opened()


@dataclass(frozen=True, slots=True)
class _GivenSource:
    given: GivenManifests
    others: Source

    def open(self, wanted: Wanted) -> AbstractAsyncContextManager[Opened]:
        """Opens a manifest that was given, or what another source has. Raises SourceFailed."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[Opened]:
            body = self.given.manifests.get(wanted.url)
            if body is not None:
                yield _Body(body[wanted.start :], len(body))
                return
            if wanted.url.startswith(PREFIX):
                raise SourceFailed("This manifest is known to another process alone", code="not-found")
            async with self.others.open(wanted) as other:
                yield _Told(other, wanted, self.given.on_read)

        return opened()


@dataclass(slots=True)
class _Body:
    body: bytes = field(repr=False)
    size: int | None = None
    etag: str | None = None
    retry_after: float | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.body), _CHUNK):
            yield self.body[start : start + _CHUNK]


class _Told:
    """A body that is read through, and told of."""

    def __init__(self, other: Opened, wanted: Wanted, on_read: Callable[[str, int], None]) -> None:
        self.size = other.size
        self.etag = other.etag
        self.retry_after = other.retry_after
        self._other = other
        self._wanted = wanted
        self._on_read = on_read

    async def __aiter__(self) -> AsyncIterator[bytes]:
        at = self._wanted.start
        self._on_read(self._wanted.url, at)
        async for chunk in self._other:
            at += len(chunk)
            self._on_read(self._wanted.url, at)
            yield chunk
