"""The store that is a bucket, on any S3 server that decides races of conditional PUTs.

It uses two clients, chosen by cost (see docs/performance.md, S3 clients): obstore for GET, PUT and DELETE of small
objects and for downloads; `SignedRequests` where the status, the Date or the headers of the answer are needed, or the
store itself must refuse a late write. aiobotocore finds the credentials. https://docs.aws.amazon.com/AmazonS3/latest/API/Welcome.html,
conditional writes: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import BaseError

from fhirstore.batched import batched
from fhirstore.clock import Clock, SystemClock
from fhirstore.errors import (
    ObjectError,
    OutcomeUnknown,
    StoreBusy,
    StoreFull,
    StoreUnavailable,
)
from fhirstore.objects.base import (
    CONCURRENCY,
    PART_SIZE,
    Condition,
    GetAnswer,
    IfAbsent,
    ObjectStream,
    Page,
    PutAnswer,
    PutRequest,
    StoredObject,
    Written,
)
from fhirstore.objects.facts import Facts, ObjectInfo, Progress, check_tags
from fhirstore.objects.fullness import Fullness
from fhirstore.objects.parallel_gets import get_each
from fhirstore.objects.parallel_puts import put_each
from fhirstore.objects.presigned import PresignedPost, PresignedPut
from fhirstore.objects.s3.answers import delete_request, read_page, undeleted
from fhirstore.objects.s3.bucket import Bucket, md5
from fhirstore.objects.s3.carried import carrying, info_of
from fhirstore.objects.s3.copying import Copies
from fhirstore.objects.s3.encryption import Encryption, encrypting
from fhirstore.objects.s3.failures import Failure
from fhirstore.objects.s3.options import S3Location, S3Options
from fhirstore.objects.s3.presigning import Presigner
from fhirstore.objects.s3.requests import Answer, NoAnswer, Piece
from fhirstore.objects.s3.session import S3Session
from fhirstore.objects.s3.startup import check_bucket
from fhirstore.objects.s3.store_time import CLOCK_ERROR
from fhirstore.objects.s3.streams import Download, following, in_parts
from fhirstore.objects.s3.tagging import Tags
from fhirstore.objects.s3.uploads import Uploads
from fhirstore.objects.uploads import UploadPage, check_completion, check_part, check_parts

if TYPE_CHECKING:
    from obstore import PutMode
    from obstore.store import S3Store as ObstoreS3

_T = TypeVar("_T")
_OBSTORE = (BaseError, FileNotFoundError)  # what obstore raises: its own family, and a builtin for 404
_LONG = 1024 * 1024  # bytes of a body that is hashed in a thread
_BATCH = 1000  # keys a DeleteObjects request takes


class S3Store:
    """An `ObjectStore` in a bucket, below a prefix. Open it with `S3Store.open`; safe to share between tasks."""

    def __init__(self, session: S3Session, options: S3Options, clock: Clock) -> None:
        self._session = session
        self._options = options
        self._clock = clock
        self._fullness = Fullness()
        self._s3 = Bucket(session, options, clock)
        self._uploads = Uploads(self._s3)
        self._tags = Tags(self._s3)
        self._copies = Copies(self._s3, self._uploads, self._tags)
        self._presigner = Presigner(session, self._s3)
        self._small = session.obstore()
        self._encrypting: dict[str | None, ObstoreS3] = {}  # by KMS key: what sends the plain PUTs
        self._large = session.obstore(streaming=True)

    @classmethod
    async def open(cls, location: str, options: S3Options | None = None, *, clock: Clock | None = None) -> S3Store:
        """Connect and `check()`. Raises StoreMisconfigured with one line of advice, or StoreUnavailable."""
        options = options or S3Options()
        session = await S3Session.open(S3Location.parse(location), options)
        store = cls(session, options, clock or SystemClock())
        try:
            await store.check()
        except BaseException:
            await store.aclose()
            raise
        return store

    @property
    def location(self) -> str:
        return str(self._session.location)

    @property
    def decides_together(self) -> bool:
        return False

    def now(self) -> int:
        return self._s3.signed.now()

    @property
    def clock_error(self) -> int:
        return CLOCK_ERROR

    def writes(self) -> int | None:
        return None

    async def check(self) -> None:
        await check_bucket(self._s3.signed, self._session, self._s3.failures, clock=self._clock)
        await self._fullness.try_again(self)

    # --- one object --------------------------------------------------------------------------------------------

    async def get(self, key: str) -> StoredObject:
        return await self._s3.attempts.repeated(f"GET {key}", lambda: self._get(key), (StoreBusy, StoreUnavailable))

    async def _get(self, key: str) -> StoredObject:
        sent = self._s3.attempts.admit(key)
        date = self._s3.signed.reached()
        try:
            result = await obstore.get_async(self._small, self._s3.root + key)
            body = await result.bytes_async()
        except _OBSTORE as error:
            raise self._s3.failures.reading(key, Failure.from_obstore(error), date=date) from error
        except asyncio.CancelledError:
            self._s3.circuit.given_up(sent)
            raise
        self._s3.circuit.answered()
        return StoredObject(bytes(body), result.meta["e_tag"] or "", date)

    async def get_many(self, keys: Sequence[str]) -> Sequence[GetAnswer]:
        return await get_each(self, keys)

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        """Send one PUT request, which is the commit point.

        A conditional PUT is sent exactly once. An unconditional PUT is repeated while the store is busy or silent,
        because the same bytes again change nothing. A PUT with a window has a query signature.
        """

        def write() -> Awaitable[Written]:
            if expires is None and facts is None:
                return self._put(key, body, condition)
            return self._put_signed(key, body, condition, expires, facts)

        if facts is not None:
            facts.check(key)

        try:
            if condition is not None:
                return await write()
            return await self._s3.attempts.repeated(f"PUT {key}", write, (StoreBusy, OutcomeUnknown))
        except StoreFull:
            self._fullness.note(len(body))
            raise

    async def _put(self, key: str, body: bytes, condition: Condition | None) -> Written:
        sent = self._s3.attempts.admit(key)
        date = self._s3.signed.reached()
        mode: PutMode
        if condition is None:
            mode = "overwrite"
        elif isinstance(condition, IfAbsent):
            mode = "create"
        else:
            mode = {"e_tag": condition.etag}
        try:
            result = await obstore.put_async(
                self._writing(key), self._s3.root + key, body, mode=mode, use_multipart=False
            )
        except _OBSTORE as error:
            raise self._s3.failures.writing(key, Failure.from_obstore(error), condition=condition) from error
        except asyncio.CancelledError:
            self._s3.circuit.given_up(sent)
            raise
        self._s3.circuit.answered()
        return Written(result["e_tag"] or "", date)

    def _writing(self, key: str) -> ObstoreS3:
        """Returns the client that PUTs this object: obstore sets the encryption for a whole client."""
        encryption = self._options.encryption
        if encryption is None:
            return self._small
        kms_key = encryption.key_of(key)
        client = self._encrypting.get(kms_key)
        if client is None:
            own = Encryption(encryption.algorithm, kms_key, encryption.bucket_key)
            client = self._encrypting[kms_key] = self._session.obstore(encryption=own)
        return client

    async def _put_signed(
        self, key: str, body: bytes, condition: Condition | None, expires: int | None, facts: Facts | None
    ) -> Written:
        # The body is not signed, so Content-MD5 takes the place of a signed checksum.
        translate = self._s3.failures.writing if facts is None else self._s3.failures.operating
        failed = partial(translate, key, condition=condition)
        headers = {"Content-MD5": md5(body) if len(body) < _LONG else await asyncio.to_thread(md5, body)}
        if isinstance(condition, IfAbsent):
            headers["If-None-Match"] = "*"
        elif condition is not None:
            headers["If-Match"] = condition.etag
        signed = carrying(facts) | encrypting(self._s3.encryption, key)
        try:
            answer = await self._s3.send(
                key, "PUT", self._s3.root + key, headers=headers, signed=signed, body=body, expires=expires
            )
        except NoAnswer as error:
            raise failed(error.failure) from error
        if answer.status in (200, 201, 204):
            return Written(answer.headers.get("ETag", ""), answer.date)
        raise failed(answer.failure(), late=expires is not None and _over(expires, answer))

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        return await put_each(self, puts)

    async def delete(self, key: str, *, expires: int | None = None) -> None:
        """Repeated like an unconditional PUT. With a window it is sent once, because its effect depends on the time."""
        if expires is None:
            await self._s3.attempts.repeated(f"DELETE {key}", lambda: self._delete(key), (StoreBusy, OutcomeUnknown))
        else:
            await self._delete_within(key, expires)

    async def _delete(self, key: str) -> None:
        sent = self._s3.attempts.admit(key)
        try:
            await obstore.delete_async(self._small, self._s3.root + key)
        except asyncio.CancelledError:
            self._s3.circuit.given_up(sent)
            raise
        except _OBSTORE as error:
            failure = Failure.from_obstore(error)
            if failure.status == 404 and failure.code != "NoSuchBucket":
                return  # some stores report an absent object; that is no error
            raise self._s3.failures.writing(key, failure) from error
        self._s3.circuit.answered()

    async def _delete_within(self, key: str, expires: int) -> None:
        try:
            answer = await self._s3.send(key, "DELETE", self._s3.root + key, expires=expires)
        except NoAnswer as error:
            raise self._s3.failures.writing(key, error.failure) from error
        failure = answer.failure()
        if answer.status not in (200, 204) and (answer.status != 404 or failure.code == "NoSuchBucket"):
            raise self._s3.failures.writing(key, failure, late=_over(expires, answer))

    async def stat(self, key: str) -> ObjectInfo:
        """Send HEAD, one request."""

        async def send() -> ObjectInfo:
            failed = partial(self._s3.failures.reading, key, date=self._s3.signed.reached())
            answer = await self._s3.ask(key, "HEAD", failed)
            try:
                return info_of(key, answer.headers)
            except ValueError as error:
                raise StoreUnavailable(key, "the store answered HEAD without a size") from error

        return await self._s3.repeated(f"HEAD {key}", send, (StoreBusy, StoreUnavailable))

    # --- many objects ------------------------------------------------------------------------------------------

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Send DeleteObjects, 1,000 keys per request. Raises the error of the first key that failed, after all
        requests."""
        problems: list[ObjectError] = []
        for some in batched(keys, _BATCH):
            body = delete_request(self._s3.root + key for key in some)

            async def send(body: bytes = body) -> Answer:
                return await self._delete_batch(body)

            answer = await self._s3.attempts.repeated("DELETE ", send, (StoreBusy, OutcomeUnknown))
            for key, code in undeleted(answer.body)[: 0 if problems else 1]:  # only the first counts
                status = 503 if code == "SlowDown" else 403 if code == "AccessDenied" else 500
                problems.append(self._s3.failures.writing(key.removeprefix(self._s3.root), Failure(status, code)))
        if problems:
            raise problems[0]

    async def _delete_batch(self, body: bytes) -> Answer:
        headers = {"Content-MD5": md5(body), "Content-Type": "application/xml"}
        try:
            answer = await self._s3.send("", "POST", parameters=[("delete", "")], headers=headers, body=body)
        except NoAnswer as error:
            raise self._s3.failures.writing("", error.failure) from error
        if answer.status != 200:
            raise self._s3.failures.writing("", answer.failure())
        return answer

    async def list(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        cursor: str | None = None,
        delimiter: bool = False,
        limit: int = 1000,
    ) -> Page:
        """Send ListObjectsV2, one request. The cursor is the store's continuation token."""
        asked = [
            ("list-type", "2"),
            ("encoding-type", "url"),
            ("max-keys", str(limit)),
            ("prefix", self._s3.root + prefix),
        ]
        if delimiter:
            asked.append(("delimiter", "/"))
        if cursor is not None:
            asked.append(("continuation-token", cursor))
        elif start_after is not None:
            asked.append(("start-after", self._s3.root + start_after))
        return await self._s3.attempts.repeated(
            f"LIST {prefix}", lambda: self._list(prefix, asked), (StoreBusy, StoreUnavailable)
        )

    async def _list(self, prefix: str, asked: Sequence[tuple[str, str]]) -> Page:
        try:
            answer = await self._s3.send(prefix, "GET", parameters=asked)
        except NoAnswer as error:
            raise self._s3.failures.reading(prefix, error.failure, date=0) from error
        if answer.status != 200:
            raise self._s3.failures.reading(prefix, answer.failure(), date=answer.date)
        return read_page(answer.body, root=self._s3.root)

    # --- large bodies ------------------------------------------------------------------------------------------

    async def put_stream(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        facts: Facts | None = None,
        part_size: int = PART_SIZE,
        concurrency: int = CONCURRENCY,
        progress: Progress | None = None,
    ) -> Written:
        """Send a multipart upload, or one plain PUT below `part_size`. An upload that fails is aborted."""
        check_parts(key, part_size, concurrency)
        if facts is not None:
            facts.check(key)
        async with aclosing(in_parts(chunks, part_size)) as parts:
            first: list[Piece] = await anext(parts, [])
            size = sum(map(len, first))
            if size < part_size:
                written = await self.put(key, b"".join(first), facts=facts)
                if progress is not None and size:
                    progress(size)
                return written
            whole = following([first], parts)
            del first  # the upload holds parts only while they are sent
            etag = await self._uploads.stream(key, whole, facts=facts, concurrency=concurrency, progress=progress)
        return Written(etag, self._s3.signed.reached())

    @asynccontextmanager
    async def get_stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[ObjectStream]:
        """Chunks of about 1 MiB. After a broken connection it continues where that broke, if the ETag is the same."""

        async def open_at_start() -> Download:
            self._s3.attempts.admit(key)
            date = self._s3.signed.reached()
            try:
                download = await Download.open(
                    self._large, self._s3.root + key, key, options=self._options, start=start, end=end
                )
            except _OBSTORE as error:
                raise self._s3.failures.reading(key, Failure.from_obstore(error), date=date) from error
            self._s3.circuit.answered()
            return download

        yield await self._s3.attempts.repeated(f"GET {key}", open_at_start, (StoreBusy, StoreUnavailable))

    # --- copies, tags, uploads, presigned requests -------------------------------------------------------------

    async def copy(self, source: str, target: str, *, facts: Facts | None = None) -> Written:
        """A HEAD, to learn the size, then CopyObject; above 5 GB an upload of copied ranges."""
        if facts is not None:
            facts.check(target)
        etag = await self._copies.copy(await self.stat(source), target, facts)
        return Written(etag, self._s3.signed.reached())

    async def get_tags(self, key: str) -> Mapping[str, str]:
        return await self._tags.get(key)

    async def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        check_tags(key, tags)
        await self._tags.set(key, tags)

    async def create_upload(self, key: str, *, facts: Facts | None = None) -> str:
        if facts is not None:
            facts.check(key)
        return await self._uploads.create(key, facts)

    async def put_part(self, key: str, upload: str, number: int, body: bytes) -> str:
        check_part(key, number, len(body))
        return await self._uploads.part(key, upload, number, (body,))

    async def complete_upload(self, key: str, upload: str, parts: Sequence[tuple[int, str]]) -> Written:
        check_completion(key, parts)
        return Written(await self._uploads.complete(key, upload, parts), self._s3.signed.reached())

    async def abort_upload(self, key: str, upload: str) -> None:
        await self._uploads.abort(key, upload)

    async def list_uploads(self, prefix: str, *, cursor: str | None = None) -> UploadPage:
        return await self._uploads.page(prefix, cursor)

    async def presign_get(
        self, key: str, *, expires_in: int, filename: str | None = None, content_type: str | None = None
    ) -> str:
        return await self._presigner.get(key, expires_in=expires_in, filename=filename, content_type=content_type)

    async def presign_put(
        self,
        key: str,
        *,
        expires_in: int,
        content_type: str | None = None,
        sha256: str | None = None,
        size: int | None = None,
        if_absent: bool = False,
    ) -> PresignedPut:
        return await self._presigner.put(
            key, expires_in=expires_in, content_type=content_type, sha256=sha256, size=size, if_absent=if_absent
        )

    async def presign_post(
        self, key: str, *, expires_in: int, max_size: int, min_size: int = 0, content_type: str | None = None
    ) -> PresignedPost:
        return await self._presigner.post(
            key, expires_in=expires_in, min_size=min_size, max_size=max_size, content_type=content_type
        )

    # --- the rest ----------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        await self._uploads.aclose()
        await self._s3.aclose()
        await self._session.aclose()


def _over(expires: int, answer: Answer) -> bool:
    """Returns whether the signature was over when the store answered. It ends with the whole second before
    `expires`."""
    return answer.date >= expires // 1000 * 1000
