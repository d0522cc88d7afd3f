"""Objects to and from local files, and the check of an object's SHA-256; a bounded piece at a time."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from fhirstore.clock import Ids, SystemIds
from fhirstore.errors import ObjectDamaged, RequestRefused
from fhirstore.objects.base import CONCURRENCY, PART_SIZE, ObjectStore, Written
from fhirstore.objects.facts import Facts, Progress

_CHUNK = 1024 * 1024
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


async def put_file(
    objects: ObjectStore,
    key: str,
    path: str | os.PathLike[str],
    *,
    facts: Facts | None = None,
    part_size: int = PART_SIZE,
    concurrency: int = CONCURRENCY,
    progress: Progress | None = None,
) -> Written:
    """Write the content of a local file, as `ObjectStore.put_stream`. Also raises OSError for the file."""
    file = await asyncio.to_thread(Path(path).open, "rb", 0)
    with file:
        return await objects.put_stream(
            key, _chunks(file), facts=facts, part_size=part_size, concurrency=concurrency, progress=progress
        )


async def get_file(
    objects: ObjectStore,
    key: str,
    path: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
    ids: Ids | None = None,
) -> int:
    """Read an object into a local file. Returns its size in bytes.

    The file appears as a whole, durable, under its name, or not at all: until then it has a name of its own beside it.
    A file that is there is replaced. Raises as `ObjectStore.get_stream`, and OSError for the file.
    """
    target = Path(path)
    unfinished = target.with_name(f".{target.name}.{(ids or SystemIds()).new()}.part")
    done = 0
    try:
        async with objects.get_stream(key) as stream:
            with await asyncio.to_thread(unfinished.open, "xb", 0) as file:
                async for chunk in stream:
                    await asyncio.to_thread(_write, file, chunk)
                    done += len(chunk)
                    if progress is not None:
                        progress(done)
                await asyncio.to_thread(os.fsync, file.fileno())
        await asyncio.to_thread(_appear, unfinished, target)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise
    return done


async def sha256_of(objects: ObjectStore, key: str) -> str:
    """Returns the SHA-256 of the object's bytes, in hex. Reads all of it. Raises as `ObjectStore.get_stream`."""
    hash_ = hashlib.sha256()
    async with objects.get_stream(key) as stream:
        async for chunk in stream:
            await asyncio.to_thread(hash_.update, chunk)
    return hash_.hexdigest()


async def verify(objects: ObjectStore, key: str, sha256: str) -> None:
    """Raises ObjectDamaged where the object's bytes have another SHA-256 (hex) than this. Reads all of it."""
    if not _SHA256.fullmatch(sha256):
        raise RequestRefused(key, "sha256 is not 64 hexadecimal digits")
    if await sha256_of(objects, key) != sha256.lower():
        raise ObjectDamaged(key, "its bytes have another SHA-256 than expected")


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(file.read, _CHUNK):
        yield chunk


def _write(file: BinaryIO, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]


def _appear(unfinished: Path, path: Path) -> None:
    """Give the finished file its name, durably."""
    unfinished.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
