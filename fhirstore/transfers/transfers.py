"""The uploads of one tenant: begin, send, ask, complete, abort, sweep.

Costs in storage requests, without those of the Binary (as `create_binary`, and 2 GET for the answer):

| what | requests |
|---|---|
| begin | 1 PUT; in parts 1 POST more; with a ticket, the first time in a process, 1 GET and perhaps 1 PUT of the key |
| a part | 1 GET, 1 PUT for the part, 1 PUT to note it |
| content with a ticket | 2 GET + 1 PUT, and as `Payloads.receive`; for a forged ticket none |
| complete | 5 GET + 3 PUT of the record, 3 HEAD and 1 GET of the content, 2 PUT of its entry; of a form also 1 copy and 2 DELETE; in parts 3 LIST per 1,000, 1 POST, 1 DELETE; with a ticket 4 GET + 2 PUT of the record alone |
| complete again | 3 GET |
| status | 1 GET; in parts 1 LIST per 1,000 |
"""  # noqa: E501 - a table row is one line

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import msgspec

from fhirstore.commit.drive import drive
from fhirstore.commit.idempotent import listed, removed
from fhirstore.commit.messages import List, Protocol, Result
from fhirstore.commit.moving_out import facts_for
from fhirstore.engine import Engine
from fhirstore.errors import (
    InvalidResource,
    NotFound,
    StoreCannot,
    TicketRefused,
    UploadConflict,
    UploadGone,
    UploadNotFound,
    UploadRefused,
)
from fhirstore.objects.facts import Facts, Progress
from fhirstore.objects.presigned import PresignedPost, PresignedPut
from fhirstore.tenancy import Place
from fhirstore.transfers.changing import NO_UPLOAD, begin, change, look, missing_parts, note_part, noted_parts
from fhirstore.transfers.completing import Completing, CreateBinary, said
from fhirstore.transfers.keys import PartKey, UploadKeys
from fhirstore.transfers.record import (
    ABORT,
    ABORTED,
    DONE,
    EXPIRED,
    LONGEST,
    MOST_COPIES,
    OPEN,
    PARTS,
    POST,
    PUT,
    RECEIVE,
    RECEIVED,
    REFUSE,
    REFUSED,
    VERIFIED,
    VERIFY,
    VERIFYING,
    Upload,
    UploadRequest,
    after,
    begun,
    claimed,
    expired,
)
from fhirstore.transfers.tickets import Ticket, new_key, signing_key
from fhirstore.uploads.payloads import Payloads
from fhirstore.version import Version

_POLL = 0.2  # seconds between two looks at an upload that another process completes
_AGE = (LONGEST + 2 * 3600) * 1000
"""ms after its last change from which the sweep looks at a record: whatever is open then can be completed no more."""
_KEPT = 24 * 3600 * 1000  # ms for which the record of an ended upload is kept
_PAGES = 50  # of records in one sweep
_GONE = {
    EXPIRED: "The upload was not completed in time; begin another one",
    ABORTED: "The upload was given up; begin another one",
}


class BegunUpload(msgspec.Struct, frozen=True):
    """An upload, and how to send its content: a presigned request, or a ticket's names and values; None: in parts."""

    upload: Upload
    how: PresignedPut | PresignedPost | dict[str, str] | None


class UploadStatus(msgspec.Struct, frozen=True):
    """`received`: bytes that are there, None where only the store knows. `missing`: numbers of parts."""

    upload: Upload
    received: int | None
    missing: tuple[int, ...] = ()


class Completion(msgspec.Struct, frozen=True):
    """`version`: the Binary's first; None while the content is being verified. `created`: by this call."""

    upload: Upload
    version: Version | None
    created: bool = False


class Uploads:
    """The direct uploads of one tenant."""

    def __init__(
        self,
        engine: Engine,
        place: Place,
        payloads: Payloads,
        *,
        create: CreateBinary,
        check: Callable[[dict[str, object]], Awaitable[object]],
        read: Callable[[str], Awaitable[Version]],
        owner: str | None = None,
        require_admin: Callable[[str], None] = lambda what: None,
    ) -> None:
        """`check`: raises as a create does for a Binary without content. `read`: the first version of a Binary.

        `owner`: who acts, and sees no upload but those that they began; None: all uploads. `require_admin`: raises
        AccessDenied.
        """
        self._owner = owner
        self._require_admin = require_admin
        self._engine = engine
        self._place = place
        self._objects = place.objects
        self._context = engine.context(place)
        self._payloads = payloads
        self._check = check
        self._read = read
        self.keys = UploadKeys(place.keys)
        self._completing = Completing(self.keys, place.objects, self._context, payloads, create, self._facts)

    async def begin(self, asked: UploadRequest, *, largest: int) -> BegunUpload:
        """Begins an upload; nothing is visible yet. `largest`: the most bytes of a Binary here.

        Raises InvalidResource, RequestRefused (more than one request to the store can take), Unavailable.
        """
        asked.check(largest=largest)
        await self._check(_binary(asked))
        objects, id_ = self._objects, self._engine.ids.new()
        how: PresignedPut | PresignedPost | dict[str, str] | None = None
        multipart: str | None = None
        if asked.method == PARTS:
            multipart = await objects.create_upload(self.keys.payload(id_), facts=self._facts(asked.content_type))
        else:
            how = await self._presigned(asked, id_)
        upload = begun(asked, id_, now=objects.now(), direct=how is not None, multipart=multipart, by=self._owner)
        await self._run(begin(self.keys, upload))
        if how is None and asked.method != PARTS:
            how = Ticket.of(self._place.tenant, upload).signed(await self._key())
        return BegunUpload(upload, how)

    async def status(self, id: str) -> UploadStatus:
        """Returns how far an upload is. Raises NotFound, Unavailable."""
        upload, _ = await self._look(id)
        if upload.found is not None:
            return UploadStatus(upload, upload.found[0])
        if upload.method != PARTS or upload.status != OPEN:
            return UploadStatus(upload, None)
        found = await self._run(noted_parts(self.keys, id))
        missing = missing_parts(upload, found)
        return UploadStatus(upload, upload.most - sum(map(upload.part_bytes, missing)), tuple(missing))

    async def open_part(self, id: str, start: int, end: int, total: int | None) -> tuple[Upload, int]:
        """Returns the upload and the number of the part that bytes [start, end) are, before they are read.

        Raises InvalidResource (no part begins or ends there), UploadConflict, UploadGone, NotFound.
        """
        upload, now = await self._look(id)
        _refuse_ended(upload)
        if upload.method != PARTS:
            raise UploadConflict("This upload is not one in parts; send it as its begin said")
        if upload.status != OPEN:
            raise UploadConflict("The upload is being completed; no part is taken any more")
        if now > upload.expires:
            raise UploadGone(_GONE[EXPIRED])
        number, rest = divmod(start, upload.part_size)
        if rest or start >= upload.most or end - start != upload.part_bytes(number + 1):
            raise InvalidResource(
                f"A part begins at a multiple of {upload.part_size:,} and has as many bytes, the last one the rest",
                code="value",
            )
        if total is not None and total != upload.most:
            raise InvalidResource(f"The content was promised to have {upload.most:,} bytes", code="value")
        return upload, number + 1

    async def put_part(self, upload: Upload, number: int, body: bytes) -> None:
        """Stores a part of an upload in parts, which may be sent again. Raises UploadGone, and as `put_part`."""
        self._refuse_others(upload)
        if upload.multipart is None or len(body) != upload.part_bytes(number):
            raise InvalidResource("The part does not have the size that it must have", code="value")
        try:
            etag = await self._objects.put_part(self.keys.payload(upload.id), upload.multipart, number, body)
        except UploadNotFound:
            raise UploadGone("The upload has ended; begin another one") from None
        await self._run(note_part(self.keys, upload.id, PartKey(number, len(body), etag)))

    async def admitted(self, id: str, given: dict[str, str]) -> Ticket:
        """Returns the ticket that a client has sent with content. Sends nothing to the store for a forged one.

        Raises TicketRefused; UploadConflict where there is content already; UploadGone.
        """
        now = self._objects.now()
        ticket = Ticket.checked(self._place.tenant, id, given, await self._key(), now=now)
        upload, _ = await self._run(look(self.keys, id))
        _refuse_ended(upload)
        if upload.direct or ticket != Ticket.of(self._place.tenant, upload):
            raise TicketRefused("The signature is not of this upload")
        if upload.status != OPEN:
            raise UploadConflict("The content of this upload is here already; complete it")
        return ticket

    async def receive(
        self, ticket: Ticket, chunks: AsyncIterator[bytes], *, progress: Progress | None = None
    ) -> Upload:
        """Takes the content that comes with an `admitted` ticket, hashed on the way. Returns the record.

        Commit point: the change of the record. Of two that send at once, one is taken. Raises UploadConflict, and as
        `Payloads.receive`: ContentTooLarge, PayloadMismatch.
        """
        exact = ticket.most if ticket.least == ticket.most else None
        payload = await self._payloads.receive(
            chunks,
            content_type=ticket.content_type,
            most=ticket.most,
            size=exact,
            sha256=ticket.sha256 or None,
            progress=progress,
        )
        nonce = self._engine.ids.new()
        found = (payload.size, payload.sha256)
        upload = await self._changed(
            ticket.id, lambda now, _: after(now, RECEIVE, nonce, found=found, payload=payload.object)
        )
        if upload.nonce != nonce and upload.found != found:
            _refuse_ended(upload)
            raise UploadConflict("Another content of this upload was quicker; complete it")
        return upload

    async def complete(
        self, id: str, *, sha256: str | None = None, size: int | None = None, wait: float = 10.0
    ) -> Completion:
        """Verifies what was sent and makes the Binary, once; a repeated call returns the same one.

        `sha256` (hex), `size`: what else the client says of the content. It waits `wait` seconds at most; what is to be
        verified takes longer where it is large, and goes on: call it again. Raises UploadConflict (not all is there),
        UploadRefused, UploadGone, NotFound, Unavailable.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        work: asyncio.Task[bool] | None = None
        while True:
            upload, now = await self._look(id)
            if upload.status == DONE:
                wrong = said(upload, size=size, sha256=sha256)
                if wrong is not None:
                    raise UploadRefused(f"{wrong}; the Binary was made of what was promised")
                created = work is not None and await asyncio.shield(work)
                return Completion(upload, await self._read(upload.binary or ""), created)
            _refuse_ended(upload)
            if expired(upload, "", now=now) is not None:
                await self._expire(id)
                continue
            if work is None or work.done():
                if work is not None:
                    work.result()
                work = await self._begin_work(upload, now, sha256=sha256, size=size)
            left = until - loop.time()
            if left <= 0:
                return Completion(upload, None)
            if work is None:
                await asyncio.sleep(min(_POLL, left))
            else:
                await asyncio.wait([work], timeout=left)

    async def abort(self, id: str) -> Upload:
        """Gives an upload up; what was sent is removed. Returns the record. It may have ended before.

        Raises NotFound, UploadConflict (it is verified, so its Binary will be made), Unavailable.
        """
        nonce = self._engine.ids.new()
        if self._owner is not None:
            await self._look(id)
        upload = await self._changed(id, lambda now, _: after(now, ABORT, nonce))
        if upload.status == VERIFIED:
            raise UploadConflict("The content is verified, and its Binary is being made")
        if upload.nonce == nonce:
            await self._completing.clear(upload)
        return upload

    async def sweep(self, *, age: int = _AGE, kept: int = _KEPT) -> int:
        """Ends uploads that nobody completed, and removes the records of ended ones. Returns how many of both.

        `age`, `kept`: ms since the last change of a record. A verified upload is finished. 1 LIST per 1,000 records, 1
        GET for each that is old enough, and what its end takes. Raises Unavailable; the next sweep goes on.
        """
        self._require_admin("Maintenance")
        count = 0
        cursor: str | None = None
        for _ in range(_PAGES):
            page = await self._run(listed(List(self.keys.records, cursor=cursor, delimiter=True)))
            for item in page.objects:
                id_ = self.keys.id_of(item.key)
                if id_ is not None and item.modified + min(age, kept) < self._objects.now():
                    count += await self._tidy(id_, self._objects.now() - item.modified, age=age, kept=kept)
            cursor = page.cursor
            if cursor is None:
                break
        return count

    async def _look(self, id: str) -> tuple[Upload, int]:
        """Returns the record, and the store's time. Raises NotFound, also for an upload that others began."""
        upload, now = await self._run(look(self.keys, id))
        self._refuse_others(upload)
        return upload, now

    def _refuse_others(self, upload: Upload) -> None:
        if self._owner is not None and upload.begun_by != self._owner:
            raise NotFound(NO_UPLOAD)

    # --- how --------------------------------------------------------------------------------------------------

    async def _tidy(self, id: str, since: int, *, age: int, kept: int) -> bool:
        """Ends or removes one upload, whose record was changed `since` ms ago."""
        try:
            upload, now = await self._run(look(self.keys, id))
        except NotFound:
            return False
        if upload.ended:
            if since < kept:
                return False
            await self._completing.clear(upload)
            await self._run(removed(self.keys.record(id)))
            return True
        if since < age:
            return False
        if upload.status == VERIFIED:
            await self._completing.finish(upload)
            return True
        return expired(upload, "", now=now) is not None and (await self._expire(id)).status == EXPIRED

    async def _expire(self, id: str) -> Upload:
        nonce = self._engine.ids.new()
        upload = await self._changed(id, lambda found, now: expired(found, nonce, now=now))
        if upload.nonce == nonce:
            await self._completing.clear(upload)
        return upload

    async def _begin_work(
        self, upload: Upload, now: int, *, sha256: str | None, size: int | None
    ) -> asyncio.Task[bool] | None:
        """Begins what brings the upload on; None where another completion does. The work goes on without its caller."""
        if upload.status == VERIFIED:
            return self._engine.own(self._completing.finish(upload))
        if upload.status == RECEIVED:
            return self._engine.own(self._finish_received(upload, sha256=sha256, size=size))
        if upload.status == VERIFYING and now <= upload.until:
            return None
        if upload.status == OPEN:
            await self._completing.check_sent(upload)
        copies = upload.method == POST
        if copies and len(upload.copies) >= MOST_COPIES:
            raise UploadConflict("The completion of this upload has broken off too often; begin another one")
        owner = self._engine.ids.new()
        lease = self._completing.lease
        mine = await self._changed(
            upload.id,
            lambda found, date: claimed(found, owner, now=date, length=lease, copy=copies),
        )
        if mine.nonce != owner:
            return None
        return self._engine.own(self._verify_and_finish(mine, sha256=sha256, size=size))

    async def _verify_and_finish(self, upload: Upload, *, sha256: str | None, size: int | None) -> bool:
        verified = await self._completing.verify(upload, sha256=sha256, size=size)
        return verified.status == VERIFIED and await self._completing.finish(verified)

    async def _finish_received(self, upload: Upload, *, sha256: str | None, size: int | None) -> bool:
        wrong, nonce = said(upload, size=size, sha256=sha256), self._engine.ids.new()
        changed = await self._changed(
            upload.id,
            lambda found, _: (
                None
                if found.status != RECEIVED
                else after(found, VERIFY, nonce)
                if wrong is None
                else after(found, REFUSE, nonce, issue=("invalid", wrong))
            ),
        )
        return changed.status == VERIFIED and await self._completing.finish(changed)

    async def _presigned(self, asked: UploadRequest, id: str) -> PresignedPut | PresignedPost | None:
        """Returns the request to the store itself; None where the store has no URLs."""
        try:
            if asked.method == PUT:
                return await self._objects.presign_put(
                    self.keys.payload(id),
                    expires_in=asked.expires_in,
                    content_type=asked.content_type,
                    sha256=asked.sha256,
                    size=asked.size,
                    if_absent=True,
                )
            most = asked.size or asked.most or 0
            return await self._objects.presign_post(
                self.keys.incoming(id),
                expires_in=asked.expires_in,
                min_size=asked.size or 1,
                max_size=most,
                content_type=asked.content_type,
            )
        except StoreCannot:
            return None

    async def _key(self) -> bytes:
        cache = self._engine.upload_keys
        key = cache.get(self._place.tenant)
        if key is None:
            key = await self._run(signing_key(self.keys, new_key()))
            cache[self._place.tenant] = key
        return key

    def _facts(self, content_type: str) -> Facts | None:
        return facts_for(content_type, self._context)

    async def _changed(self, id: str, decide: Callable[[Upload, int], Upload | None]) -> Upload:
        return await self._run(change(self.keys, id, decide, context=self._context))

    async def _run(self, protocol: Protocol[Result]) -> Result:
        return await drive(protocol, self._objects)


def _binary(asked: UploadRequest) -> dict[str, object]:
    resource: dict[str, object] = {"resourceType": "Binary", "contentType": asked.content_type}
    if asked.security_context is not None:
        resource["securityContext"] = {"reference": asked.security_context}
    return resource


def _refuse_ended(upload: Upload) -> None:
    """Raises UploadGone, UploadRefused where nothing comes of the upload any more; UploadConflict where it is done."""
    if upload.status in _GONE:
        raise UploadGone(_GONE[upload.status])
    if upload.status == REFUSED:
        code, text = upload.issue or ("invalid", "The content was refused")
        raise UploadRefused(f"{text}; begin another upload", code=code)
    if upload.status == DONE:
        raise UploadConflict("The upload is completed, and takes nothing more")


__all__: Sequence[str] = ("BegunUpload", "Completion", "UploadStatus", "Uploads")
