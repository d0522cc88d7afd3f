"""Uploads and downloads of bodies of any size, a bounded piece at a time.

An upload is a multipart upload (https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html): nothing is
visible before CompleteMultipartUpload, and a failed upload is aborted. A download is a ranged GET that continues where
a broken connection left off, if the object is still the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import obstore
from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import BaseError

from fhirstore.errors import ObjectError, StoreBusy, StoreUnavailable
from fhirstore.objects.retries import retry_budget
from fhirstore.objects.s3.failures import Failure
from fhirstore.objects.s3.options import S3Options

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult
    from obstore.store import S3Store as ObstoreS3
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

_Answer = TypeVar("_Answer")

PART = 8 * 1024 * 1024  # bytes; 10,000 parts make 80 GB
CHUNK = 1024 * 1024  # bytes of a chunk, plus at most one network read


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload of one object. Holds one part in memory."""

    client: S3Client
    bucket: str
    key: str  # in the bucket
    failed: Callable[[Failure], ObjectError]

    async def run(self, first: bytes, rest: AsyncIterator[bytes]) -> str:
        """Send everything. The commit point is CompleteMultipartUpload. Returns the object's ETag."""
        created = await self._ask(self.client.create_multipart_upload(Bucket=self.bucket, Key=self.key))
        upload = created["UploadId"]
        try:
            parts = [await self._part(upload, 1, first)]
            async for piece in rest:
                parts.append(await self._part(upload, len(parts) + 1, piece))
            done = await self._ask(
                self.client.complete_multipart_upload(
                    Bucket=self.bucket, Key=self.key, UploadId=upload, MultipartUpload={"Parts": parts}
                )
            )
        except BaseException:  # on any error or cancellation: abort and raise it
            with suppress(ClientError, BotoCoreError, OSError):
                await self.client.abort_multipart_upload(Bucket=self.bucket, Key=self.key, UploadId=upload)
            raise
        return done["ETag"]

    async def _part(self, upload: str, number: int, body: bytes) -> CompletedPartTypeDef:
        sent = await self._ask(
            self.client.upload_part(Bucket=self.bucket, Key=self.key, UploadId=upload, PartNumber=number, Body=body)
        )
        return {"ETag": sent["ETag"], "PartNumber": number}

    async def _ask(self, request: Awaitable[_Answer]) -> _Answer:
        try:
            return await request
        except ClientError as error:
            details = error.response
            status = details["ResponseMetadata"]["HTTPStatusCode"]
            raise self.failed(Failure(status, details["Error"].get("Code", ""))) from error
        except (BotoCoreError, OSError) as error:
            raise self.failed(Failure(0)) from error


async def in_parts(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yields the same bytes in parts of PART bytes; only the last is shorter. No bytes give no parts."""
    buffer = bytearray()
    async for chunk in chunks:
        buffer += chunk
        while len(buffer) >= PART:
            yield bytes(buffer[:PART])
            del buffer[:PART]
    if buffer:
        yield bytes(buffer)


@dataclass(slots=True)
class Download:
    """An `ObjectStream` of bytes [start, end) that survives broken connections."""

    size: int
    etag: str
    _store: ObstoreS3
    _path: str
    _key: str
    _options: S3Options
    _start: int
    _end: int
    _first: GetResult | None  # None: nothing to read

    @classmethod
    async def open(
        cls, store: ObstoreS3, path: str, key: str, *, options: S3Options, start: int, end: int | None
    ) -> Download:
        """Send the GET. Raises obstore's exceptions, which the caller translates."""
        if end is not None and end <= start:
            return await cls._empty(store, path, key, options)
        try:
            result = await obstore.get_async(store, path, options=_range(start, end))
        except BaseError as error:
            if Failure.from_obstore(error).status == 416:  # starts after the last byte
                return await cls._empty(store, path, key, options)
            raise
        size, etag = result.meta["size"], result.meta["e_tag"] or ""
        return cls(size, etag, store, path, key, options, start, min(size, end or size), result)

    @classmethod
    async def _empty(cls, store: ObstoreS3, path: str, key: str, options: S3Options) -> Download:
        meta = await obstore.head_async(store, path)
        return cls(meta["size"], meta["e_tag"] or "", store, path, key, options, 0, 0, None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        position, failures, result = self._start, 0, self._first
        while position < self._end:
            try:
                if result is None:
                    asked = _range(position, self._end)
                    asked["if_match"] = self.etag
                    result = await obstore.get_async(self._store, self._path, options=asked)
                async for chunk in result.stream(min_chunk_size=CHUNK):
                    position += len(chunk)
                    failures = 0
                    yield chunk
                if position < self._end:
                    raise StoreUnavailable(self._key, "the body ended early")
            except (BaseError, FileNotFoundError, StoreUnavailable) as error:
                failure = Failure.from_obstore(error)
                failures += 1
                gone = failure.status in (404, 412)
                budget = retry_budget()
                spent = budget is not None and not gone and not budget.take((f"GET {self._key}",))
                if gone or spent or failures >= self._options.attempts:
                    detail = "the object was replaced while it was read" if gone else str(failure)
                    raise (StoreBusy if failure.busy else StoreUnavailable)(self._key, detail) from error
                result = None
                await asyncio.sleep(self._options.pause(failures))


def _range(start: int, end: int | None) -> GetOptions:
    if end is not None:
        return {"range": (start, end)}
    return {"range": {"offset": start}} if start else {}
