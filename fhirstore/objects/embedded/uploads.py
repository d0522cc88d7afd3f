"""Multipart uploads to the embedded store: parts are kept as files (`pending`) and become one body when completed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from fhirstore.clock import Clock
from fhirstore.errors import StoreUnavailable, UploadNotFound
from fhirstore.objects.base import Written
from fhirstore.objects.embedded.body_streams import CHUNK
from fhirstore.objects.embedded.facts import pack_facts
from fhirstore.objects.embedded.pending import PendingUploads
from fhirstore.objects.embedded.receiving import Receiver, on_disk
from fhirstore.objects.embedded.statements import PutRow
from fhirstore.objects.facts import Facts
from fhirstore.objects.uploads import UploadPage, check_completion, check_part


class Uploads:
    """The multipart uploads of one store. `write` commits a row."""

    def __init__(
        self, pending: PendingUploads, receiver: Receiver, write: Callable[[PutRow], Awaitable[Written]], clock: Clock
    ) -> None:
        self._pending = pending
        self._receiver = receiver
        self._write = write
        self._clock = clock

    async def create(self, key: str, facts: Facts | None) -> str:
        """As `ObjectStore.create_upload`."""
        if facts is not None:
            facts.check(key)
        return await on_disk(key, lambda: self._pending.create(key, facts, now=self._clock.now()))

    async def part(self, key: str, upload: str, number: int, body: bytes) -> str:
        """As `ObjectStore.put_part`."""
        check_part(key, number, len(body))
        return await on_disk(key, lambda: self._pending.put(key, upload, number, body))

    async def complete(self, key: str, upload: str, parts: Sequence[tuple[int, str]]) -> Written:
        """As `ObjectStore.complete_upload`. Copies the parts into one file; the commit point is that of its row."""
        check_completion(key, parts)
        files, facts = await on_disk(key, lambda: self._pending.parts(key, upload, parts))
        body = await self._receiver.receive(key, _joined(key, files))
        row = PutRow(key, body.etag, body.size, None, body.name, None, None, facts=pack_facts(key, facts))
        written = await self._write(row)
        await self.abort(key, upload)
        return written

    async def abort(self, key: str, upload: str) -> None:
        """As `ObjectStore.abort_upload`."""
        await on_disk(key, lambda: self._pending.remove(key, upload))

    async def page(self, prefix: str, cursor: str | None) -> UploadPage:
        """As `ObjectStore.list_uploads`."""
        try:
            return await asyncio.to_thread(self._pending.page, prefix, cursor)
        except OSError as error:
            raise StoreUnavailable(prefix, f"its uploads: {error.strerror}") from error


async def _joined(key: str, files: Sequence[Path]) -> AsyncIterator[bytes]:
    """Yields the content of the files, one after the other. Raises UploadNotFound where one is gone."""
    for path in files:
        try:
            file = await asyncio.to_thread(path.open, "rb", 0)
        except FileNotFoundError as error:
            raise UploadNotFound(key, "the upload was ended by somebody else") from error
        except OSError as error:
            raise StoreUnavailable(key, f"a part of the upload: {error.strerror}") from error
        with file:
            while chunk := await asyncio.to_thread(_read, key, file):
                yield chunk


def _read(key: str, file: BinaryIO) -> bytes:
    try:
        return file.read(CHUNK)
    except OSError as error:
        raise StoreUnavailable(key, f"a part of the upload: {error.strerror}") from error
