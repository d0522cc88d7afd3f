"""The store that is a dict, for tests, the simulator and a first look. Its content ends with the process.

It keeps every guarantee of `base.py` except durability. Its time comes from the clock passed in, so a test can move
that clock and see write windows close. No operation awaits anything, so each one is atomic among the tasks of a loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import msgspec

from fhirstore.clock import Clock, SystemIds
from fhirstore.errors import (
    ObjectNotFound,
    PreconditionFailed,
    RequestRefused,
    UploadNotFound,
    WriteWindowClosed,
)
from fhirstore.objects.base import (
    CONCURRENCY,
    PART_SIZE,
    Condition,
    GetAnswer,
    IfAbsent,
    Listed,
    ObjectStream,
    Page,
    PutAnswer,
    PutRequest,
    StoredObject,
    Written,
)
from fhirstore.objects.embedded.body_streams import BytesStream
from fhirstore.objects.etag import etag_of
from fhirstore.objects.facts import NO_FACTS, UNTYPED, Facts, ObjectInfo, Progress, Steps, check_tags
from fhirstore.objects.parallel_gets import get_each
from fhirstore.objects.parallel_puts import put_answered
from fhirstore.objects.presigned import WithoutUrls
from fhirstore.objects.rising_clock import RisingClock
from fhirstore.objects.sorted_keys import SortedKeys
from fhirstore.objects.uploads import (
    PendingUpload,
    UploadPage,
    check_completion,
    check_part,
    check_parts,
    check_sizes,
    page_of,
)

_AFTER_SLASH = chr(ord("/") + 1)  # "a/b" + this is the first text after every key that starts with "a/b/"


@dataclass(frozen=True, slots=True)
class _Kept:
    body: bytes
    etag: str
    modified: int
    facts: Facts


@dataclass(frozen=True, slots=True)
class _Pending:
    """An upload that has not ended. `parts`: ETag and body by number."""

    key: str
    facts: Facts | None
    started: int
    parts: dict[int, tuple[str, bytes]]


class MemoryStore(WithoutUrls):
    """An `ObjectStore` in this process's memory. `etag_of`: gives each body its ETag; never the same to two bodies."""

    def __init__(self, clock: Clock | None = None, *, etag_of: Callable[[bytes], str] = etag_of) -> None:
        self._clock = RisingClock(clock)
        self._etag_of = etag_of
        self._objects: dict[str, _Kept] = {}
        self._keys = SortedKeys()
        self._uploads: dict[str, _Pending] = {}
        self._ids = SystemIds()

    @property
    def location(self) -> str:
        return "memory:"

    @property
    def decides_together(self) -> bool:
        return False

    def now(self) -> int:
        return self._clock.now()

    @property
    def clock_error(self) -> int:
        return 0

    def writes(self) -> int | None:
        return None

    async def check(self) -> None:
        """Does nothing: it always exists."""

    async def get(self, key: str) -> StoredObject:
        kept = self._kept(key)
        return StoredObject(kept.body, kept.etag, self.now())

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
        if facts is not None:
            facts.check(key)
        now = self.now()
        _refuse_late(key, now, expires)
        if condition is not None:
            kept = self._objects.get(key)
            if isinstance(condition, IfAbsent):
                if kept is not None:
                    raise PreconditionFailed(key, "the key is taken")
            elif kept is None or kept.etag != condition.etag:
                raise PreconditionFailed(key, "another version is there" if kept else "no object is there")
        return self._keep(key, bytes(body), now, facts)

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        return [await put_answered(self, put) for put in puts]

    async def delete(self, key: str, *, expires: int | None = None) -> None:
        _refuse_late(key, self.now(), expires)
        if self._objects.pop(key, None) is not None:
            self._keys.remove(key)

    async def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            if self._objects.pop(key, None) is not None:
                self._keys.remove(key)

    async def list(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        cursor: str | None = None,
        delimiter: bool = False,
        limit: int = 1000,
    ) -> Page:
        low, behind = prefix, False
        if start_after is not None and start_after >= low:
            low, behind = start_after, True
        if cursor is not None and cursor >= low:
            low, behind = (_past(cursor), False) if cursor.endswith("/") else (cursor, True)
        objects: list[Listed] = []
        prefixes: list[str] = []
        last = ""
        found = True
        while found:
            found = False
            for key in self._keys.starting(low, behind=behind):
                if not key.startswith(prefix):
                    break
                if len(objects) + len(prefixes) == limit:
                    return Page(tuple(objects), tuple(prefixes), last)
                slash = key.find("/", len(prefix)) if delimiter else -1
                if slash >= 0:
                    last = key[: slash + 1]
                    prefixes.append(last)
                    low, behind, found = _past(last), False, True
                    break
                last = key
                kept = self._objects[key]
                objects.append(Listed(key, len(kept.body), kept.etag, kept.modified))
        return Page(tuple(objects), tuple(prefixes), None)

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
        check_parts(key, part_size, concurrency)
        if facts is not None:
            facts.check(key)
        told = Steps(progress, part_size)
        pieces: list[bytes] = []
        async for chunk in chunks:
            pieces.append(chunk)
            told.add(len(chunk))
        told.finish()
        return self._keep(key, b"".join(pieces), self.now(), facts)

    async def stat(self, key: str) -> ObjectInfo:
        kept = self._kept(key)
        facts = kept.facts
        return ObjectInfo(
            key, len(kept.body), kept.etag, kept.modified, facts.content_type or UNTYPED, dict(facts.metadata)
        )

    @asynccontextmanager
    async def get_stream(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[ObjectStream]:
        kept = self._kept(key)
        yield BytesStream(len(kept.body), kept.etag, memoryview(kept.body)[start:end])

    async def copy(self, source: str, target: str, *, facts: Facts | None = None) -> Written:
        if facts is not None:
            facts.check(target)
        kept = self._kept(source)
        return self._keep(target, kept.body, self.now(), kept.facts if facts is None else facts)

    async def get_tags(self, key: str) -> Mapping[str, str]:
        return dict(self._kept(key).facts.tags)

    async def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        check_tags(key, tags)
        kept = self._kept(key)
        self._objects[key] = replace(kept, facts=msgspec.structs.replace(kept.facts, tags=dict(tags)))

    async def create_upload(self, key: str, *, facts: Facts | None = None) -> str:
        if facts is not None:
            facts.check(key)
        upload = self._ids.new()
        self._uploads[upload] = _Pending(key, facts, self.now(), {})
        return upload

    async def put_part(self, key: str, upload: str, number: int, body: bytes) -> str:
        check_part(key, number, len(body))
        pending = self._pending(key, upload)
        etag = self._etag_of(body)
        pending.parts[number] = etag, bytes(body)
        return etag

    async def complete_upload(self, key: str, upload: str, parts: Sequence[tuple[int, str]]) -> Written:
        check_completion(key, parts)
        pending = self._pending(key, upload)
        bodies: list[bytes] = []
        for number, etag in parts:
            found, body = pending.parts.get(number, ("", b""))
            if found != etag:
                raise RequestRefused(key, f"part {number} of the upload is missing or has another ETag")
            bodies.append(body)
        check_sizes(key, [(number, len(body)) for (number, _), body in zip(parts, bodies, strict=True)])
        del self._uploads[upload]
        return self._keep(key, b"".join(bodies), self.now(), pending.facts)

    async def abort_upload(self, key: str, upload: str) -> None:
        pending = self._uploads.get(upload)
        if pending is not None and pending.key == key:
            del self._uploads[upload]

    async def list_uploads(self, prefix: str, *, cursor: str | None = None) -> UploadPage:
        found = [PendingUpload(one.key, upload, one.started) for upload, one in self._uploads.items()]
        return page_of(found, prefix, cursor)

    async def aclose(self) -> None:
        """Releases nothing; the objects stay, so that a test can open a store over them again."""

    def _kept(self, key: str) -> _Kept:
        try:
            return self._objects[key]
        except KeyError:
            raise ObjectNotFound(key, date=self.now()) from None

    def _pending(self, key: str, upload: str) -> _Pending:
        pending = self._uploads.get(upload)
        if pending is None or pending.key != key:
            raise UploadNotFound(key, "no such upload is pending")
        return pending

    def _keep(self, key: str, body: bytes, now: int, facts: Facts | None) -> Written:
        etag = self._etag_of(body)
        if key not in self._objects:
            self._keys.add(key)
        self._objects[key] = _Kept(body, etag, now, facts or NO_FACTS)
        return Written(etag, now)


def _past(folder: str) -> str:
    """Returns the first text after every key in this folder. A cursor that is a folder ends with `/`; no key does."""
    return folder[:-1] + _AFTER_SLASH


def _refuse_late(key: str, now: int, expires: int | None) -> None:
    if expires is not None and now > expires:
        raise WriteWindowClosed(key, f"the window closed {now - expires} ms ago")
