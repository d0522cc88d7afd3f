"""The content of a Binary becomes a file: to NAME.part, gone on with after a cut, checked by its hash, then renamed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from fhirstore.clock import SystemIds
from server.commands.interruption import Interruption
from server.commands.retries import Retries
from server.commands.transfer.kept import KeptDownload, download_path, drop, keep, part_path, read_kept
from server.commands.transfer.place import Cut, Known, Opened, Place, TransferFailed
from server.commands.transfer.summary import Progress, TransferSummary

_PIECE = 4 * 1024 * 1024  # bytes that are hashed at once
_AT_ONCE = 1 << 20  # bytes that are handed to the disk at once
_AGAIN = "To go on, run the command again"


async def download(
    place: Place,
    reference: str,
    file: Path,
    *,
    retries: Retries,
    on_progress: Callable[[Progress], None],
    interruption: Interruption,
) -> TransferSummary:
    """Fetches the content. Returns the summary, whatever happens to the place; raises OSError for the file.

    The file appears under its name only when it is whole and has the hash that the place says.
    """
    began = time.monotonic()
    summary = TransferSummary("download", file, place.name, reference)
    interruption.ends(asyncio.current_task())
    try:
        known = await place.look(reference)
        await _fetch(place, known, summary, retries, on_progress)
        await _check(known, summary, on_progress)
        part_path(file).replace(file)
        drop(download_path(file))
        summary.status = "complete"
        interruption.ends(None)
    except TransferFailed as error:
        summary.stopped = str(error)
    except asyncio.CancelledError:
        if interruption.by is None:
            raise
        summary.status, summary.stopped = "interrupted", _AGAIN
    summary.retries += place.retries
    summary.seconds = time.monotonic() - began
    return summary


async def _fetch(
    place: Place, known: Known, summary: TransferSummary, retries: Retries, on_progress: Callable[[Progress], None]
) -> None:
    """Fetches until NAME.part is at the end of the content. A cut that brought something costs no try."""
    file, attempt, ids = summary.file, 0, SystemIds()
    part, kept_path = part_path(file), download_path(file)
    kept = read_kept(kept_path, KeptDownload)
    same = kept is not None and (kept.place, kept.reference) == (place.name, summary.reference)
    validator = kept.validator if kept is not None and same and part.exists() else None
    summary.resumed = part.stat().st_size if validator is not None else 0
    while True:
        attempt += 1
        start = part.stat().st_size if validator is not None else 0
        if validator is not None and known.size is not None and start >= known.size:
            return
        before = summary.moved
        try:
            async with place.open(summary.reference or "", start, validator) as opened:
                if opened.start != start:
                    summary.resumed = 0
                if opened.validator is not None and opened.validator != validator:
                    keep(kept_path, KeptDownload(place.name, summary.reference or "", opened.validator))
                validator = opened.validator
                with part.open("r+b" if opened.start else "wb") as out:
                    out.truncate(opened.start)
                    out.seek(opened.start)
                    await _copy(opened, out, known, summary, on_progress)
            return
        except Cut as cut:
            summary.retries += 1
            if summary.moved > before and validator is not None:
                attempt = 0
            if attempt >= retries.attempts:
                raise TransferFailed(f"{cut}. {_AGAIN}") from cut
            await asyncio.sleep(retries.pause(max(attempt, 1), asked=cut.asked, ids=ids))


async def _copy(
    opened: Opened, out: BinaryIO, known: Known, summary: TransferSummary, on_progress: Callable[[Progress], None]
) -> None:
    """Writes what comes; before a cut, too."""
    pieces: list[bytes] = []
    size, at = 0, opened.start
    try:
        async for piece in opened.chunks:
            pieces.append(piece)
            size += len(piece)
            if size >= _AT_ONCE:
                await asyncio.to_thread(out.write, b"".join(pieces))
                at, summary.moved = at + size, summary.moved + size
                on_progress(Progress("fetch", at, known.size or 0))
                pieces, size = [], 0
    finally:
        out.write(b"".join(pieces))
        summary.moved += size
        out.flush()
        on_progress(Progress("fetch", at + size, known.size or 0))
    await asyncio.to_thread(os.fsync, out.fileno())


async def _check(known: Known, summary: TransferSummary, on_progress: Callable[[Progress], None]) -> None:
    """Raises TransferFailed for another size or hash than the place says; then nothing of it is kept."""
    part, hash_, size = part_path(summary.file), hashlib.sha256(), 0
    with part.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            await asyncio.to_thread(hash_.update, piece)
            size += len(piece)
            on_progress(Progress("verify", size, known.size or 0))
    summary.size, summary.sha256 = size, hash_.hexdigest()
    summary.verified = known.sha256 == summary.sha256
    if (known.size is not None and known.size != size) or (known.sha256 is not None and not summary.verified):
        drop(part, download_path(summary.file))
        raise TransferFailed("What came is not what the server has: another size or SHA-256. Run the command again")


def reference_of(text: str) -> str | None:
    """Returns `Binary/ID` for a reference or an id; None: it is none."""
    type_, slash, id_ = text.rpartition("/")
    if (
        (slash and type_ != "Binary")
        or not id_
        or not all(one.isascii() and (one.isalnum() or one in "-.") for one in id_)
    ):
        return None
    return f"Binary/{id_}"
