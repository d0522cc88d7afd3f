"""Writes into the target of a copy: batches of PUTs under the lease, and bodies of any size, streamed.

The target belongs to the copier alone, so its PUTs have no condition: the same request may be sent again, and again by
the next copier.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from fhirstore.commit.messages import Put
from fhirstore.errors import (
    ConditionalConflict,
    ObjectDamaged,
    ObjectError,
    ObjectNotFound,
    OutcomeUnknown,
    StoreBusy,
    StoreUnavailable,
    Unavailable,
    WriteWindowClosed,
)
from fhirstore.objects.base import ObjectStore, ObjectStream, Written
from fhirstore.objects.facts import UNTYPED, Facts
from fhirstore.objects.files import sha256_of
from fhirstore.upkeep.copy.tally import Tally

_T = TypeVar("_T")
_TRIES = 9
PASSING = (
    ConditionalConflict,
    OutcomeUnknown,
    StoreBusy,
    StoreUnavailable,
    Unavailable,
    WriteWindowClosed,  # the process was stopped for longer than its lease; a renewal says whether it goes on
)
"""Errors that pass, so that the same request may be sent again."""


async def patiently(act: Callable[[], Awaitable[_T]]) -> _T:
    """Does `act`, and again for about half a minute while the store does not answer or is busy. Raises the last
    error."""
    for n in range(_TRIES):
        try:
            return await act()
        except PASSING:
            if n == _TRIES - 1:
                raise
            await asyncio.sleep(min(0.1 * 2**n, 8.0))
    raise AssertionError


class Target:
    """The target's objects. `window`: returns the end of the write window of a PUT that is sent now (`CopyLease`)."""

    def __init__(self, objects: ObjectStore, window: Callable[[], int], tally: Tally) -> None:
        self.objects = objects
        self._window = window
        self._tally = tally

    async def put(self, puts: Sequence[Put]) -> None:
        """Write these objects, in parallel; done when all are there. Raises StoreFull, LeaseLost, other ObjectErrors
        that last."""
        missing = list(puts)

        async def send() -> None:
            nonlocal missing
            until = self._window()
            some = [Put(put.key, put.body, expires=until, facts=put.facts) for put in missing]
            answers = await self.objects.put_many(some)
            failed: ObjectError | None = None
            left: list[Put] = []
            for put, answer in zip(missing, answers, strict=True):
                if isinstance(answer, Written):
                    self._tally.wrote(len(put.body))
                    continue
                left.append(put)
                if failed is None or not isinstance(answer, PASSING):
                    failed = answer
            missing = left
            if failed is not None:
                raise failed

        if missing:
            await patiently(send)

    async def copy_body(
        self, source: ObjectStore, key: str, target_key: str, *, sha256: str, whole: bool = False
    ) -> None:
        """Copy an object of any size with its facts and tags, unless one of that size is there already.

        `whole`: its bytes must have that SHA-256, too. Holds a few parts. The target appears as a whole, and only if
        the bytes have the SHA-256 (hex). Raises ObjectNotFound, ObjectDamaged, StoreFull.
        """
        await patiently(lambda: self._copy_body(source, key, target_key, sha256, whole=whole))

    async def _copy_body(self, source: ObjectStore, key: str, target_key: str, sha256: str, *, whole: bool) -> None:
        info = await source.stat(key)
        with suppress(ObjectNotFound, ObjectDamaged):
            there = await self.objects.stat(target_key)
            if there.size == info.size and (not whole or await sha256_of(self.objects, target_key) == sha256):
                return
        facts = Facts(
            content_type=None if info.content_type == UNTYPED else info.content_type,
            metadata=info.metadata,
            tags=await source.get_tags(key),
        )
        self._window()
        async with source.get_stream(key) as stream:
            await self.objects.put_stream(target_key, self._checked(stream, key, sha256), facts=facts)

    async def _checked(self, stream: ObjectStream, key: str, sha256: str) -> AsyncIterator[bytes]:
        hash_, done = hashlib.sha256(), 0
        async for chunk in stream:
            await asyncio.to_thread(hash_.update, chunk)
            done += len(chunk)
            self._tally.read(len(chunk))
            self._tally.wrote(len(chunk), objects=0)
            yield chunk
        if done != stream.size or hash_.hexdigest() != sha256:
            raise ObjectDamaged(key, "its bytes have another SHA-256 than expected")
        self._tally.wrote(0)
