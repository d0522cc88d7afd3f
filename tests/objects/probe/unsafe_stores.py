"""Stores that break one promise each, as real ones do: the probe's negative controls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NoReturn

from fhirstore.errors import ObjectNotFound, PreconditionFailed
from fhirstore.objects.base import (
    Condition,
    IfAbsent,
    IfMatch,
    ObjectStore,
    Page,
    PutAnswer,
    PutRequest,
    StoredObject,
    Written,
)
from fhirstore.objects.facts import Facts
from fhirstore.objects.parallel_puts import put_each
from fhirstore.objects.wrappers import passing_on


class PassingOn(passing_on.PassingOn):
    """An `ObjectStore` that passes everything on; what a subclass overrides is what it breaks."""

    @property
    def decides_together(self) -> bool:
        return False

    async def get(self, key: str) -> StoredObject:
        await asyncio.sleep(0)  # as over a network, others have their turn before the answer
        return await self.inner.get(key)

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        await asyncio.sleep(0)
        return await self.inner.put(key, body, condition=condition, expires=expires, facts=facts)

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        return await put_each(self, puts)


class IgnoresIfMatch(PassingOn):
    """Writes over any version, as gateways that drop the header do."""

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        kept = None if isinstance(condition, IfMatch) else condition
        return await super().put(key, body, condition=kept, expires=expires, facts=facts)


class IgnoresIfAbsent(PassingOn):
    """Writes over existing objects, as most S3 servers did before 2024."""

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        kept = None if isinstance(condition, IfAbsent) else condition
        return await super().put(key, body, condition=kept, expires=expires, facts=facts)


class ChecksThenWrites(PassingOn):
    """Evaluates every condition rightly and writes a moment later: right one by one, wrong in a race."""

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        if condition is not None:
            try:
                found: StoredObject | None = await self.inner.get(key)
            except ObjectNotFound:
                found = None
            wrong = found is not None if isinstance(condition, IfAbsent) else not found or found.etag != condition.etag
            if wrong:
                raise PreconditionFailed(key)
        return await super().put(key, body, expires=expires, facts=facts)


class IgnoresExpires(PassingOn):
    """Accepts a PUT whose window is over."""

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        return await super().put(key, body, condition=condition, facts=facts)


class IgnoresExpiresOfDeletes(PassingOn):
    """Carries out a DELETE whose window is over."""

    async def delete(self, key: str, *, expires: int | None = None) -> None:
        await super().delete(key)


class RemembersReads(PassingOn):
    """Answers a GET from a cache that writes do not refresh."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self._seen: dict[str, StoredObject] = {}

    async def get(self, key: str) -> StoredObject:
        if key not in self._seen:
            self._seen[key] = await super().get(key)
        return self._seen[key]


class KeepsETags(PassingOn):
    """Gives every object of one size the same ETag, as stores that hash metadata alone might."""

    async def get(self, key: str) -> StoredObject:
        found = await super().get(key)
        return StoredObject(found.body, str(len(found.body)), found.date)

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        if isinstance(condition, IfMatch):
            found = await self.inner.get(key)
            if str(len(found.body)) != condition.etag:
                raise PreconditionFailed(key)
            condition = IfMatch(found.etag)
        written = await super().put(key, body, condition=condition, expires=expires, facts=facts)
        return Written(str(len(body)), written.date)


class StoppedClock(PassingOn):
    """Dates every answer with the hour it was started."""

    def __init__(self, inner: ObjectStore) -> None:
        super().__init__(inner)
        self._started = inner.now() - 3_600_000

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        written = await super().put(key, body, condition=condition, expires=expires, facts=facts)
        return Written(written.etag, self._started)


class ListsBackwards(PassingOn):
    """Gives each page's keys in reverse."""

    async def list(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        cursor: str | None = None,
        delimiter: bool = False,
        limit: int = 1000,
    ) -> Page:
        page = await super().list(prefix, start_after=start_after, cursor=cursor, delimiter=delimiter, limit=limit)
        return Page(page.objects[::-1], page.prefixes, page.cursor)


class ForgetsCursor(PassingOn):
    """Says that the first page was the last."""

    async def list(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        cursor: str | None = None,
        delimiter: bool = False,
        limit: int = 1000,
    ) -> Page:
        page = await super().list(prefix, start_after=start_after, cursor=cursor, delimiter=delimiter, limit=limit)
        return Page(page.objects, page.prefixes, None)


async def never() -> NoReturn:
    """Waits for an answer that does not come."""
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


class NeverAnswersIfMatch(PassingOn):
    """Takes a PUT with If-Match and never answers it: everything else works."""

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        if isinstance(condition, IfMatch):
            await never()
        return await super().put(key, body, condition=condition, expires=expires, facts=facts)


class NeverDeletesMany(PassingOn):
    """Takes a batch delete and never answers it."""

    async def delete_many(self, keys: Sequence[str]) -> None:
        await never()


class Silent(PassingOn):
    """Answers no PUT and no LIST."""

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        await never()

    async def list(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        cursor: str | None = None,
        delimiter: bool = False,
        limit: int = 1000,
    ) -> Page:
        await never()


class SilentAbout(PassingOn):
    """Answers no PUT of the key that ends so."""

    def __init__(self, inner: ObjectStore, ending: str) -> None:
        super().__init__(inner)
        self.ending = ending

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        if key.endswith(self.ending):
            await never()
        return await super().put(key, body, condition=condition, expires=expires, facts=facts)
