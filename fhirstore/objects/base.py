"""The object verbs: everything fhirstore asks of a store, and all that a store must promise.

One implementation per kind of store (`embedded`, `memory`, `s3`), wrappers (`metered`, `faulty`) with the same
shape, one contract suite (`tests/objects/contract.py`) that all of them pass. What is promised:

* PUT is atomic and durable when it returns; a GET that starts later sees it (read-after-write, as is for LIST).
* `IfAbsent` and `IfMatch` are decided atomically with the write: of any number of racers exactly one wins.
* An ETag is a hash of the body: equal bodies have equal ETags. It is opaque; compare it, never parse it.
* Refusals are exceptions of `fhirstore.errors` (the `ObjectError` family). Conditional PUTs are never retried
  inside a store: a blind retry would turn one's own success into a 412.
* `expires` is a write window: epoch ms on the *store's* clock after which the store itself refuses the PUT.

Keys are relative to the store's root, `/`-separated, without empty, `.` or `..` segments.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

import msgspec

from fhirstore.errors import ObjectError


class IfAbsent(msgspec.Struct, frozen=True):
    """PUT only where no object has the key (If-None-Match: *)."""


class IfMatch(msgspec.Struct, frozen=True):
    """PUT only over the object that carries this ETag (If-Match)."""

    etag: str


Condition = IfAbsent | IfMatch
IF_ABSENT = IfAbsent()


class StoredObject(msgspec.Struct, frozen=True):
    """An object as read. `date`: the store's clock had reached this (epoch ms) before it was read.

    Before, not after: who reads that nothing happened until `date` concludes that nothing can happen any more.
    """

    body: bytes
    etag: str
    date: int


class Written(msgspec.Struct, frozen=True):
    """A PUT that was applied: the ETag it made, and the `date` as in `StoredObject`."""

    etag: str
    date: int


PutAnswer: TypeAlias = Written | ObjectError
"""Of several PUTs at once, one's answer: the error is what `ObjectStore.put` would have raised."""


class PutRequest(Protocol):
    """One of several PUTs; the fields as in `ObjectStore.put`."""

    @property
    def key(self) -> str: ...
    @property
    def body(self) -> bytes: ...
    @property
    def condition(self) -> Condition | None: ...
    @property
    def expires(self) -> int | None: ...
    @property
    def follows(self) -> bool:
        """Of the last one, where the store `decides_together`: only if all before it were written; else NotFollowed."""
        ...


class Listed(msgspec.Struct, frozen=True):
    """One object in a LIST page; `modified` is the store's last-modified time in epoch ms."""

    key: str
    size: int
    etag: str
    modified: int


class Page(msgspec.Struct, frozen=True):
    """One LIST answer. `prefixes` end with `/`. `cursor` continues the listing; None: this was the last page."""

    objects: tuple[Listed, ...]
    prefixes: tuple[str, ...]
    cursor: str | None


class ObjectStream(Protocol):
    """A large body being read: chunks of bounded size, in order."""

    size: int  # bytes of the whole object, whatever range is read
    etag: str

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class ObjectStore(Protocol):
    """A bucket, a directory or a dict. Safe to share between tasks; a context's owner calls `aclose`."""

    @property
    def location(self) -> str:
        """Where the data lies, for people: `file:/var/lib/fhirstore`, `s3://bucket/prefix`, `memory:`."""
        ...

    @property
    def decides_together(self) -> bool:
        """Does `put_many` take a PUT that follows the others, and see all through whatever becomes of who asked?"""
        ...

    def now(self) -> int:
        """The store's clock as best known here, epoch ms; costs no request."""
        ...

    async def check(self) -> None:
        """Is the store there and ours? One request at most; raises StoreMisconfigured with one line of advice."""
        ...

    async def get(self, key: str) -> StoredObject:
        """The whole object. Raises ObjectNotFound, ObjectDamaged, StoreBusy, StoreUnavailable."""
        ...

    async def put(
        self, key: str, body: bytes, *, condition: Condition | None = None, expires: int | None = None
    ) -> Written:
        """Write the whole object in one request.

        Raises PreconditionFailed, ConditionalConflict, WriteWindowClosed, StoreBusy (none of them applied) or
        OutcomeUnknown. IfMatch on an absent key is PreconditionFailed.
        """
        ...

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        """Several PUTs in parallel, one round trip: each decided on its own, in any order; an answer for each.

        Where the store `decides_together`, the last one may follow the others.
        """
        ...

    async def delete(self, key: str, *, expires: int | None = None) -> None:
        """Remove the object; absent is fine. With `expires`, never after it: then WriteWindowClosed.

        Raises StoreBusy, WriteWindowClosed (not applied) or OutcomeUnknown.
        """
        ...

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Remove any number of objects, absent ones included, in requests of at most 1,000 keys."""
        ...

    async def list(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        cursor: str | None = None,
        delimiter: bool = False,
        limit: int = 1000,
    ) -> Page:
        """One page of at most `limit` (1 to 1000) keys that start with `prefix`, in the store's own stable order.

        In one flat folder that order is the bytes' order; across folders it need not be (SeaweedFS lists in tree
        order), so a listing goes on only with the `cursor` of the page before. `start_after` (exclusive) is a key.
        Raises StoreDamaged where it cannot be read; StoreBusy, StoreUnavailable.
        With `delimiter`, keys with a further `/` after the prefix are rolled up into `prefixes`.
        """
        ...

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> Written:
        """Write a body of any size without holding it in memory; visible whole at the end, or never.

        Unconditional: the key must be the writer's own (it carries a fresh token). When `chunks` raises or the
        task is cancelled, what was sent is aborted and nothing appears.
        """
        ...

    def get_stream(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[ObjectStream]:
        """Read bytes [start, end) of a body of any size. Raises ObjectNotFound on entering; ObjectDamaged."""
        ...

    async def aclose(self) -> None:
        """Release connections, threads and files. Whatever was acknowledged is already durable."""
        ...
