"""Multipart uploads: a body in parts, which becomes an object when the upload is completed, or never.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html. Every request has a deadline and may be
repeated: a part sent twice is one part, and an upload completed twice is told by the object there is then. An upload
that was begun is completed or aborted, also where its caller is cancelled while the store has not yet said its id.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeAlias

import msgspec

from fhirstore.errors import (
    ObjectError,
    OutcomeUnknown,
    RequestRefused,
    StoreBusy,
    StoreCannot,
    StoreUnavailable,
    UploadNotFound,
)
from fhirstore.objects.facts import Facts, Progress
from fhirstore.objects.s3.answers import complete_request, quoted, read_text, read_uploads
from fhirstore.objects.s3.bucket import Bucket, md5
from fhirstore.objects.s3.carried import carrying
from fhirstore.objects.s3.encryption import encrypting
from fhirstore.objects.s3.failures import Failure
from fhirstore.objects.s3.requests import NoAnswer, Piece
from fhirstore.objects.s3.store_time import parse_date
from fhirstore.objects.uploads import MOST_PARTS, UploadPage

_COMPLETING = 60.0  # seconds that a store may take to put parts together, in addition to the usual
_CLOSING = 30.0  # seconds that closing waits for aborts under way

Part: TypeAlias = Sequence[Piece]


class Uploads:
    """The multipart uploads to one bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._leftovers: set[asyncio.Task[None]] = set()  # aborts that nobody waits for

    async def create(self, key: str, facts: Facts | None) -> str:
        """Returns the id of a new upload. Where the caller is cancelled, the upload is aborted once its id is known."""
        creating = asyncio.create_task(self._create(key, facts))
        try:
            return await asyncio.shield(creating)
        except asyncio.CancelledError:
            self._leave(self._abort_created(key, creating))
            raise

    async def part(self, key: str, upload: str, number: int, pieces: Part) -> str:
        """Send a part. Returns its ETag. Raises UploadNotFound."""
        checksum = await asyncio.to_thread(md5, *pieces)

        async def send() -> str:
            answer = await self._bucket.ask(
                key,
                "PUT",
                self._failed(key),
                parameters=[("partNumber", str(number)), ("uploadId", upload)],
                headers={"Content-MD5": checksum},
                body=pieces,
            )
            return quoted(answer.headers.get("ETag", ""))

        return await self._bucket.repeated(f"PUT {key}#{number}", send, (StoreBusy, OutcomeUnknown))

    async def complete(self, key: str, upload: str, etags: Sequence[tuple[int, str]]) -> str:
        """Make the object. The commit point is the store's. Returns its ETag.

        Raises UploadNotFound, RequestRefused for parts that are missing or too small, OutcomeUnknown.
        """
        body = complete_request(etags)
        began = self._bucket.signed.reached()
        unclear = False

        async def send() -> str:
            nonlocal unclear
            try:
                answer = await self._bucket.ask(
                    key,
                    "POST",
                    self._failed(key),
                    parameters=[("uploadId", upload)],
                    headers={"Content-Type": "application/xml"},
                    body=body,
                    patience=_COMPLETING,
                )
            except OutcomeUnknown:
                unclear = True
                raise
            return quoted(read_text(answer.body, "ETag"))

        try:
            return await self._bucket.repeated(f"POST {key}", send, (StoreBusy, OutcomeUnknown))
        except UploadNotFound as error:
            if not unclear:
                raise
            now = await self._now(key)  # a try without an answer may have completed it
            if now is not None and _made_of(etags, now, since=began):
                return quoted(now.get("ETag", ""))
            raise OutcomeUnknown(key, "the upload was completed by a try without an answer, or aborted") from error

    async def abort(self, key: str, upload: str) -> None:
        """Abort an upload, which may be gone already."""

        async def send() -> None:
            with suppress(UploadNotFound):
                await self._bucket.ask(key, "DELETE", self._failed(key), parameters=[("uploadId", upload)])

        await self._bucket.repeated(f"DELETE {key}", send, (StoreBusy, OutcomeUnknown))

    async def stream(
        self,
        key: str,
        parts: AsyncIterator[Part],
        *,
        facts: Facts | None,
        concurrency: int,
        progress: Progress | None,
    ) -> str:
        """Send a body, its parts in parallel. Returns the object's ETag. Holds `concurrency` parts in memory.

        An upload that fails, or whose caller is cancelled, is aborted.
        """
        upload = await self.create(key, facts)
        async with self.aborted_unless_done(key, upload):
            sending = _Sending(partial(self.part, key, upload), concurrency, progress)
            return await self.complete(key, upload, await sending.run(key, parts))

    @asynccontextmanager
    async def aborted_unless_done(self, key: str, upload: str) -> AsyncIterator[None]:
        """Abort the upload where the block ends by an exception."""
        try:
            yield
        except UploadNotFound as error:
            raise OutcomeUnknown(key, "its upload was aborted by somebody else") from error
        except BaseException:
            await asyncio.shield(self._leave(self._abort_quietly(key, upload)))
            raise

    async def page(self, prefix: str, cursor: str | None) -> UploadPage:
        """As `ObjectStore.list_uploads`. One request; the cursor is the store's two markers."""
        asked = [("uploads", ""), ("encoding-type", "url"), ("prefix", self._bucket.root + prefix)]
        if cursor is not None:
            try:
                key, upload = msgspec.json.decode(cursor, type=tuple[str, str])
            except msgspec.MsgspecError as error:
                raise RequestRefused(prefix, "the cursor is not of such a listing") from error
            asked += [("key-marker", key), ("upload-id-marker", upload)]

        async def send() -> UploadPage:
            try:
                answer = await self._bucket.send(prefix, "GET", parameters=asked)
            except NoAnswer as error:
                raise self._bucket.failures.reading(prefix, error.failure, date=0) from error
            if answer.status == 501:
                raise StoreCannot(prefix, "this S3 server does not list uploads")
            if answer.status != 200:
                raise self._bucket.failures.reading(prefix, answer.failure(), date=answer.date)
            return read_uploads(answer.body, root=self._bucket.root)

        return await self._bucket.repeated(f"LIST {prefix}", send, (StoreBusy, StoreUnavailable))

    async def aclose(self) -> None:
        """Wait for the aborts under way, within a bound."""
        if self._leftovers:
            await asyncio.wait(self._leftovers, timeout=_CLOSING)
        for task in self._leftovers:
            task.cancel()

    async def _create(self, key: str, facts: Facts | None) -> str:
        signed = carrying(facts) | encrypting(self._bucket.encryption, key)

        async def send() -> str:
            answer = await self._bucket.ask(key, "POST", self._failed(key), parameters=[("uploads", "")], signed=signed)
            return read_text(answer.body, "UploadId")

        return await self._bucket.repeated(f"POST {key}", send, (StoreBusy, OutcomeUnknown))

    async def _abort_created(self, key: str, creating: asyncio.Task[str]) -> None:
        with suppress(ObjectError):
            await self.abort(key, await creating)

    async def _abort_quietly(self, key: str, upload: str) -> None:
        with suppress(ObjectError):  # the error that led here counts; what is left is swept
            await self.abort(key, upload)

    def _leave(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Returns a task that goes on when its caller is gone."""
        task = asyncio.create_task(work)
        self._leftovers.add(task)
        task.add_done_callback(self._leftovers.discard)
        return task

    async def _now(self, key: str) -> Mapping[str, str] | None:
        """Returns the headers of the object there is now; None where there is none."""

        async def send() -> Mapping[str, str]:
            answer = await self._bucket.ask(key, "HEAD", partial(self._bucket.failures.reading, key, date=0))
            return answer.headers

        try:
            return await self._bucket.repeated(f"HEAD {key}", send, (StoreBusy, StoreUnavailable))
        except ObjectError:
            return None

    def _failed(self, key: str) -> Callable[[Failure], ObjectError]:
        return partial(self._bucket.failures.operating, key)


class _Sending:
    """Sends the parts of one upload. In memory are `concurrency` at most: those under way, the one being gathered."""

    def __init__(
        self, send: Callable[[int, Part], Coroutine[object, object, str]], concurrency: int, progress: Progress | None
    ) -> None:
        self._send = send
        self._concurrency = concurrency
        self._progress = progress
        self._under_way: dict[asyncio.Task[str], int] = {}  # the number of each part
        self._etags: dict[int, str] = {}
        self._done = 0  # bytes

    async def run(self, key: str, parts: AsyncIterator[Part]) -> list[tuple[int, str]]:
        """Returns numbers and ETags of all parts, in order. Raises the first error; then no part is under way."""
        try:
            number = 0
            while pieces := await anext(parts, None):
                number += 1
                if number > MOST_PARTS:
                    raise RequestRefused(key, f"the body has more than {MOST_PARTS:,} parts; use larger ones")
                self._begin(number, pieces)
                pieces = None  # let go of the part when it is sent
                await self._until_fewer_than(self._concurrency)
            await self._until_fewer_than(1)
        finally:
            for task in self._under_way:
                task.cancel()
            if self._under_way:
                await asyncio.wait(self._under_way)
        return sorted(self._etags.items())

    def _begin(self, number: int, pieces: Part) -> None:
        size = sum(map(len, pieces))
        task = asyncio.create_task(self._send(number, pieces))
        self._under_way[task] = number
        task.add_done_callback(partial(self._ended, size))

    def _ended(self, size: int, task: asyncio.Task[str]) -> None:
        if task.cancelled() or task.exception() is not None:
            return
        self._done += size
        if self._progress is not None:
            self._progress(self._done)

    async def _until_fewer_than(self, most: int) -> None:
        while len(self._under_way) >= most:
            ended, _ = await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                number = self._under_way.pop(task)
                self._etags[number] = task.result()


def _made_of(etags: Sequence[tuple[int, str]], now: Mapping[str, str], *, since: int) -> bool:
    """Returns whether the object with these headers was made of these parts, by a try that began at `since`.

    `since`: the store's clock had reached it, epoch ms. An object whose ETag is opaque is ours if it is no older,
    because the key of an upload is unique to its writer.
    """
    expected = _etag_of(etags)
    if expected is not None and not now.get("x-amz-server-side-encryption", "").startswith("aws:kms"):
        return quoted(now.get("ETag", "")) == expected
    modified = parse_date(now.get("Last-Modified"))
    return modified is not None and since > 0 and modified >= since // 1000 * 1000


def _etag_of(etags: Sequence[tuple[int, str]]) -> str | None:
    """Returns the ETag that S3 gives an object of these parts: the MD5 of their MD5s. None where theirs are no MD5s."""
    try:
        digests = b"".join(bytes.fromhex(etag.strip('"')) for _, etag in etags)
    except ValueError:
        return None
    return f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(etags)}"'
