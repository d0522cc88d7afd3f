"""`Payloads`: the large contents of one tenant. Made by `TenantStore.payloads`."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context
from fhirstore.commit.moving_out import facts_for
from fhirstore.commit.placing import Arriving, arrive, complete
from fhirstore.errors import ObjectDamaged, ObjectNotFound, PayloadGone, PayloadMismatch
from fhirstore.format.payload import Payload, is_payload_object, is_sha256, payload_object
from fhirstore.objects.base import CONCURRENCY, PART_SIZE, ObjectStream
from fhirstore.objects.facts import Progress
from fhirstore.objects.files import sha256_of
from fhirstore.tenancy import Place
from fhirstore.uploads.delivering import Verified
from fhirstore.uploads.receiving import Incoming, Promise


class _Shared(Exception):
    """The content is there already."""

    def __init__(self, payload: Payload) -> None:
        super().__init__()
        self.payload = payload


class Payloads:
    """Contents of Binaries that lie outside their records. Equal contents of a tenant are stored once.

    A payload must be committed with a Binary (`TenantStore.create_binary`) within a day; else it is swept.
    """

    def __init__(self, place: Place, context: Context, *, require: Callable[[str], None] = lambda rights: None) -> None:
        """`require`: raises AccessDenied unless one of these rights ("r", "cu") on Binaries was granted."""
        self._place = place
        self._context = context
        self._require = require

    def new_object(self) -> str:
        """Returns a fresh name of a payload object, for `adopt`: a key below the tenant's prefix."""
        return payload_object(self._context.ids.new())

    def key(self, object: str) -> str:
        """Returns the key of a payload object in the tenant's object store. Raises ValueError for another name."""
        if not is_payload_object(object):
            raise ValueError("not the name of a payload object")
        return self._place.keys.prefix + object

    async def receive(
        self,
        chunks: AsyncIterable[bytes],
        *,
        content_type: str | None = None,
        most: int | None = None,
        size: int | None = None,
        sha256: str | None = None,
        progress: Progress | None = None,
        part_size: int = PART_SIZE,
        concurrency: int = CONCURRENCY,
    ) -> Payload:
        """Stores a content of any size. Nothing is visible until it is committed with a Binary.

        `most`: bytes allowed. `size`, `sha256` (hex): those that the sender promised. `progress`: told the bytes that
        are sent. Holds `part_size` times `concurrency` bytes. An upload that fails or is cancelled is aborted. 2 PUT
        and the object: 1 PUT, or its parts and 2 requests. A content that is there already is shared.

        Raises ContentTooLarge, PayloadMismatch, PayloadGone (it took more than a day), Contention, Unavailable, what
        `chunks` raises, and as `ObjectStore.put_stream`.
        """
        self._require("cu")
        object_ = self.new_object()
        admitted: Arriving | None = None

        async def admit(sha256: str, size: int) -> int:
            nonlocal admitted
            payload = Payload(sha256, size, object_)
            arriving = await drive(arrive(self._place.keys, payload, context=self._context), self._place.objects)
            if isinstance(arriving, Payload):
                raise _Shared(arriving)
            admitted = arriving
            return self._context.now() + self._context.limits.transaction_window

        incoming = Incoming(chunks, Promise(most, size, sha256), admit)
        try:
            await incoming.store(
                self._place.objects,
                self.key(object_),
                facts=facts_for(content_type, self._context),
                progress=progress,
                part_size=part_size,
                concurrency=concurrency,
            )
        except _Shared as shared:
            return shared.payload
        assert admitted is not None  # noqa: S101 - nothing is an object before it is admitted
        return await self._completed(Payload(incoming.sha256, incoming.size, object_), admitted)

    @property
    def held(self) -> int:
        """Bytes that one `receive` holds at most, unless told otherwise."""
        return PART_SIZE * CONCURRENCY

    async def adopt(self, object: str, *, sha256: str, size: int, copy: bool = False) -> Payload:
        """Makes a payload of an object that was written already, directly by a client for example.

        `object`: its name, as `new_object` made it; nobody may be able to write it any more, by a presigned request
        for example. With `copy`, it may be any key below the tenant's prefix, and the store copies it. `sha256`,
        `size`: what the caller has verified of its content; the size is compared here. It may be called again for the
        same object, and by several processes at once. If the content is there already, that is shared. The object is
        never deleted here: the caller deletes it, or the original of a copy, when the payload names another one.

        Raises ObjectNotFound, PayloadMismatch (size), PayloadGone (it was given up meanwhile), ValueError (names),
        Contention, Unavailable, and as `ObjectStore.copy`.
        """
        self._require("cu")
        if not is_sha256(sha256):
            raise ValueError("sha256 is not a SHA-256 in lower-case hex")
        source = self._place.keys.prefix + object if copy else self.key(object)
        found = await self._place.objects.stat(source)
        if found.size != size:
            raise PayloadMismatch(f"The object has {found.size:,} bytes, but {size:,} were promised")
        payload = Payload(sha256, size, self.new_object() if copy else object)

        async def make() -> None:
            if copy:
                await self._place.objects.copy(source, self.key(payload.object))
            else:  # once more: an object that is there when its entry names it is not deleted any more
                await self._place.objects.stat(source)

        return await self._admitted(payload, make, drop=copy)

    @asynccontextmanager
    async def open(self, payload: Payload, start: int = 0, end: int | None = None) -> AsyncIterator[ObjectStream]:
        """Reads bytes [start, end) in chunks of bounded size, as `ObjectStore.get_stream`. 1 GET.

        A content that is read as a whole is verified on the way: its last chunk comes only if its hash is right.
        Raises ObjectNotFound on entering, ObjectDamaged.
        """
        self._require("r")
        end = payload.size if end is None else min(end, payload.size)
        async with self._place.objects.get_stream(self.key(payload.object), start=start, end=end) as stream:
            whole = start == 0 and end == payload.size
            yield Verified(stream, self.key(payload.object), payload) if whole else stream

    async def verify(self, payload: Payload) -> None:
        """Reads all of the content, and raises ObjectDamaged if it is not what was written, or is gone. 1 GET."""
        self._require("r")
        key = self.key(payload.object)
        try:
            found = await sha256_of(self._place.objects, key)
        except ObjectNotFound as error:
            raise ObjectDamaged(key, "the content of a Binary is missing", date=error.date) from error
        if found != payload.sha256:
            raise ObjectDamaged(key, "the content of a Binary has another SHA-256 than was written")

    async def presigned_get(
        self, payload: Payload, *, expires_in: int, filename: str | None = None, content_type: str | None = None
    ) -> str:
        """Returns a URL from which anybody can GET the content for `expires_in` seconds; as `ObjectStore.presign_get`.

        Sends no request. Raises StoreCannot on a store without URLs, RequestRefused.
        """
        self._require("r")
        return await self._place.objects.presign_get(
            self.key(payload.object), expires_in=expires_in, filename=filename, content_type=content_type
        )

    async def _admitted(self, payload: Payload, make: Callable[[], Awaitable[None]], *, drop: bool) -> Payload:
        arriving = await drive(arrive(self._place.keys, payload, context=self._context), self._place.objects)
        if isinstance(arriving, Payload):
            return arriving
        try:
            await make()
        except ObjectNotFound as error:
            raise PayloadGone("The object was removed meanwhile; upload it again") from error
        return await self._completed(payload, arriving, drop=drop)

    async def _completed(self, payload: Payload, arriving: Arriving, *, drop: bool = True) -> Payload:
        protocol = complete(self._place.keys, payload, arriving, context=self._context, drop=drop)
        return await drive(protocol, self._place.objects)
