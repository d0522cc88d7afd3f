"""Multipart uploads, as S3 has them: pending until they are completed, and then one object, all at once.

The requests are PUTs for the network, which loses, delays and doubles them like any other. The object store's own code
sends them in production; here `upload` stands for it, with what its contract says: the object appears as a whole or not
at all, and an upload that fails is aborted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fhirstore.commit.backoff import UNANSWERED
from fhirstore.commit.messages import AbortUpload, Deleted, Get, Protocol, Put, Refused
from fhirstore.commit.reading import ask
from fhirstore.errors import FhirStoreError, Unavailable
from fhirstore.objects.base import StoredObject, Written


class BeginUpload(Put, frozen=True):
    """CreateMultipartUpload. Reply: Written, whose ETag is the upload's id."""


class PutPart(Put, frozen=True):
    """UploadPart. Replies: Written; Refused: there is no such upload."""

    upload: str = ""
    number: int = 0


class CompleteUpload(Put, frozen=True):
    """CompleteMultipartUpload with the parts 1 to `number`. Replies: Written; Refused: there is no such upload."""

    upload: str = ""
    number: int = 0


@dataclass(slots=True)
class Pending:
    """An upload that is not complete; `started` in epoch ms."""

    key: str
    started: int
    parts: dict[int, bytes] = field(default_factory=dict)


def upload(key: str, parts: tuple[bytes, ...]) -> Protocol[None]:
    """Uploads an object in parts. Raises Unavailable after an abort, or an attempt at one."""
    begun = yield from answered(BeginUpload(key, b""))
    try:
        for number, part in enumerate(parts, 1):
            yield from answered(PutPart(key, part, upload=begun, number=number))
        yield from complete_upload(key, begun, parts)
    except FhirStoreError:
        yield from abort(key, begun)
        raise


def abort(key: str, upload: str) -> Protocol[None]:
    """Aborts an upload, as far as the store lets it."""
    for n in range(UNANSWERED.tries):
        (reply,) = yield (AbortUpload(key, upload),)
        if isinstance(reply, Deleted):
            return
        yield UNANSWERED.pause(n)


def complete_upload(key: str, upload: str, parts: tuple[bytes, ...]) -> Protocol[None]:
    """Completes an upload. Raises Unavailable."""
    for n in range(UNANSWERED.tries):
        (reply,) = yield (CompleteUpload(key, b"", upload=upload, number=len(parts)),)
        if isinstance(reply, Written):
            return
        (found,) = yield from ask(Get(key))
        if isinstance(found, StoredObject) and found.body == b"".join(parts):
            return
        yield UNANSWERED.pause(n)
    raise Unavailable("The upload was not completed")


def answered(request: Put) -> Protocol[str]:
    """Sends a request until it is answered. Returns the ETag. Raises Unavailable."""
    for n in range(UNANSWERED.tries):
        (reply,) = yield (request,)
        if isinstance(reply, Written):
            return reply.etag
        if isinstance(reply, Refused):
            break
        yield UNANSWERED.pause(n)
    raise Unavailable("The upload failed")
