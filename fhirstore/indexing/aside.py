"""Applies large batches in a process of its own, with less right to the processor: writes do not wait for the index.

Rows are made by Python code, and a thread would take the interpreter lock from the requests of this process. The child
(`child`) opens the same index file; it is sent batches, each a Task as MessagePack, one at a time. Where it cannot
apply a batch, for whatever reason, this process does that itself, and meets the reason, if there is one: applying twice
does no harm.
"""

from __future__ import annotations

import asyncio

import msgspec

from fhirstore.index.local.apply import Batch, Change
from fhirstore.index.local.file import IndexFile
from fhirstore.indexing.child import Child, Start

_PATIENCE = 60.0  # seconds for one batch; the child is ended then
_ATTEMPTS = 3  # children that fail, before no other one is started
_Change = tuple[str, str, int, int, int, bytes | None, bool]


class Task(msgspec.Struct, frozen=True, array_like=True):
    """A batch, as `Batch` has it; the fields of each change as `Change` has them."""

    changes: tuple[_Change, ...]
    watermark: int | None
    at: int
    keep_old: bool
    complete: bool


_encode = msgspec.msgpack.Encoder().encode
decode_task = msgspec.msgpack.Decoder(Task).decode


class Aside:
    """The child of one index, started when it is first needed. The caller must `aclose` it."""

    def __init__(self, identity: str) -> None:
        self._identity = identity
        self._child: Child | None = None
        self._inode = 0
        self._attempts = 0
        self._one = asyncio.Lock()

    async def applied(self, file: IndexFile, batch: Batch) -> bool:
        """Returns whether the child has applied the batch; False: the caller must."""
        if self._attempts >= _ATTEMPTS or any(isinstance(one.resource, dict) for one in batch.changes):
            return False
        async with self._one:
            try:
                async with asyncio.timeout(_PATIENCE):
                    return await self._applied(file, batch)
            except (TimeoutError, OSError, asyncio.IncompleteReadError):
                self._attempts += 1
                await self._end()
                return False
            except BaseException:
                await self._end()  # it was in the middle of a batch
                raise

    async def aclose(self) -> None:
        """Ends the child."""
        await self._end()

    async def _applied(self, file: IndexFile, batch: Batch) -> bool:
        child = self._child
        if child is None or self._inode != file.inode:
            await self._end()
            child = self._child = await Child.start("fhirstore.indexing.aside_child", Start.of(file, self._identity))
            self._inode = file.inode
        changes = tuple([_sent(one) for one in batch.changes])
        if await child.said(_encode(Task(changes, batch.watermark, batch.at, batch.keep_old, batch.complete))):
            return True
        await self._end()
        return False

    async def _end(self) -> None:
        """Ends the child; what it has not committed is rolled back."""
        child, self._child = self._child, None
        if child is not None:
            await child.end()


def _sent(one: Change) -> _Change:
    content = one.resource if isinstance(one.resource, bytes) else None
    return (one.type, one.id, one.version, one.t, one.born, content, one.purged)
