"""`fhirstore backup` and `fhirstore restore --backup`: an embedded store as a folder of files, and back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from fhirstore import bucket_locations, instant
from fhirstore.errors import FhirStoreError
from fhirstore.objects import Backup, BackupProgress, backup, restore_backup
from server.commands.interruption import Interruption
from server.commands.progress_lines import EVERY, ProgressLines
from server.commands.running import run
from server.settings import Settings

Show = Callable[[BackupProgress], None]
_WORDS = {"database": "database", "checking": "checking the database", "bodies": "large bodies"}


class CannotDo(Exception):
    """There is no backup, or no restored store; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """`made`: by location of the store. `verb`: what was done."""

    made: dict[str, Backup]
    verb: str
    seconds: float
    ok: bool = True

    def as_json(self) -> dict[str, object]:
        """Returns the summary as plain JSON values."""
        stores = {location: {"backup": str(each.path), **_facts(each)} for location, each in self.made.items()}
        return {"seconds": round(self.seconds, 3), "stores": stores}

    def render(self) -> RenderableType:
        """Returns the summary for a terminal."""
        return Group(*(Text(self._line(location, each)) for location, each in self.made.items()))

    def _line(self, location: str, each: Backup) -> str:
        manifest = each.manifest
        moment = f"all commits up to {instant(manifest.moment)}, " if manifest.moment else ""
        sizes = f"database {manifest.size / 1e6:.1f} MB, {manifest.files:,} large bodies {manifest.bytes / 1e6:.1f} MB"
        kept = f", {manifest.kept / 1e6:.1f} MB of them shared with the backup before" if manifest.kept else ""
        return f"{location} {self.verb} {each.path}: {moment}{sizes}{kept}; {self.seconds:.1f} s"


def run_backup(
    settings: Settings, target: Path, *, keep: int | None, as_json: bool, progress_every: float = EVERY
) -> int:
    """Backs up and prints. Returns 0; 2: there is no backup of this attempt; 130, 143: interrupted."""
    buckets = settings.tenant_buckets

    def work(show: Show, stop: Callable[[], bool]) -> dict[str, Backup]:
        places = bucket_locations(settings.store, buckets)
        folders = {place: target / buckets[tenant] for tenant, place in places.items()} or {settings.store: target}
        return {
            place: backup(place, folder, keep=keep, on_progress=show, stop=stop) for place, folder in folders.items()
        }

    return _run(work, "backed up to", as_json=as_json, progress_every=progress_every)


def run_restore(path: Path, to: str, *, as_json: bool, progress_every: float = EVERY) -> int:
    """Restores and prints. Returns 0; 2: there is no store of this attempt; 130, 143: interrupted."""

    def work(show: Show, stop: Callable[[], bool]) -> dict[str, Backup]:
        return {to: restore_backup(path, to, on_progress=show, stop=stop)}

    return _run(work, "restored from", as_json=as_json, progress_every=progress_every)


def _run(
    work: Callable[[Show, Callable[[], bool]], dict[str, Backup]], verb: str, *, as_json: bool, progress_every: float
) -> int:
    async def go(show: Show, interruption: Interruption) -> BackupSummary:
        began = time.monotonic()
        interruption.begins_to_send()
        try:
            made = await asyncio.to_thread(work, show, interruption.came)
        except FhirStoreError as error:
            if interruption.came():
                return BackupSummary({}, verb, time.monotonic() - began, ok=False)
            raise CannotDo(str(error)) from error
        return BackupSummary(made, verb, time.monotonic() - began)

    return run(go, bar=_bar, lines=_lines, every=progress_every, cannot=CannotDo, as_json=as_json)


def _facts(made: Backup) -> dict[str, object]:
    manifest = made.manifest
    return {
        "moment": instant(manifest.moment) if manifest.moment else None,
        "format": manifest.format,
        "databaseBytes": manifest.size,
        "sha256": manifest.sha256,
        "bodies": manifest.files,
        "bodiesBytes": manifest.bytes,
        "sharedBytes": manifest.kept,
    }


@asynccontextmanager
async def _bar(_: float) -> AsyncIterator[Show]:
    """Shows progress on a terminal: bytes, rate and the time that is left."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bars(
        *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as bars:
        task = bars.add_task("looking at the store", total=None)
        phase = ""

        def show(now: BackupProgress) -> None:
            nonlocal phase
            if now.phase != phase:
                phase = now.phase
                bars.reset(task, description=_WORDS[phase], total=now.total or None)
            bars.update(task, completed=now.done, total=now.total or None)

        yield show


@asynccontextmanager
async def _lines(every: float) -> AsyncIterator[Show]:
    """Shows progress as lines."""
    now: BackupProgress | None = None
    began = ("", 0.0)

    def show(progress: BackupProgress) -> None:
        nonlocal now, began
        if progress.phase != began[0]:
            began = (progress.phase, time.monotonic())
        now = progress

    def line() -> str:
        if now is None:
            return "looking at the store"
        if not now.total:
            return _WORDS[now.phase]
        seconds = max(time.monotonic() - began[1], 0.001)
        rate = now.done / seconds
        left = f", {(now.total - now.done) / rate:.0f} s left" if rate else ""
        return f"{_WORDS[now.phase]}: {now.done / 1e6:.1f} of {now.total / 1e6:.1f} MB, {rate / 1e6:.1f} MB/s{left}"

    async with ProgressLines(line, every=every).ticking():
        yield show
