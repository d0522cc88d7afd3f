"""Files of this machine as a `RawSource`: what `LocalFiles` allows, made plain like any other body."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from fhirstore.submit.fetching.raw import RawBody
from fhirstore.submit.local import LocalFiles
from fhirstore.submit.source import Access, Opened, Wanted


@dataclass(frozen=True, slots=True)
class FileSource:
    """The `RawSource` of `file:` URLs."""

    access: Access

    def open(self, wanted: Wanted, *, start: int, name: str | None) -> AbstractAsyncContextManager[RawBody]:
        """Opens a file."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[RawBody]:
            etag = None if name is None else name.strip('"')
            local = LocalFiles().opening(self.access)
            async with local as source, source.open(Wanted(wanted.url, start, etag)) as file:
                yield _FileBody(file.size, start, f'"{file.etag}"', file)

        return opened()


@dataclass(slots=True)
class _FileBody:
    """A `RawBody`."""

    size: int | None
    start: int
    name: str | None
    _file: Opened = field(repr=False)
    coding: str = ""
    retry_after: float | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._file)
