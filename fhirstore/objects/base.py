"""The contract of an object store: every operation that fhirstore uses, and what a store must guarantee.

There is one implementation per kind of store (`embedded`, `memory`, `s3`), wrappers with the same interface, and one
contract suite (`tests/objects/contract.py`) that all of them pass. The guarantees:

* PUT is atomic and durable when it returns; a GET or LIST that starts later sees it (read-after-write).
* `IfAbsent` and `IfMatch` are decided atomically with the write: of any number of racers exactly one wins.
* An ETag is opaque: compare it, never parse it. Another body at a key always has another one. Equal bodies have equal
  ones on some stores (it is a hash there), so that a body that returns brings its ETag back, and different ones on
  others (SSE-KMS): no caller may rely on either.
* Errors are exceptions of `fhirstore.errors` (the `ObjectError` family). A store never retries a conditional PUT by
  itself: a blind retry turns its own success into a 412.
* `expires` is a write window: epoch ms on the *store's* clock after which the store itself refuses the PUT.

Keys are relative to the store's root, `/`-separated, without empty, `.` or `..` segments.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

import msgspec

from fhirstore.errors import ObjectError
from fhirstore.objects.facts import Facts, ObjectInfo, Progress
from fhirstore.objects.presigned import PresignedPost, PresignedPut
from fhirstore.objects.uploads import UploadPage


class IfAbsent(msgspec.Struct, frozen=True):
    """PUT only where no object has the key (If-None-Match: *)."""


class IfMatch(msgspec.Struct, frozen=True):
    """PUT only over the object that carries this ETag (If-Match)."""

    etag: str


Condition = IfAbsent | IfMatch
IF_ABSENT = IfAbsent()

PART_SIZE = 8 * 1024 * 1024
"""Bytes of a part of a streamed body, unless said otherwise; S3 takes 10,000 parts, so 80 GB."""

CONCURRENCY = 4
"""Parts of a streamed body that are sent at once, unless said otherwise."""


class StoredObject(msgspec.Struct, frozen=True):
    """An object as read. `date`: the store's clock had reached this time (epoch ms) before the object was read.

    Before, not after: a reader concludes from a read that nothing can be written any more with a window that ended
    before `date`.
    """

    body: bytes
    etag: str
    date: int


class Written(msgspec.Struct, frozen=True):
    """A PUT that was applied: the new ETag, and `date` as in `StoredObject`."""

    etag: str
    date: int


GetAnswer: TypeAlias = StoredObject | ObjectError
"""The answer to one of several GETs. The error is the one that `ObjectStore.get` would have raised."""

PutAnswer: TypeAlias = Written | ObjectError
"""The answer to one of several PUTs. The error is the one that `ObjectStore.put` would have raised."""


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
    def facts(self) -> Facts | None: ...
    @property
    def follows(self) -> bool:
        """Whether to write this one, the last, only if all before it were written; else the answer is NotFollowed.

        Allowed only where the store `decides_together`.
        """
        ...


class Listed(msgspec.Struct, frozen=True):
    """One object in a LIST page; `modified` is the store's last-modified time in epoch ms."""

    key: str
    size: int
    etag: str
    modified: int


class Page(msgspec.Struct, frozen=True):
    """One LIST answer. `prefixes` end with `/`. `cursor` continues the listing; None on the last page."""

    objects: tuple[Listed, ...]
    prefixes: tuple[str, ...]
    cursor: str | None


class ObjectStream(Protocol):
    """A large body being read: chunks of bounded size, in order."""

    size: int  # bytes of the whole object, whatever range is read
    etag: str

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class ObjectStore(Protocol):
    """A bucket, a directory or a dict. Safe to share between tasks. Whoever opened it must call `aclose`."""

    @property
    def location(self) -> str:
        """The location for messages: `file:/var/lib/fhirstore`, `s3://bucket/prefix`, `memory:`."""
        ...

    @property
    def decides_together(self) -> bool:
        """Whether `put_many` accepts a PUT that follows the others, and then finishes even if its caller is
        cancelled."""
        ...

    def now(self) -> int:
        """Returns the store's time as best known here, epoch ms. Sends no request."""
        ...

    @property
    def clock_error(self) -> int:
        """How far `now()` may be off the store's clock, either way, ms."""
        ...

    def writes(self) -> int | None:
        """Returns a number that is another one after anyone, in any process, has written to the store. It may be
        another one without that. None: only requests could tell. Sends no request.
        """
        ...

    async def check(self) -> None:
        """Check that the store exists and can be used, with one request at most.

        Raises StoreMisconfigured with one line of advice, StoreFull, StoreUnavailable.
        """
        ...

    async def get(self, key: str) -> StoredObject:
        """Returns the whole object. Raises ObjectNotFound, ObjectDamaged, StoreBusy, StoreUnavailable."""
        ...

    async def get_many(self, keys: Sequence[str]) -> Sequence[GetAnswer]:
        """Send several GETs at once, one round trip. Returns all answers, in the order of the keys."""
        ...

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        """Write the whole object in one request, with these facts, or with none: those of an object there are gone.

        Raises RequestRefused, PreconditionFailed, ConditionalConflict, WriteWindowClosed, StoreBusy, StoreFull (not
        applied) or OutcomeUnknown. IfMatch on an absent key raises PreconditionFailed.
        """
        ...

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        """Send several PUTs in parallel, one round trip. Each is decided by itself, in any order. Returns all answers.

        Where the store `decides_together`, the last one may follow the others.
        """
        ...

    async def delete(self, key: str, *, expires: int | None = None) -> None:
        """Remove the object, which may be absent. With `expires`, never after that time: then raises WriteWindowClosed.

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
        """Returns a page of at most `limit` (1 to 1000) keys that start with `prefix`, in the store's own stable order.

        In one flat folder that is the order of the bytes. Across folders it need not be (SeaweedFS lists in tree
        order), so a listing is continued only with the `cursor` of the page before. `start_after` (exclusive) is a key.
        With `delimiter`, keys with a further `/` after the prefix are rolled up into `prefixes`. Raises StoreDamaged
        where the listing cannot be read; StoreBusy, StoreUnavailable.
        """
        ...

    async def stat(self, key: str) -> ObjectInfo:
        """Returns what is known of the object without its body. Raises as `get`."""
        ...

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
        """Write a body of any size without holding it in memory. It becomes visible as a whole at the end, or never.

        Holds at most `part_size` (5 MiB or more) times `concurrency` bytes. A body below one part is one PUT.
        Unconditional, so the key must be unique to the writer (it carries a fresh token). When `chunks` raises or the
        task is cancelled, the upload is aborted and nothing appears. Raises as `put`.
        """
        ...

    def get_stream(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[ObjectStream]:
        """Read bytes [start, end) of a body of any size. Raises ObjectNotFound on entering, ObjectDamaged."""
        ...

    async def copy(self, source: str, target: str, *, facts: Facts | None = None) -> Written:
        """Copy an object of any size within the store, whose bytes do not pass through here.

        The target has the facts of the source, tags included, or `facts` instead. Source and target may be one. Raises
        ObjectNotFound for the source, RequestRefused, StoreBusy, StoreFull, OutcomeUnknown.
        """
        ...

    async def get_tags(self, key: str) -> Mapping[str, str]:
        """Returns the tags of the object. Raises ObjectNotFound, StoreCannot, StoreBusy, StoreUnavailable."""
        ...

    async def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        """Replace all tags of the object, which keeps its ETag.

        Raises RequestRefused, ObjectNotFound, StoreCannot, StoreBusy, OutcomeUnknown.
        """
        ...

    async def create_upload(self, key: str, *, facts: Facts | None = None) -> str:
        """Begin a multipart upload of this object. Returns its id.

        The caller must complete or abort it; what is left is found by `list_uploads`. Raises as `put`.
        """
        ...

    async def put_part(self, key: str, upload: str, number: int, body: bytes) -> str:
        """Send part `number` (1 to 10,000) of an upload, in any order; again, to replace it. Returns its ETag.

        All but the last must have 5 MiB or more. Raises UploadNotFound, RequestRefused; otherwise as `put`.
        """
        ...

    async def complete_upload(self, key: str, upload: str, parts: Sequence[tuple[int, str]]) -> Written:
        """Make the object of these parts, numbers and ETags in ascending order. That is the commit point.

        Unconditional. Other parts of the upload are dropped, and it ends. Raises UploadNotFound; RequestRefused where
        a part is missing or too small, then the upload goes on; StoreBusy, StoreFull, OutcomeUnknown.
        """
        ...

    async def abort_upload(self, key: str, upload: str) -> None:
        """End an upload and remove its parts. It may have ended already. Raises StoreBusy, OutcomeUnknown."""
        ...

    async def list_uploads(self, prefix: str, *, cursor: str | None = None) -> UploadPage:
        """Returns a page of pending uploads whose keys start with `prefix`. Raises StoreBusy, StoreUnavailable."""
        ...

    async def presign_get(
        self, key: str, *, expires_in: int, filename: str | None = None, content_type: str | None = None
    ) -> str:
        """Returns a URL from which anybody can GET the object, for `expires_in` seconds. Sends no request.

        The answer suggests `filename` for the download and has `content_type`, where given. With temporary credentials
        the URL ends with them. Raises StoreCannot on a store without URLs, RequestRefused.
        """
        ...

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
        """Returns a request that PUTs the object once signed, as `presign_get`.

        With `sha256` (hex), a store that checks S3's checksums accepts that body alone; with `size`, only a body of
        that many bytes. `if_absent`: only while there is no such object, so that nobody can replace it.
        """
        ...

    async def presign_post(
        self, key: str, *, expires_in: int, max_size: int, min_size: int = 0, content_type: str | None = None
    ) -> PresignedPost:
        """Returns a form that writes the object, with a body of `min_size` to `max_size` bytes; as `presign_get`."""
        ...

    async def aclose(self) -> None:
        """Release connections, threads and files. Acknowledged writes are already durable."""
        ...


def by_any_clock(objects: ObjectStore) -> int:
    """Returns a time, epoch ms, that comes after all that was acknowledged until now, whichever machine's clock is
    asked: each may be off the store's either way.
    """
    return objects.now() + 2 * objects.clock_error
