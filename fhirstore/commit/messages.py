"""What a protocol asks of the object store, and what it hears back: plain values, so that protocols do no I/O.

A protocol is a generator. It yields batches, and is sent one reply per request of the batch, in order. A batch is a
tuple of requests that go out in parallel (one round trip) or a `Pause`. `drive` runs protocols on an ObjectStore.

Of the replies to a PUT only `Written` says that it was applied. `Refused`, `NotApplied` and `Expired` say that *this
request* was not; `Unknown` says nothing at all. No protocol draws a conclusion from a bare `Refused` on a request
that may have been sent twice: it reads back.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

import msgspec

from fhirstore.objects.base import Condition, Page, StoredObject, Written


class Get(msgspec.Struct, frozen=True):
    """GET the object. Replies: StoredObject, with an empty body where the object is damaged; Absent, Unknown."""

    key: str


class Put(msgspec.Struct, frozen=True):
    """PUT the object. Replies: Written, Refused, NotApplied, Expired, Unknown; NotSent.

    `follows`, of the last in a batch: only once all others in it were written (see `staging`).
    """

    key: str
    body: bytes
    condition: Condition | None = None
    expires: int | None = None  # epoch ms on the store's clock
    follows: bool = False


class List(msgspec.Struct, frozen=True):
    """One LIST request. Replies: Page, Unreadable, Unknown. Fields as in `ObjectStore.list`."""

    prefix: str
    start_after: str | None = None
    cursor: str | None = None
    delimiter: bool = False
    limit: int = 1000


class Delete(msgspec.Struct, frozen=True):
    """DELETE up to 1,000 objects in one request; with `expires` exactly one. Replies: Deleted, NotApplied, Expired,
    Unknown."""

    keys: tuple[str, ...]
    expires: int | None = None  # epoch ms on the store's clock


class Pause(msgspec.Struct, frozen=True):
    """Wait for `seconds`, then go on with no replies. `backoff` makes those that follow a failure or a conflict.

    `settling`: the protocol waits to learn what became of its commit. Such a wait is never cut short for want of a
    retry budget: the protocol could only say that it does not know. After any other Pause that follows requests which
    failed, `drive` raises Unavailable into the protocol once the client's request may repeat nothing more.
    """

    seconds: float
    settling: bool = False


class Absent(msgspec.Struct, frozen=True):
    """No such object; the store's clock had reached `date` (epoch ms) before it looked."""

    date: int


class Deleted(msgspec.Struct, frozen=True):
    """The objects are gone, absent ones included."""


class Refused(msgspec.Struct, frozen=True):
    """412: the condition did not hold when this request was decided."""


class NotApplied(msgspec.Struct, frozen=True):
    """409 or 503: this request was turned away; the same one may be sent again."""


class Expired(msgspec.Struct, frozen=True):
    """The write window was over when this request arrived."""


class NotSent(msgspec.Struct, frozen=True):
    """What it follows was not all written, so this request was not made."""


class Unreadable(msgspec.Struct, frozen=True):
    """What comes next in the listing is damaged. `resume`: a cursor to what is readable behind it; None: nothing is."""

    resume: str | None
    detail: str


class Unknown(msgspec.Struct, frozen=True):
    """No answer, or one that tells nothing (timeout, reset, 500)."""


NOT_SENT = NotSent()
NOT_APPLIED = NotApplied()

Request = Get | Put | List | Delete
Reply = (
    StoredObject | Absent | Written | Page | Unreadable | Deleted | Refused | NotApplied | Expired | NotSent | Unknown
)
Batch = tuple[Request, ...] | Pause
Replies = tuple[Reply, ...]

Result = TypeVar("Result")
Protocol = Generator[Batch, Replies, Result]
