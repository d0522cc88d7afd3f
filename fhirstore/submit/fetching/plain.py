"""Bodies made plain: decrypted and decompressed, continued where an earlier reading ended.

A body that is plain at its source is continued by a range of it. Any other is read from its beginning, and what came
before is left out: a byte of the plain content has no place in what is compressed or encrypted. The `etag` of an opened
body says which of both it was, before the name that the source gives it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from fhirstore.errors import SourceFailed
from fhirstore.submit.fetching.decoding import GZIP, codings, inflated
from fhirstore.submit.fetching.decrypting import Decryption
from fhirstore.submit.fetching.limits import FetchLimits
from fhirstore.submit.fetching.raw import RawBody, RawSource, is_strong
from fhirstore.submit.source import Opened, Wanted

PLAIN, CODED = "plain", "coded"
_CHUNK = 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class PlainSource:
    """A `Source` of plain bodies. `decryption`: of bodies that are encrypted."""

    raw: RawSource
    limits: FetchLimits
    decryption: Decryption | None = None

    def open(self, wanted: Wanted) -> AbstractAsyncContextManager[Opened]:
        """Opens a body. Raises SourceFailed, on entering and while it is read."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[Opened]:
            form, _, known = (wanted.etag or "").partition(" ")
            name = known or None
            start = wanted.start if form == PLAIN and is_strong(name) else 0
            async with self.raw.open(wanted, start=start, name=name) as raw:
                if name is not None and raw.name != name:
                    raise SourceFailed("The file was changed while it was being read", code="conflict")
                if raw.size is not None and raw.size > self.limits.size:
                    raise _too_large(self.limits)
                if raw.retry_after is not None:
                    yield _Body(None, None, raw.retry_after, raw, 0, self.limits)
                    return
                async with AsyncExitStack() as held:
                    chunks, plain = await self._plain(raw, held)
                    etag = None if raw.name is None else f"{PLAIN if plain else CODED} {raw.name}"
                    size = raw.size if plain else None
                    yield _Body(size, etag, None, chunks, wanted.start - raw.start, self.limits)

        return opened()

    async def _plain(self, raw: RawBody, held: AsyncExitStack) -> tuple[AsyncIterator[bytes], bool]:
        """Returns the plain bytes, and whether the source has them as such. `held`: closes what is between."""

        def holding(layer: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
            held.push_async_callback(layer.aclose)
            return layer

        layers = codings(raw.coding)
        chunks = holding(_iterating(raw))
        for coding in layers:
            chunks = holding(inflated(chunks, coding, self.limits))
        if self.decryption is not None:
            chunks = holding(self.decryption.decrypted(chunks, self.limits))
        if raw.start == 0:
            first, chunks = await _begin(chunks)
            holding(chunks)
            if first.startswith(GZIP):
                layers.append("gzip")
                chunks = holding(inflated(chunks, "gzip", self.limits))
        return chunks, not layers and self.decryption is None


@dataclass(slots=True)
class _Body:
    """An opened body. `skip`: bytes that were read before."""

    size: int | None
    etag: str | None
    retry_after: float | None
    _chunks: RawBody | AsyncIterator[bytes] = field(repr=False)
    _skip: int
    _limits: FetchLimits = field(repr=False)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        skip, read = self._skip, 0
        async for chunk in self._chunks:
            read += len(chunk)
            if read > self._limits.size:
                raise _too_large(self._limits)
            if skip >= len(chunk):
                skip -= len(chunk)
                continue
            for at in range(skip, len(chunk), _CHUNK):
                yield chunk[at : at + _CHUNK]
            skip = 0
        if skip:
            raise SourceFailed("The file has become shorter while it was being read", code="conflict")


async def _begin(chunks: AsyncGenerator[bytes]) -> tuple[bytes, AsyncGenerator[bytes]]:
    """Returns the first bytes, two if there are so many, and all chunks."""
    first = b""
    async for chunk in chunks:
        first += chunk
        if len(first) >= len(GZIP):
            break

    async def all_of() -> AsyncGenerator[bytes]:
        if first:
            yield first
        async for chunk in chunks:
            yield chunk

    return first, all_of()


async def _iterating(raw: RawBody) -> AsyncGenerator[bytes]:
    async for chunk in raw:
        yield chunk


def _too_large(limits: FetchLimits) -> SourceFailed:
    return SourceFailed(f"The file has more than {limits.size:,} bytes", code="too-costly")
