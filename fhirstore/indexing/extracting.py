"""Makes the rows of large batches in processes of their own, for a build: the other processors work, too.

To make the rows takes about as long as to read the bucket and to write the file, and Python runs one thread at a time.
A child (`child`) is sent the content of a batch, and answers with a sheet (`fhirstore.index.local.sheets`); it opens
the index file for its key and for the parameters of the tenant. As long as no child has started, and where one fails,
this process makes the rows itself.

Memory: about 100 MB for each child, and what a batch takes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

import msgspec

from fhirstore.index.local.apply import Batch, Change, PreparedSheet
from fhirstore.index.local.file import IndexFile, PreparedBatch
from fhirstore.index.local.sheets import Sheet, SheetTexts, Written
from fhirstore.indexing.child import Child, Start
from fhirstore.threads import offload

_LEAST = 2 * 1024 * 1024  # bytes of content of a batch that is worth a child
_MOST = 2  # children
_AHEAD = 2  # batches whose rows are made, or that wait for it, beside one for each child
_PATIENCE = 120.0  # seconds for one batch; the child is ended then
_MODULE = "fhirstore.indexing.extracting_child"
encode_sheet = msgspec.msgpack.Encoder().encode
decode_task = msgspec.msgpack.Decoder(tuple[bool, list[Written]]).decode
_encode = msgspec.msgpack.Encoder().encode
_decode_sheet = msgspec.msgpack.Decoder(Sheet).decode


class Extracting:
    """The children of one build of `file`. The caller must `aclose` it."""

    def __init__(self, file: IndexFile, identity: str) -> None:
        self._file = file
        self._identity = identity
        self._one_came = False  # a batch that was worth it: to start takes longer than to make the rows of one
        self._children = [_One(file, identity) for _ in range(min(_MOST, os.cpu_count() or 1))]

    @property
    def at_once(self) -> int:
        """How many batches are to be given at the same time: so that no child waits while rows are written."""
        ready = sum(one.is_ready for one in self._children)
        return ready + _AHEAD if ready else 1

    async def prepared(self, batch: Batch) -> PreparedBatch:
        """Returns a batch, each change of another resource, with its rows. Raises MalformedContent."""
        some = [one for one in batch.changes if one.resource is not None]
        worth_it = sum([len(one.resource or b"") for one in some]) >= _LEAST
        sheet = await self._sheet(some) if worth_it else None
        return await offload(self._file.prepare, batch, sheet)

    async def aclose(self) -> None:
        """Ends the children."""
        for one in self._children:
            await one.end()

    async def _sheet(self, changes: Sequence[Change]) -> PreparedSheet | None:
        if self._one_came:
            for one in self._children:
                one.begin()
        self._one_came = True
        ready = [one for one in self._children if one.is_ready]
        return await min(ready, key=lambda one: one.waiting).sheet(changes) if ready else None


class _One:
    """A child, and what its sheets have told. It is used no more after it has failed."""

    def __init__(self, file: IndexFile, identity: str) -> None:
        self._file = file
        self._identity = identity
        self._turn = asyncio.Lock()
        self._starting: asyncio.Task[None] | None = None
        self._child: Child | None = None
        self._texts = SheetTexts()
        self.waiting = 0

    @property
    def is_ready(self) -> bool:
        return self._child is not None

    def begin(self) -> None:
        """Starts the child, if it has not been."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())

    async def sheet(self, changes: Sequence[Change]) -> PreparedSheet | None:
        """Returns the rows of these versions; None where the child has failed."""
        self.waiting += 1
        try:
            async with self._turn:
                child = self._child
                return None if child is None else await self._sheet(child, changes)
        finally:
            self.waiting -= 1

    async def end(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        child, self._child = self._child, None
        if child is not None:
            await child.end()

    async def _start(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                self._child = await Child.start(_MODULE, Start.of(self._file, self._identity))
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass  # it goes without

    async def _sheet(self, child: Child, changes: Sequence[Change]) -> PreparedSheet | None:
        try:
            async with asyncio.timeout(_PATIENCE):
                versions = [(one.type, one.id, one.born, one.resource) for one in changes]
                if await child.said(await offload(_encode, (self._texts.spoiled, versions))):
                    return await offload(self._received, await child.more(), changes)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass
        except BaseException:
            await self.end()  # it was in the middle of a batch
            raise
        await self.end()
        return None

    def _received(self, body: bytes, changes: Sequence[Change]) -> PreparedSheet:
        sheet = _decode_sheet(body)
        if sheet.place == 0:
            self._texts = SheetTexts()
        return PreparedSheet.of(sheet, self._texts, changes)
