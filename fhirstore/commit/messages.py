"""The requests that a protocol makes to the object store, and the replies: plain values, so that protocols do no I/O.

A protocol is a generator. It yields batches and receives one reply per request of the batch, in order. A batch is a
tuple of requests that are sent in parallel (one round trip), or a `Pause`. `drive` runs protocols on an ObjectStore.

Of the replies to a PUT, only `Written` says that it was applied. `Refused`, `NotApplied` and `Expired` say that *this
request* was not applied; `Unknown` says nothing. A protocol must not conclude anything from `Refused` on a request that
may have been sent twice; it must read.

All are frozen Structs, which are cheaper to create than dataclasses: see docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TypeVar

import msgspec

from fhirstore.errors import FhirStoreError
from fhirstore.objects.base import Condition, Page, StoredObject, Written
from fhirstore.objects.facts import Facts
from fhirstore.objects.uploads import UploadPage


class Get(msgspec.Struct, frozen=True):
    """GET an object. Replies: StoredObject (with an empty body if the object is damaged), Absent, Archived, Unknown."""

    key: str


class Put(msgspec.Struct, frozen=True):
    """PUT an object. Replies: Written, Refused, NotApplied, Expired, Unknown; NotSent.

    `follows`: allowed in the last request of a batch. It is sent only when all others were written (`staging`).
    `facts`: its tags and content type, if it has any.
    """

    key: str
    body: bytes
    condition: Condition | None = None
    expires: int | None = None  # epoch ms on the store's clock
    follows: bool = False
    facts: Facts | None = None


class List(msgspec.Struct, frozen=True):
    """One LIST request. Replies: Page, Unreadable, Unknown. Fields as in `ObjectStore.list`."""

    prefix: str
    start_after: str | None = None
    cursor: str | None = None
    delimiter: bool = False
    limit: int = 1000


class Delete(msgspec.Struct, frozen=True):
    """DELETE up to 1,000 objects in one request; with `expires` exactly one.

    Replies: Deleted, NotApplied, Expired, Unknown.
    """

    keys: tuple[str, ...]
    expires: int | None = None  # epoch ms on the store's clock


class Digest(msgspec.Struct, frozen=True):
    """GET an object of any size, in a stream, and hash it. Replies: Digested, Absent, Archived, Unknown."""

    key: str


class ListUploads(msgspec.Struct, frozen=True):
    """List multipart uploads that are not complete. Replies: UploadPage, Unknown."""

    prefix: str
    cursor: str | None = None


class AbortUpload(msgspec.Struct, frozen=True):
    """Abort a multipart upload, which may be over. Replies: Deleted, NotApplied, Unknown."""

    key: str
    upload: str


class Consult(msgspec.Struct, frozen=True):
    """Ask something beside the object store, such as the search index. Replies: Told, Unknown.

    `ask` changes nothing, so it may be asked again; it raises FhirStoreError.
    """

    ask: Callable[[], Awaitable[object]]


class Pause(msgspec.Struct, frozen=True):
    """Wait for `seconds`, then go on with no replies. `backoff` creates those that follow a failure or a conflict.

    `settling`: the protocol waits to learn what became of its commit. Such a wait does not depend on the retry budget,
    because the protocol could only report that it does not know. At any other Pause after failed requests, `drive`
    raises Unavailable into the protocol when the retry budget of the client's request is used up.
    """

    seconds: float
    settling: bool = False


class Absent(msgspec.Struct, frozen=True):
    """There is no such object. The store's clock had reached `date` (epoch ms) before it looked."""

    date: int


class Archived(msgspec.Struct, frozen=True):
    """The object is intact and in an archive class: it cannot be read before it was restored. `date`: as in Absent."""

    date: int


class Digested(msgspec.Struct, frozen=True):
    """The SHA-256 of an object, hex; empty where the store itself says that it is damaged."""

    sha256: str


class Told(msgspec.Struct, frozen=True):
    """What was asked: the answer, or the error of asking."""

    answer: object = None
    error: FhirStoreError | None = None


class Deleted(msgspec.Struct, frozen=True):
    """The objects do not exist any more, or never did."""


class Refused(msgspec.Struct, frozen=True):
    """412: the condition was false when this request was decided."""


class NotApplied(msgspec.Struct, frozen=True):
    """409 or 503: this request was turned away; the same request may be sent again."""


class Expired(msgspec.Struct, frozen=True):
    """The write window was over when this request arrived."""


class NotSent(msgspec.Struct, frozen=True):
    """This request was not sent, because a request that it follows was not applied."""


class Unreadable(msgspec.Struct, frozen=True):
    """The next part of the listing is damaged. `resume`: a cursor to the readable part behind it, if there is one."""

    resume: str | None
    detail: str


class Unknown(msgspec.Struct, frozen=True):
    """No answer, or an answer that does not say whether the request was applied (timeout, reset, 500)."""


NOT_SENT = NotSent()
NOT_APPLIED = NotApplied()

Request = Get | Put | List | Delete | Digest | ListUploads | AbortUpload | Consult
Reply = (
    StoredObject
    | Absent
    | Archived
    | Written
    | Page
    | UploadPage
    | Unreadable
    | Digested
    | Told
    | Deleted
    | Refused
    | NotApplied
    | Expired
    | NotSent
    | Unknown
)
Batch = tuple[Request, ...] | Pause
Replies = tuple[Reply, ...]

Result = TypeVar("Result")
Protocol = Generator[Batch, Replies, Result]
