"""The export itself: starts the job or goes on with it, downloads what its manifest lists, and closes the folder.

The commit point of an export is the journal's last line, "complete", written when every file is whole and named;
then `--since-file` gets the transaction time, and the server is told that it may remove the job.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
import msgspec

from fhirstore.clock import SystemClock, SystemIds
from server.commands.export.asking import SECONDS, Asker, ExportFailed
from server.commands.export.checking import part_of, settle, unpacked_of
from server.commands.export.downloading import Downloads, FileFailed, Wanted, disk_failure
from server.commands.export.job import Method, Pace, cancel, kick_off, pages, reach
from server.commands.export.journal import End, Ended, Journal, Started
from server.commands.export.manifest import Names
from server.commands.export.order import CannotExport, Order, check, check_instant
from server.commands.export.progress import Progress
from server.commands.export.summary import ExportSummary
from server.commands.interruption import Interruption
from server.commands.retries import Retries

SUMS = "SHA256SUMS"
PATIENT = Retries(attempts=12, first=0.5, longest=60.0, patience=300.0)  # five minutes of no answer
DAY = 86_400.0
_SINCE_BYTES = 100  # an instant is shorter


async def export(
    order: Order,
    folder: Path,
    *,
    since_file: Path | None = None,
    token: str | None = None,
    method: Method = "auto",
    concurrency: int = 4,
    keep: bool = False,
    deadline: float = DAY,
    on_progress: Callable[[Progress], None] | None = None,
    retries: Retries = PATIENT,
    pace: Pace | None = None,
    interruption: Interruption | None = None,
) -> ExportSummary:
    """Exports into `folder`, or goes on with what a command with an equal order began there.

    `since_file`: its instant is the order's `since`, and it gets the transaction time of an export that is complete.
    `keep`: the server is not told to remove the job. `deadline`: seconds for all. Raises CannotExport before anything
    is asked for; later failures are in the summary.
    """
    interruption = interruption or Interruption()
    interruption.ends(asyncio.current_task())
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token and token):
        raise CannotExport("FHIRSTORE_EXPORT_TOKEN: must be printable ASCII without spaces, as a bearer token is")
    if since_file is not None:
        if order.since is not None:
            raise CannotExport("--since and --since-file: only one of them")
        order = _with_since(order, since_file)
    order = check(order)
    journal = Journal.open(folder, order)
    try:
        connector = aiohttp.TCPConnector(limit=concurrency + 2)
        async with aiohttp.ClientSession(connector=connector, timeout=SECONDS, trust_env=True) as client:
            asker = Asker(
                client,
                order.base,
                token=token,
                tenant=order.tenant,
                retries=retries,
                clock=SystemClock(),
                ids=SystemIds(),
            )
            run = _Run(journal, order, asker, concurrency, pace=pace or Pace(), on_progress=on_progress)
            await run.run(method, interruption, deadline=deadline, since_file=since_file, keep=keep)
            return run.summary
    finally:
        interruption.ends(None)
        journal.close()


class _Run:
    """One command's work on an export."""

    def __init__(
        self,
        journal: Journal,
        order: Order,
        asker: Asker,
        concurrency: int,
        *,
        pace: Pace,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self.summary = ExportSummary(order.endpoint, journal.folder, resumed=journal.job is not None)
        self._journal = journal
        self._order = order
        self._asker = asker
        self._concurrency = concurrency
        self._pace = pace
        self._on_progress = on_progress
        self._progress = Progress()
        self._downloads = Downloads(asker, journal, on_bytes=self._add_bytes)
        self._time: str | None = None
        self._urls: dict[str, str] = {}  # of a manifest that was asked for again
        self._renewing = asyncio.Lock()

    async def run(
        self, method: Method, interruption: Interruption, *, deadline: float, since_file: Path | None, keep: bool
    ) -> None:
        """Does it, and leaves the result in `summary`."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(deadline):
                if self._journal.ended is None:
                    await self._bring(method)
                elif since_file is None:
                    raise CannotExport(f"{self._journal.folder} holds this export, complete. Choose another --out")
                await self._finish(since_file, keep=keep)
        except ExportFailed as error:
            self._stop(str(error), over=error.over)
        except TimeoutError:
            self.summary.stopped = f"not complete after {deadline:,.0f} s"
        except OSError as error:
            self._stop(str(disk_failure(error, self._journal.folder)), over=False)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or not interruption.given_up or task.uncancel() > 0:
                raise
            interruption.ends(None)
            await self._interrupted(interruption)
        self.summary.retries = self._asker.repeated
        self.summary.seconds = time.perf_counter() - began
        self._count()

    async def _bring(self, method: Method) -> None:
        """Starts the job unless it was, and fetches its files."""
        if self._journal.job is None:
            await reach(self._asker, self._order)
            self._journal.add(Started(await kick_off(self._asker, self._order, method)))
        queue: asyncio.Queue[Wanted | None] = asyncio.Queue(2 * self._concurrency)
        try:
            async with asyncio.TaskGroup() as work:
                work.create_task(self._list(queue))
                for _ in range(self._concurrency):
                    work.create_task(self._fetch_all(queue))
        except ExceptionGroup as several:
            raise _first(several) from several

    async def _list(self, queue: asyncio.Queue[Wanted | None]) -> None:
        """Puts what is still to be fetched into the queue, page by page."""
        names = Names()
        async for page in pages(self._asker, self._journal.job or "", pace=self._pace, on_words=self._say):
            self._time = self._time or page.manifest.transaction_time
            self._progress.downloading = True
            for listed in page.new:
                wanted = Wanted(names.name(listed), listed, page.manifest.requires_access_token)
                row = self._progress.row(listed.type)
                row.files += 1
                if await asyncio.to_thread(self._is_whole, wanted):
                    row.whole += 1
                    row.bytes += self._journal.whole[wanted.name].size
                else:
                    await queue.put(wanted)
            self._report()
        for _ in range(self._concurrency):
            await queue.put(None)

    async def _fetch_all(self, queue: asyncio.Queue[Wanted | None]) -> None:
        while (wanted := await queue.get()) is not None:
            try:
                await self._fetch(wanted)
                self._progress.row(wanted.listed.type).whole += 1
            except FileFailed as error:
                self.summary.fail(wanted.name, str(error))
            self._report()

    async def _fetch(self, wanted: Wanted) -> None:
        try:
            await self._downloads.fetch(wanted)
        except FileFailed as error:
            renewed = await self._renewed(wanted) if error.expired else wanted
            if renewed.listed.url == wanted.listed.url:
                raise
            await self._downloads.fetch(renewed)

    async def _renewed(self, wanted: Wanted) -> Wanted:
        """Returns the file with the URL that the manifest gives now: links may expire before the job does."""
        async with self._renewing:
            if self._urls.get(wanted.name, wanted.listed.url) == wanted.listed.url:
                names = Names()
                async for page in pages(self._asker, self._journal.job or "", pace=self._pace, on_words=self._say):
                    for listed in page.new:
                        self._urls[names.name(listed)] = listed.url
        return wanted.at(self._urls.get(wanted.name, wanted.listed.url))

    def _is_whole(self, wanted: Wanted) -> bool:
        """Whether the file is there as the journal says; a command that was killed may have left it unnamed."""
        whole = self._journal.whole.get(wanted.name)
        if whole is None or (wanted.listed.count is not None and wanted.listed.count != whole.count):
            return False
        path = self._journal.folder / wanted.name
        if not path.exists():
            settle(path)
        return path.exists() and path.stat().st_size == whole.size

    async def _finish(self, since_file: Path | None, *, keep: bool) -> None:
        """Closes an export whose files are there."""
        whole = self._journal.whole
        errors = [self._journal.folder / name for name, each in whole.items() if each.section == "error"]
        await asyncio.to_thread(self.summary.read_messages, errors)
        if self.summary.failed:
            return
        if self._journal.ended is None:
            sums = "".join(f"{each.sha256}  {name}\n" for name, each in sorted(whole.items()))
            await asyncio.to_thread(replace_file, self._journal.folder / SUMS, sums)
            self._journal.add(Ended("complete", self._time))
        self._time = self._journal.ended.transaction_time if self._journal.ended else None
        if self.summary.errors == 0:
            self.summary.status = "complete"
            if since_file is not None:
                await asyncio.to_thread(replace_file, since_file, f"{self._time}\n")
        if not keep:
            await cancel(self._asker, self._journal.job or "")

    async def _interrupted(self, interruption: Interruption) -> None:
        """SIGINT gives the export up, on the server too; SIGTERM leaves everything for a later command."""
        self.summary.status = "interrupted"
        self.summary.stopped = f"interrupted by {interruption.by.name if interruption.by else 'a signal'}"
        if interruption.by is not signal.SIGINT or self._journal.ended is not None:
            return
        self.summary.status = "cancelled"
        if self._journal.job is not None:
            told = await cancel(self._asker, self._journal.job)
            self.summary.stopped += "; the job is cancelled" if told else "; the server did not say that it cancelled"
        self._end("cancelled")
        for name in self._journal.parts:
            part_of(self._journal.folder / name).unlink(missing_ok=True)
            unpacked_of(self._journal.folder / name).unlink(missing_ok=True)

    def _stop(self, why: str, *, over: bool) -> None:
        self.summary.stopped = why
        if over:
            self.summary.status = "failed"
            self._end("failed")

    def _end(self, how: End) -> None:
        """Notes the end, for the next command to know; on a full disk it will find out by itself."""
        with suppress(OSError):
            self._journal.add(Ended(how))

    def _count(self) -> None:
        self.summary.transaction_time = self._time
        for whole in self._journal.whole.values():
            self.summary.add(whole)

    def _say(self, words: str) -> None:
        self._progress.words = words
        self._report()

    def _add_bytes(self, type_: str, more: int) -> None:
        self._progress.row(type_).bytes += more
        self._report()

    def _report(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self._progress)


def replace_file(path: Path, text: str) -> None:
    """Writes a file so that it has its old content or the new one, whatever happens meanwhile. Raises OSError."""
    new = path.with_name(f".{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _with_since(order: Order, since_file: Path) -> Order:
    """The order with the instant in the file; without a file yet, everything is exported."""
    try:
        with since_file.open("rb") as file:
            text = file.read(_SINCE_BYTES).decode("ascii").strip()
    except FileNotFoundError:
        if not since_file.parent.is_dir():
            raise CannotExport(f"{since_file}: its folder does not exist") from None
        return order
    except (OSError, UnicodeDecodeError) as error:
        raise CannotExport(f"{since_file}: cannot be read ({type(error).__name__})") from error
    return msgspec.structs.replace(order, since=check_instant(text, str(since_file)))


def _first(several: ExceptionGroup[Exception]) -> Exception:
    """The first failure of tasks that ended together."""
    first = several.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first
