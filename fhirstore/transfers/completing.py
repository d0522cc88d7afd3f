"""From what a client has sent to a Binary: put together, verify, admit, create. Each step may be done again by another.

| from | to | what is done |
|---|---|---|
| open | verifying | a lease says who reads the object, so that a large one is read once |
| verifying | verified | the object is put together (parts), or copied (a form), then read and hashed |
| verified | done | `Payloads.adopt` admits the object; the Binary is created, under an id derived from the upload's |

An object that was read does not change any more: a PUT and parts are written once, and a copy is written by the one
completion that begun it. Up to `verified` an upload can expire; then it can only be finished, by this completion, the
next one, or the sweep. What others share instead of it (`payload`) is decided by the record alone, and only then is the
object itself deleted, before a time that the store enforces.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from fhirstore.commit.drive import drive
from fhirstore.commit.idempotent import removed_below
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Protocol, Result
from fhirstore.errors import (
    FhirStoreError,
    IdempotencyKeyReused,
    InvalidResource,
    NotFound,
    ObjectNotFound,
    PayloadGone,
    RequestRefused,
    UploadConflict,
    UploadNotFound,
)
from fhirstore.format.payload import Payload, payload_object
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.facts import Facts
from fhirstore.transfers.changing import ambiguous_parts, change, missing_parts, noted_parts
from fhirstore.transfers.keys import UploadKeys
from fhirstore.transfers.record import (
    DONE,
    FINISH,
    PARTS,
    POST,
    PUT,
    REFUSE,
    RENEW,
    REOPEN,
    VERIFIED,
    VERIFY,
    VERIFYING,
    Upload,
    after,
    mismatch,
)
from fhirstore.uploads.payloads import Payloads
from fhirstore.version import Version

LEASE = 30_000
"""ms for which whoever verifies has the upload to itself, unless it renews that."""

_WINDOW = 5_000  # ms in which the deletion of an object that is not needed may arrive

CreateBinary = Callable[[dict[str, object], Payload, str], Awaitable[Version]]
"""Creates a Binary under an id that derives from a key, once. Returns its first version. Raises as `create`."""

FactsOf = Callable[[str], Facts | None]
"""Returns the facts of a payload object of this content type."""


class _Lost(Exception):
    """Another completion has taken the upload over, or it was given up."""


@dataclass(frozen=True, slots=True)
class Completing:
    """Completes uploads of one tenant."""

    keys: UploadKeys
    objects: ObjectStore
    context: Context
    payloads: Payloads
    create: CreateBinary
    facts: FactsOf
    lease: int = LEASE

    async def check_sent(self, upload: Upload) -> None:
        """Raises UploadConflict where content is still missing. 1 HEAD; of parts 1 LIST per 1,000."""
        if upload.method == PARTS:
            found = await self._drive(noted_parts(self.keys, upload.id))
            missing = missing_parts(upload, found)
            if missing:
                raise UploadConflict(f"{len(missing):,} of {upload.parts:,} parts are not here yet; send them first")
            return
        key = self.keys.incoming(upload.id) if upload.method == POST else self.keys.payload(upload.id)
        try:
            await self.objects.stat(key)
        except ObjectNotFound:
            raise UploadConflict("The content is not here yet; send it first") from None

    async def verify(self, upload: Upload, *, sha256: str | None, size: int | None) -> Upload:
        """Verifies an upload that was claimed; `sha256`, `size`: what else the client says of it. Returns its record.

        Raises UploadConflict (parts must be sent again), StoreBusy, StoreUnavailable: then the upload is open again.
        """
        owner = upload.owner or ""
        progress = _Read()
        work = asyncio.ensure_future(self._verify(upload, progress, sha256=sha256, size=size))
        beats = asyncio.ensure_future(self._beat(upload.id, owner, progress))
        try:
            await asyncio.wait([work, beats], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                await asyncio.wait([work])
            if work.cancelled():  # the lease is lost
                return await self._changed(upload.id, lambda found, _: None)
            try:
                return work.result()
            except _Lost:
                return await self._changed(upload.id, lambda found, _: None)
        except FhirStoreError:
            with suppress(FhirStoreError, _Lost):
                await self._step(upload.id, owner, REOPEN)
            raise
        finally:
            for task in (work, beats):
                task.cancel()
            await asyncio.gather(work, beats, return_exceptions=True)

    async def finish(self, upload: Upload) -> bool:
        """Makes the Binary of a verified upload, once; or refuses it. Returns whether this call has ended the upload.

        Raises Contention, Unavailable, WriteOutcomeUnknown; then it may be called again.
        """
        assert upload.found is not None  # noqa: S101 - verified
        size, sha256 = upload.found
        resource: dict[str, object] = {"resourceType": "Binary", "contentType": upload.content_type}
        if upload.security_context is not None:
            resource["securityContext"] = {"reference": upload.security_context}
        payload: Payload | None = None
        try:
            if upload.object is None:  # it was received and admitted by this library
                payload = Payload(sha256, size, upload.payload or "")
            else:
                name = payload_object(upload.object)
                payload = await self.payloads.adopt(name, sha256=sha256, size=size)
            version = await self.create(resource, payload, f"urn:fhirstore:upload:{upload.id}")
        except (PayloadGone, ObjectNotFound):
            return await self._refused(upload.id, "not-found", "The content is gone; begin another upload", payload)
        except (InvalidResource, IdempotencyKeyReused, NotFound) as error:
            issue = error.issues[0]
            return await self._refused(upload.id, issue.code, issue.diagnostics, payload)
        held, nonce = version.payload or payload, self.context.ids.new()
        done = await self._changed(
            upload.id,
            lambda found, _: after(found, FINISH, nonce, binary=version.id, payload=held.object),
        )
        with suppress(FhirStoreError):  # the sweep does it, too
            await self.clear(done)
        return done.nonce == nonce

    async def clear(self, upload: Upload) -> None:
        """Removes the objects that an ended upload does not need. 1 DELETE for each that may be there.

        The record of an ended upload does not change, so an object that it does not name as its `payload` is used by
        nobody. Called again when the record is removed, for what was on its way to the store at the end.
        """
        if not upload.ended:
            return
        names = set(upload.copies)
        if upload.direct or upload.method == PARTS:
            names.add(upload.id)
        if upload.multipart is not None and upload.status != DONE:
            await self.objects.abort_upload(self.keys.payload(upload.id), upload.multipart)
        gone = {self.keys.payload(name) for name in names if payload_object(name) != upload.payload}
        if upload.method == POST and upload.direct:
            gone.add(self.keys.incoming(upload.id))
        for key in sorted(gone):
            await self.objects.delete(key, expires=self.objects.now() + _WINDOW)
        if upload.method == PARTS:
            await self._drive(removed_below(self.keys.parts(upload.id), but=""))

    # --- the steps of verifying ---------------------------------------------------------------------------------

    async def _verify(self, upload: Upload, progress: _Read, *, sha256: str | None, size: int | None) -> Upload:
        owner = upload.owner or ""
        name = owner if upload.method == POST else upload.id
        key = self.keys.payload(name)
        if upload.method == POST:
            try:
                await self.objects.copy(self.keys.incoming(upload.id), key, facts=self.facts(upload.content_type))
            except ObjectNotFound:
                raise UploadConflict("The content is not here yet; send it first") from None
        elif upload.method == PARTS:
            await self._put_together(upload, key)
        try:
            info = await self.objects.stat(key)
        except ObjectNotFound:
            raise UploadConflict("The content is not here yet; send it first") from None
        facts = self.facts(upload.content_type)
        if upload.method == PUT and facts is not None and facts.tags:  # a client's PUT has none
            await self.objects.set_tags(key, facts.tags)
        wrong = mismatch(upload, info.size, None) or _said(info.size, None, size=size, sha256=None)
        if wrong is None:
            found = await self._hashed(key, progress)
            wrong = mismatch(upload, progress.bytes, found) or _said(progress.bytes, found, size=size, sha256=sha256)
            if wrong is None:
                return await self._step(upload.id, owner, VERIFY, object=name, found=(progress.bytes, found))
        refused = await self._step(upload.id, owner, REFUSE, issue=("invalid", wrong))
        await self.clear(refused)
        return refused

    async def _put_together(self, upload: Upload, key: str) -> None:
        assert upload.multipart is not None  # noqa: S101 - an upload in parts has it from its begin
        found = await self._drive(noted_parts(self.keys, upload.id))
        doubtful = ambiguous_parts(found)
        if doubtful:
            await self.objects.delete_many([self.keys.part(upload.id, part) for part in doubtful])
            raise UploadConflict("Some parts were sent with different contents; ask for what is missing, and send them")
        parts = [(part.number, part.etag) for part in found if part.size == upload.part_bytes(part.number)]
        try:
            await self.objects.complete_upload(key, upload.multipart, parts)
        except UploadNotFound:
            with suppress(ObjectNotFound):
                await self.objects.stat(key)  # a completion that broke off had put it together
                return
            await self.objects.delete_many([self.keys.part(upload.id, part) for part in found])
            raise UploadConflict("The parts are gone from the store; begin another upload") from None
        except RequestRefused:
            await self.objects.delete_many([self.keys.part(upload.id, part) for part in found])
            raise UploadConflict("The store does not have the parts as they were sent; send them again") from None

    async def _hashed(self, key: str, progress: _Read) -> str:
        """Returns the SHA-256 of the object, in hex. Memory: a chunk of the store, whatever the size."""
        hash_ = hashlib.sha256()
        async with self.objects.get_stream(key) as stream:
            async for chunk in stream:
                await asyncio.to_thread(hash_.update, chunk)
                progress.bytes += len(chunk)
        return hash_.hexdigest()

    async def _beat(self, id: str, owner: str, progress: _Read) -> None:
        """Renews the lease at a third of it. Returns when the lease is lost."""
        while True:
            await asyncio.sleep(self.lease / 3000)
            with suppress(FhirStoreError):
                try:
                    now = self.objects.now()
                    await self._step(id, owner, RENEW, until=now + self.lease, checked=progress.bytes)
                except _Lost:
                    return

    async def _step(self, id: str, owner: str, event: str, **changes: object) -> Upload:
        """Changes the record that `owner` has claimed. Raises _Lost where it has it no more."""
        nonce = self.context.ids.new()

        def decide(found: Upload, _: int) -> Upload | None:
            mine = found.status == VERIFYING and found.owner == owner
            return after(found, event, nonce, **changes) if mine else None

        changed = await self._changed(id, decide)
        if changed.nonce != nonce:
            raise _Lost
        return changed

    async def _refused(self, id: str, code: str, text: str, payload: Payload | None) -> bool:
        nonce, held = self.context.ids.new(), None if payload is None else payload.object

        def decide(found: Upload, _: int) -> Upload | None:
            if found.status != VERIFIED:
                return None
            return after(found, REFUSE, nonce, issue=(code, text), payload=held or found.payload)

        refused = await self._changed(id, decide)
        with suppress(FhirStoreError):
            await self.clear(refused)
        return refused.nonce == nonce

    async def _changed(self, id: str, decide: Callable[[Upload, int], Upload | None]) -> Upload:
        return await self._drive(change(self.keys, id, decide, context=self.context))

    async def _drive(self, protocol: Protocol[Result]) -> Result:
        return await drive(protocol, self.objects)


@dataclass(slots=True)
class _Read:
    bytes: int = 0


def _said(found: int, hashed: str | None, *, size: int | None, sha256: str | None) -> str | None:
    """Returns why the content is not what the client says at completion; None where it is."""
    if size is not None and found != size:
        return f"The content has {found:,} bytes, and not {size:,}"
    if hashed is not None and sha256 is not None and hashed != sha256.lower():
        return "The content has another SHA-256"
    return None


def said(upload: Upload, *, size: int | None, sha256: str | None) -> str | None:
    """Returns why the content that was received or verified is not what the client says of it; None where it is."""
    return None if upload.found is None else _said(*upload.found, size=size, sha256=sha256)
