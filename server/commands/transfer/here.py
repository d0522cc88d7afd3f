"""Uploads to and downloads from the store that is configured, in this process: the same records as a server's."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import msgspec

from fhirstore import Gone, NotFound, TenantStore, UploadRequest, Version
from fhirstore.errors import FhirStoreError, ObjectError
from server.commands.transfer.place import Cut, Facts, Known, Opened, Standing, TransferFailed

_LARGEST = 5 << 40  # bytes: of one's own store, S3's limit counts
_EXPIRES_IN = 12 * 3600  # seconds
_WAIT = 60.0  # seconds between two looks at a completion


class LocalPlace:
    """One tenant of a store."""

    retries = 0

    def __init__(self, tenant: TenantStore, name: str) -> None:
        self.name = name
        self._tenant = tenant

    async def begin(self, facts: Facts) -> Standing:
        asked = UploadRequest(
            content_type=facts.content_type,
            method="parts",
            size=facts.size,
            sha256=facts.sha256,
            expires_in=_EXPIRES_IN,
        )
        with _told():
            begun = await self._tenant.uploads.begin(asked, largest=_LARGEST)
        return Standing(begun.upload.id, begun.upload.part_size, ((0, facts.size),))

    async def standing(self, id: str) -> Standing | None:
        with _told():
            try:
                found = await self._tenant.uploads.status(id)
            except NotFound:
                return None
        upload = found.upload
        if upload.ended and upload.status != "done":
            return None
        gaps = []
        for number in found.missing:
            start = (number - 1) * upload.part_size
            gaps.append((start, start + upload.part_bytes(number)))
        return Standing(id, upload.part_size, gaps)

    async def send(self, id: str, start: int, total: int, body: bytes) -> None:
        with _told():
            upload, number = await self._tenant.uploads.open_part(id, start, start + len(body), total)
            await self._tenant.uploads.put_part(upload, number, body)

    async def complete(self, id: str) -> str:
        with _told():
            while True:
                done = await self._tenant.uploads.complete(id, wait=_WAIT)
                if done.version is not None:
                    return f"Binary/{done.version.id}"

    async def look(self, reference: str) -> Known:
        version = await self._read(reference)
        if version.payload is not None:
            return Known(version.payload.size, version.payload.sha256)
        return Known(len(_inline(version)), None)

    @asynccontextmanager
    async def open(self, reference: str, start: int, validator: str | None) -> AsyncIterator[Opened]:
        version = await self._read(reference)
        named = f'"{version.version_id}"'
        start = start if named == validator else 0
        payload = version.payload
        if payload is None:
            yield Opened(0, named, _one(_inline(version)))
            return
        try:
            async with self._tenant.payloads.open(payload, start=start) as chunks:
                yield Opened(start, named, aiter(chunks))
        except ObjectError as error:
            raise Cut(f"The content cannot be read: {error}") from error

    async def _read(self, reference: str) -> Version:
        with _told():
            try:
                return await self._tenant.read("Binary", reference.removeprefix("Binary/"))
            except (NotFound, Gone) as error:
                raise TransferFailed(f"{reference}: {error}") from error


@contextmanager
def _told() -> Iterator[None]:
    """Turns the library's errors into TransferFailed."""
    try:
        yield
    except FhirStoreError as error:
        raise TransferFailed(str(error)) from error


def _inline(version: Version) -> bytes:
    """Returns the content in the resource itself. Raises TransferFailed where it is no base64."""
    data = msgspec.json.decode(version.content).get("data", "")
    try:
        return base64.b64decode(data if isinstance(data, str) else "!", validate=True)
    except binascii.Error:
        raise TransferFailed("The data of this Binary is not base64") from None


async def _one(body: bytes) -> AsyncIterator[bytes]:
    yield body
