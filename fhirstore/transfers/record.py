"""The record of an upload, `binary/uploads/{id}.json`: what was promised, and how far it is.

| status | meaning |
|---|---|
| `open` | content may be sent |
| `received` | the content came through this library, which hashed it: nothing is left to verify |
| `verifying` | somebody completes it: puts the object together, reads and hashes it, until its lease ends |
| `verified` | size and hash are right; the Binary will be made, by whoever comes first. No way back |
| `done` | the Binary is there |
| `refused` | the content is not what was promised |
| `expired`, `aborted` | nobody completed it in time; the client gave it up |

`TABLE` is the whole state machine: a transition that is not in it is refused. Every change is a compare-and-set, and
carries a fresh nonce, so that bodies never recur.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

import msgspec
from msgspec.structs import replace

from fhirstore.errors import CorruptRecord, InvalidResource

OPEN, RECEIVED, VERIFYING, VERIFIED = "open", "received", "verifying", "verified"
DONE, REFUSED, EXPIRED, ABORTED = "done", "refused", "expired", "aborted"
STATUSES = (OPEN, RECEIVED, VERIFYING, VERIFIED, DONE, REFUSED, EXPIRED, ABORTED)
ENDED = (DONE, REFUSED, EXPIRED, ABORTED)

RECEIVE, CLAIM, RENEW, REOPEN, VERIFY = "receive", "claim", "renew", "reopen", "verify"
FINISH, REFUSE, EXPIRE, ABORT = "finish", "refuse", "expire", "abort"
EVENTS = (RECEIVE, CLAIM, RENEW, REOPEN, VERIFY, FINISH, REFUSE, EXPIRE, ABORT)

TABLE: Mapping[tuple[str, str], str] = {
    (OPEN, RECEIVE): RECEIVED,
    (OPEN, CLAIM): VERIFYING,
    (OPEN, EXPIRE): EXPIRED,
    (OPEN, ABORT): ABORTED,
    (RECEIVED, VERIFY): VERIFIED,
    (RECEIVED, REFUSE): REFUSED,
    (RECEIVED, EXPIRE): EXPIRED,
    (RECEIVED, ABORT): ABORTED,
    (VERIFYING, CLAIM): VERIFYING,  # only once the lease has ended
    (VERIFYING, RENEW): VERIFYING,
    (VERIFYING, REOPEN): OPEN,  # a part must be sent again, or the store did not answer
    (VERIFYING, VERIFY): VERIFIED,
    (VERIFYING, REFUSE): REFUSED,
    (VERIFYING, EXPIRE): EXPIRED,  # only once the lease has ended
    (VERIFYING, ABORT): ABORTED,
    (VERIFIED, FINISH): DONE,
    (VERIFIED, REFUSE): REFUSED,  # the Binary itself cannot be made
}
"""(status, event) → status."""

POST, PUT, PARTS = "post", "put", "parts"
METHODS = (POST, PUT, PARTS)

LONGEST = 12 * 3600
"""Seconds for which content may be sent, at most. What was received, and parts, stay for 24 h without a Binary."""

COMPLETING = 3600
"""Seconds after the expiry in which an upload may still be completed: a request that began in time may take long."""

SMALLEST_PART, PART, LARGEST_PART = 5 * 1024 * 1024, 8 * 1024 * 1024, 64 * 1024 * 1024
"""Bytes of a part; the last one may be smaller."""

MOST_PARTS = 10_000
MOST_COPIES = 20
"""Completions of one form that may break off: each begins a copy of its own."""

_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*;[ -~]*[!-~])?")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_REFERENCE = re.compile(r"[!-~]{1,2000}")
_ID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


class UploadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for. `size`: exactly so many bytes; `most`: at most; one of them. `sha256`: hex.

    `security_context`: the reference of the Binary's securityContext. `expires_in`: seconds. `part_size`: bytes.
    """

    LONGEST: ClassVar[int] = LONGEST

    content_type: str
    method: str = PUT
    size: int | None = None
    most: int | None = None
    sha256: str | None = None
    security_context: str | None = None
    expires_in: int = 3600
    part_size: int | None = None

    def check(self, *, largest: int) -> None:
        """Raises InvalidResource, naming the parameter. `largest`: bytes that a Binary may have."""
        if self.method not in METHODS:
            raise _bad("method", f"must be one of {', '.join(METHODS)}")
        if len(self.content_type) > 255 or not _MEDIA_TYPE.fullmatch(self.content_type):
            raise _bad("contentType", "must be a media type, like application/pdf")
        if self.sha256 is not None and not _SHA256.fullmatch(self.sha256):
            raise _bad("sha256", "must be 64 hexadecimal digits")
        if self.security_context is not None and not _REFERENCE.fullmatch(self.security_context):
            raise _bad("securityContext", "must be a reference, like Patient/123")
        if not 1 <= self.expires_in <= LONGEST:
            raise _bad("expiresIn", f"must be 1 to {LONGEST} seconds")
        if self.size is None and self.most is None:
            raise _bad("size", "or maxSize is needed")
        if self.size is not None and self.most is not None:
            raise _bad("size", "and maxSize exclude each other")
        for name, bytes_ in (("size", self.size), ("maxSize", self.most)):
            if bytes_ is not None and not 1 <= bytes_ <= largest:
                raise _bad(name, f"must be 1 to {largest:,} bytes")
        if self.method == PARTS and self.size is None:
            raise _bad("size", "is needed for an upload in parts")
        if self.part_size is not None and not SMALLEST_PART <= self.part_size <= LARGEST_PART:
            raise _bad("partSize", f"must be {SMALLEST_PART:,} to {LARGEST_PART:,} bytes")


def _bad(name: str, text: str) -> InvalidResource:
    return InvalidResource(f"{name} {text}", code="value")


class Upload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An upload. Times are epoch ms on the store's clock, sizes bytes, `sha256` hex.

    `direct`: the client sends to the store itself. `multipart`: the store's id of an upload in parts. `owner`, `until`:
    the lease of who verifies, and `checked`, the bytes that were read so far. `copies`: the objects that completions of
    a form have begun, by their ULIDs. `object`: the ULID of the payload object that was verified. `found`: its size and
    hash. `payload`: the name of the payload object that holds the content, perhaps an older one. `binary`: the id of
    the Binary. `issue`: code and text of the refusal. `begun_by`: who alone may go on with it; None: whoever is not
    restricted.
    """

    id: str
    status: str = OPEN
    method: str
    direct: bool = False
    content_type: str
    size: int | None = None
    most: int
    sha256: str | None = None
    security_context: str | None = None
    created: int
    expires: int
    multipart: str | None = None
    part_size: int = 0
    owner: str | None = None
    until: int = 0
    checked: int = 0
    copies: tuple[str, ...] = ()
    object: str | None = None
    found: tuple[int, str] | None = None
    payload: str | None = None
    binary: str | None = None
    issue: tuple[str, str] | None = None
    begun_by: str | None = None
    nonce: str

    @property
    def complete_by(self) -> int:
        """Up to when it may be completed, epoch ms."""
        return self.expires + COMPLETING * 1000

    @property
    def parts(self) -> int:
        """How many parts the content has; 0 for other methods."""
        return -(-self.most // self.part_size) if self.part_size else 0

    def part_bytes(self, number: int) -> int:
        """Returns the size of part `number`, counted from 1."""
        return min(self.part_size, self.most - (number - 1) * self.part_size)

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.status in ENDED

    def encode(self) -> bytes:
        """Returns the object's body."""
        return msgspec.json.encode(self)


_decode = msgspec.json.Decoder(Upload).decode


def decode_upload(body: bytes, key: str) -> Upload:
    """Reads a record. Raises CorruptRecord, naming `key`."""
    try:
        upload = _decode(body)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error
    if upload.status not in STATUSES or upload.method not in METHODS:
        raise CorruptRecord(key)
    return upload


def is_upload_id(text: str) -> bool:
    """Returns whether `text` may be the id of an upload."""
    return _ID.fullmatch(text) is not None


def begun(
    asked: UploadRequest, id: str, *, now: int, direct: bool, multipart: str | None, by: str | None = None
) -> Upload:
    """Returns the first record. `asked` must have been checked."""
    most = asked.size if asked.size is not None else asked.most
    assert most is not None  # noqa: S101 - checked
    part_size = 0
    if asked.method == PARTS:
        part_size = max(asked.part_size or PART, -(-most // MOST_PARTS))
    return Upload(
        id=id,
        method=asked.method,
        direct=direct,
        content_type=asked.content_type,
        size=asked.size,
        most=most,
        sha256=None if asked.sha256 is None else asked.sha256.lower(),
        security_context=asked.security_context,
        created=now,
        expires=now + asked.expires_in * 1000,
        multipart=multipart,
        part_size=part_size,
        begun_by=by,
        nonce=id,
    )


def after(upload: Upload, event: str, nonce: str, **changes: object) -> Upload | None:
    """Returns the record after an event; None if the table has no such transition."""
    status = TABLE.get((upload.status, event))
    if status is None:
        return None
    if event not in (CLAIM, RENEW):
        changes = {"owner": None, "until": 0, **changes}
    return replace(upload, status=status, nonce=nonce, **changes)


def claimed(upload: Upload, owner: str, *, now: int, length: int, copy: bool) -> Upload | None:
    """Returns the record once `owner` has begun to verify it, for `length` ms; None if somebody else does, or may not.

    `copy`: a new object is begun, whose ULID is `owner`.
    """
    if upload.status == VERIFYING and now <= upload.until:
        return None
    copies = (*upload.copies, owner) if copy else upload.copies
    return after(upload, CLAIM, owner, owner=owner, until=now + length, checked=0, copies=copies)


def expired(upload: Upload, nonce: str, *, now: int) -> Upload | None:
    """Returns the record of an upload that nobody completed in time; None where it goes on."""
    if now <= upload.complete_by or (upload.status == VERIFYING and now <= upload.until):
        return None
    return after(upload, EXPIRE, nonce)


def mismatch(upload: Upload, size: int, sha256: str | None) -> str | None:
    """Returns why content of this size and hash is not what was promised; None where it is. None: not hashed yet."""
    if upload.size is not None and size != upload.size:
        return f"The content has {size:,} bytes, and not {upload.size:,} as promised"
    if size > upload.most:
        return f"The content has {size:,} bytes, more than {upload.most:,} as promised"
    if not size:
        return "The content is empty"
    if sha256 is not None and upload.sha256 is not None and sha256 != upload.sha256:
        return "The content has another SHA-256 than promised"
    return None
