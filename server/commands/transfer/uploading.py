"""One file becomes a Binary: hashed, sent in parts, several at once, and completed. A part that fails is sent again.

The id of the upload is kept beside the file until it is a Binary, so that the same command goes on with it: it asks
what is there, and sends the rest.
"""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from server.commands.interruption import Interruption
from server.commands.transfer.kept import KeptUpload, drop, keep, read_kept, upload_path
from server.commands.transfer.place import Facts, Place, Standing, TransferFailed
from server.commands.transfer.summary import Progress, TransferSummary

_PIECE = 4 * 1024 * 1024  # bytes that are hashed at once
_OCTETS = "application/octet-stream"
_AGAIN = "To go on, run the command again"


async def upload(
    place: Place,
    file: Path,
    *,
    content_type: str | None,
    concurrency: int,
    on_progress: Callable[[Progress], None],
    interruption: Interruption,
) -> TransferSummary:
    """Sends the file. Returns the summary, whatever happens to the place; raises OSError for the file."""
    began = time.monotonic()
    summary = TransferSummary("upload", file, place.name)
    try:
        with file.open("rb") as opened:
            await _upload(
                place,
                opened,
                summary,
                content_type=content_type or mimetypes.guess_type(file.name)[0] or _OCTETS,
                concurrency=concurrency,
                on_progress=on_progress,
                interruption=interruption,
            )
    except TransferFailed as error:
        summary.stopped = str(error)
    except asyncio.CancelledError:
        if interruption.by is None:
            raise
        summary.status, summary.stopped = "interrupted", _AGAIN
    summary.retries, summary.seconds = place.retries, time.monotonic() - began
    return summary


async def _upload(
    place: Place,
    file: BinaryIO,
    summary: TransferSummary,
    *,
    content_type: str,
    concurrency: int,
    on_progress: Callable[[Progress], None],
    interruption: Interruption,
) -> None:
    interruption.ends(asyncio.current_task())
    facts = await _facts(file, content_type, on_progress)
    summary.size, summary.sha256 = facts.size, facts.sha256
    if not facts.size:
        raise TransferFailed("The file is empty; a Binary without content needs no upload")
    standing = await _begun(place, summary.file, facts)
    summary.resumed = facts.size - standing.missing
    interruption.begins_to_send()
    await _send(
        place,
        file,
        standing,
        summary,
        concurrency=concurrency,
        on_progress=on_progress,
        interruption=interruption,
    )
    if interruption.came():
        summary.status, summary.stopped = "interrupted", _AGAIN
        return
    on_progress(Progress("verify", facts.size, facts.size))
    summary.reference = await place.complete(standing.id)
    summary.verified, summary.status = True, "complete"  # the hash was promised, so the place has compared it
    drop(upload_path(summary.file))
    interruption.ends(None)


async def _facts(file: BinaryIO, content_type: str, on_progress: Callable[[Progress], None]) -> Facts:
    """Reads the file once, for its size and hash."""
    hash_, size = hashlib.sha256(), 0
    total = file.seek(0, 2)
    file.seek(0)
    while piece := await asyncio.to_thread(file.read, _PIECE):
        await asyncio.to_thread(hash_.update, piece)
        size += len(piece)
        on_progress(Progress("hash", size, total))
    return Facts(size, hash_.hexdigest(), content_type)


async def _begun(place: Place, file: Path, facts: Facts) -> Standing:
    """Returns the upload that was kept, as far as it is; else a new one, which is kept."""
    path = upload_path(file)
    kept = read_kept(path, KeptUpload)
    if kept is not None and (kept.place, kept.size, kept.sha256) == (place.name, facts.size, facts.sha256):
        standing = await place.standing(kept.id)
        if standing is not None:
            return standing
    standing = await place.begin(facts)
    keep(path, KeptUpload(place.name, standing.id, facts.size, facts.sha256))
    return standing


async def _send(
    place: Place,
    file: BinaryIO,
    standing: Standing,
    summary: TransferSummary,
    *,
    concurrency: int,
    on_progress: Callable[[Progress], None],
    interruption: Interruption,
) -> None:
    """Sends the missing parts, `concurrency` at once, each of which is in memory."""
    parts, reading = _parts(standing), asyncio.Lock()
    on_progress(Progress("send", summary.resumed, summary.size))

    async def work() -> None:
        while not interruption.came():
            async with reading:
                start, end = next(parts, (0, 0))
                if not end:
                    return
                file.seek(start)
                body = await asyncio.to_thread(file.read, end - start)
            if len(body) != end - start:
                raise TransferFailed("The file has become shorter while it was read")
            await place.send(standing.id, start, summary.size, body)
            summary.moved += len(body)
            on_progress(Progress("send", summary.resumed + summary.moved, summary.size))

    workers = [asyncio.create_task(work()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def _parts(standing: Standing) -> Iterator[tuple[int, int]]:
    for start, end in standing.gaps:
        for at in range(start, end, standing.part_size):
            yield at, min(at + standing.part_size, end)
