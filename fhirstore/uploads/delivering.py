"""A content on its way to a reader, verified: what is damaged never passes for what was written."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

from fhirstore.errors import ObjectDamaged
from fhirstore.format.payload import Payload
from fhirstore.objects.base import ObjectStream


class Verified:
    """The stream of a whole content. Its last chunk comes only if the SHA-256 of all is right, else ObjectDamaged.

    A chunk is hashed in a thread while the reader has it.
    """

    def __init__(self, stream: ObjectStream, key: str, payload: Payload) -> None:
        self.size = stream.size
        self.etag = stream.etag
        self._stream = stream
        self._key = key
        self._payload = payload

    async def __aiter__(self) -> AsyncIterator[bytes]:
        hash_, loop, done = hashlib.sha256(), asyncio.get_running_loop(), 0
        hashing: asyncio.Future[None] | None = None
        last = b""
        async for chunk in self._stream:
            if hashing is not None:
                await hashing
            hashing = loop.run_in_executor(None, hash_.update, chunk)
            done += len(chunk)
            if done >= self._payload.size:
                last = chunk
                break
            yield chunk
        if hashing is not None:
            await hashing
        if done != self._payload.size or hash_.hexdigest() != self._payload.sha256:
            raise ObjectDamaged(self._key, "the content of a Binary is not what was written; restore it")
        if last:
            yield last
