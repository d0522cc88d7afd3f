"""Writes one run: claim, files, seal. Nothing of it is visible before `finalize` returns, and all of it after.

A writer whose block ends without a seal removes the files that it has written; what it cannot remove, the sweeper does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Protocol

import msgspec

from fhirstore.commit import messages
from fhirstore.commit.limits import Context
from fhirstore.errors import (
    ContentTooLarge,
    InvalidName,
    InvalidResource,
    ObjectError,
    RunSealed,
    RunTimedOut,
    StoreFull,
)
from fhirstore.format.runs import PAYLOAD, RunKeys, Seal, SealedFile, check_name, stored_as
from fhirstore.objects.base import ObjectStore
from fhirstore.runs.encoding import SUFFIXES, Compression
from fhirstore.runs.files import FileWriter, WrittenFile, check_bytes, writing
from fhirstore.runs.run import Run
from fhirstore.runs.sealing import Claim, claim, facts_of, seal

MOST_FILES = 1_000
LONGEST_METADATA = 64 * 1024  # bytes of JSON


class Perform(Protocol):
    """Runs a protocol on the store to its end."""

    def __call__(self, protocol: messages.Protocol[messages.Result], /) -> Awaitable[messages.Result]: ...


@asynccontextmanager
async def run_writer(
    objects: ObjectStore,
    keys: RunKeys,
    *,
    context: Context,
    perform: Perform,
    tags: Mapping[str, str],
    compression: Compression | None,
) -> AsyncIterator[RunWriter]:
    """Opens a run to write. `compression`: of the lines of `RunWriter.write`. Raises RunSealed, Unavailable."""
    claimed = await perform(claim(keys, context=context))
    async with AsyncExitStack() as files:
        run = RunWriter(
            objects, keys, claimed, context=context, perform=perform, files=files, tags=tags, compression=compression
        )
        files.push_async_callback(run.remove_unsealed)
        yield run


class RunWriter:
    """A run being written. Several tasks may write, each its own file. Made by `run_writer`."""

    def __init__(
        self,
        objects: ObjectStore,
        keys: RunKeys,
        claimed: Claim,
        *,
        context: Context,
        perform: Perform,
        files: AsyncExitStack,
        tags: Mapping[str, str],
        compression: Compression | None,
    ) -> None:
        self.run_id = keys.run_id
        self._objects = objects
        self._keys = keys
        self._claim = claimed
        self._context = context
        self._perform = perform
        self._open = files
        self._tags = tags
        self._compression = compression
        self._payload: FileWriter | None = None
        self._files: dict[str, WrittenFile | None] = {}  # None: not completed
        self._stored: set[str] = set()  # the last segments of their keys
        self._seal: Seal | None = None  # as it was sent, or is about to be
        self._may_be_sealed = False

    @asynccontextmanager
    async def file(
        self, name: str = PAYLOAD, *, compression: Compression | None = None, content_type: str | None = None
    ) -> AsyncIterator[FileWriter]:
        """Opens a file of the run, which is complete when the block ends without an error.

        Each name can be used once; a run with a file that failed cannot be sealed. With a `compression`, readers get
        what was written; the object's name ends with .gz or .zst. Raises InvalidName, ContentTooLarge.
        """
        if self._seal is not None:
            raise ValueError("the run is finalized")
        if check_name(name) in self._files:
            raise InvalidName("This run has a file with this name already")
        if len(self._files) >= MOST_FILES:
            raise ContentTooLarge(f"A run has at most {MOST_FILES} files")
        suffix = SUFFIXES.get(compression, "") if compression is not None else ""
        stored = stored_as(name, attempt=None if self._claim.owner else self._claim.attempt, suffix=suffix)
        if stored in self._stored:
            raise InvalidName("This run has a file that is stored under this name already")
        self._files[name] = None
        self._stored.add(stored)
        facts = facts_of(self._keys, self._tags, content_type)
        key = self._keys.file(stored)
        async with writing(self._objects, key, name=name, facts=facts, compression=compression) as file:
            yield file
            self._files[name] = await file.close()

    async def write(self, line: bytes) -> None:
        """Adds a line to `payload.jsonl`. Its end is added where it has none."""
        check_bytes(line)
        if self._payload is None:
            self._payload = await self._open.enter_async_context(self.file(PAYLOAD, compression=self._compression))
        await self._payload.write(line if line.endswith(b"\n") else line + b"\n")

    async def finalize(self, metadata: Mapping[str, object] | None = None) -> Run:
        """Seals the run. The commit point is the PUT of `metadata.json`. Returns the run as readers see it.

        `metadata`: plain JSON values, kept with the run. A run without files gets an empty `payload.jsonl`. Raises
        RunSealed (another writer was first), RunTimedOut, StoreFull: nothing was sealed. Raises WriteOutcomeUnknown: it
        may have been sealed; call it again to learn it. Raises ValueError if a file is open, or has failed.
        """
        if self._seal is None:
            kept = _plain(metadata or {})
            await self._complete()
            self._seal = Seal(
                run_id=self.run_id,
                dataset=self._keys.dataset,
                partition=dict(self._keys.partition),
                attempt=self._claim.attempt,
                created=self._context.now(),
                files=tuple(_sealed(file, self._keys) for file in self._files.values() if file is not None),
                metadata=kept,
                tags=dict(self._tags),
            )
        before, self._may_be_sealed = self._may_be_sealed, True
        try:
            await self._perform(seal(self._keys, self._claim, self._seal, context=self._context))
        except (RunSealed, RunTimedOut):
            self._may_be_sealed = False
            raise
        except StoreFull:
            self._may_be_sealed = before
            raise
        return Run(self._objects, self._keys, self._seal)

    async def remove_unsealed(self) -> None:
        """Removes the files that were begun, unless the run was sealed, or may have been. Does what it can.

        One that was cancelled while it was completed may have appeared, so it is removed, too.
        """
        if self._stored and not self._may_be_sealed:
            with suppress(ObjectError):
                await self._objects.delete_many([self._keys.file(stored) for stored in sorted(self._stored)])

    async def _complete(self) -> None:
        if not self._files:
            async with self.file(PAYLOAD, compression=self._compression):
                pass
        if self._payload is not None:
            self._files[PAYLOAD] = await self._payload.close()
        incomplete = [name for name, file in self._files.items() if file is None]
        if incomplete:
            raise ValueError(f"not complete, so the run cannot be sealed: {', '.join(incomplete)}")


def _plain(metadata: Mapping[str, object]) -> dict[str, object]:
    """Returns the metadata as readers will see it. Raises InvalidResource, ContentTooLarge."""
    try:
        body = msgspec.json.encode(metadata)
        plain = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise InvalidResource("The metadata of a run must be a JSON object", code="value") from error
    if len(body) > LONGEST_METADATA:
        raise ContentTooLarge(f"The metadata of a run has at most {LONGEST_METADATA} bytes")
    return plain


def _object(file: WrittenFile, keys: RunKeys) -> str:
    return file.key.removeprefix(keys.folder)


def _sealed(file: WrittenFile, keys: RunKeys) -> SealedFile:
    return SealedFile(
        name=file.name,
        object=_object(file, keys),
        size=file.size,
        sha256=file.sha256,
        count=file.count,
        raw_size=file.raw_size,
        encoding=file.encoding,
    )
