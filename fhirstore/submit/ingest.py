"""Takes over a manifest: its pages, their files, their segments, and at the end its summary.

Every step looks first for what an earlier run has done, in objects that are written once: a page, a plan, results, the
results of a whole file. The checkpoint only says where to begin to look.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

from fhirstore.commit.drive import drive
from fhirstore.engine import Engine
from fhirstore.errors import SourceFailed, Unavailable
from fhirstore.jobs.lease import put_once
from fhirstore.submit.bookkeeping import body_of
from fhirstore.submit.keys import ManifestKeys
from fhirstore.submit.line import Rules
from fhirstore.submit.lines import Bounds, Segment, segments
from fhirstore.submit.manifest import MOST_BYTES, MOST_PAGES, ManifestFile, Page, read_page, read_stored_page
from fhirstore.submit.position import Position
from fhirstore.submit.report import fail, failure, summarise
from fhirstore.submit.segment import (
    Counts,
    LineIssue,
    LineOutcome,
    Plan,
    Results,
    decode_plan,
    decode_results,
)
from fhirstore.submit.source import Source, Wanted
from fhirstore.submit.standing import Standing
from fhirstore.submit.state import Manifest
from fhirstore.submit.summary import Summary
from fhirstore.submit.tokens import MOST_FILES, Tokens
from fhirstore.submit.writing import FileWriting, Kept
from fhirstore.tenancy import Place

T = TypeVar("T")
_LOOK = 3.0  # seconds


class Withdrawn(Exception):
    """The manifest was replaced, or its submission was stopped, while it was being read."""


class NotYet(Exception):
    """The provider is still at work on the manifest; ask again after so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


@dataclass(slots=True)
class Ingest:
    """The taking over of one manifest.

    `last_try`: an error that may pass counts as one that does not. `patience`: epoch ms, until when the provider may be
    at work on the manifest. `wanted`: raises Withdrawn if it is not wanted any more; called before each segment is
    committed. `progress`: stores how far it is; called after each segment.
    """

    engine: Engine
    place: Place
    standing: Standing
    manifest: Manifest
    keys: ManifestKeys
    tokens: Tokens
    rules: Rules
    source: Source
    bounds: Bounds
    at_once: int
    epoch: int
    position: Position
    last_try: bool
    patience: int
    wanted: Callable[[], Awaitable[None]]
    progress: Callable[[Position], Awaitable[None]]

    async def run(self) -> Summary:
        """Takes the manifest over, from where an earlier run ended. Returns its summary, stored.

        Raises Withdrawn, NotYet; SourceFailed with `again`; what leaves the fate of a line open.
        """
        objects, standing, epoch = self.place.objects, self.standing, self.epoch
        try:
            await self._all_pages()
        except SourceFailed as error:
            if error.again and not self.last_try:
                raise
            return await fail(objects, self.keys, self.manifest, error, standing=standing, epoch=epoch)
        return await summarise(objects, self.keys, self.manifest, standing=standing, epoch=epoch)

    # --- pages ----------------------------------------------------------------------------------------------

    async def _all_pages(self) -> None:
        url, number, seen = self.manifest.url, 0, {self.manifest.url}
        file = 1
        while True:
            page = await self._page(number, url)
            if file + len(page.files) > MOST_FILES:
                raise SourceFailed(f"The manifest has more than {MOST_FILES:,} files", code="too-costly")
            for one in page.files:
                if file >= self.position.file:
                    await self._file(file, one, page)
                file += 1
            if page.next is None:
                return
            url, number = page.next, number + 1
            if url in seen or number >= MOST_PAGES:
                raise SourceFailed("The manifest's pages have no end", code="invalid")
            seen.add(url)

    async def _page(self, number: int, url: str) -> Page:
        """Returns a page as it was read first."""
        key = self.keys.page(number)
        body = await body_of(self.place.objects, key)
        if body is None:
            page = await self._while_wanted(asyncio.create_task(self._read_page(url)))
            body = await drive(put_once(key, page.encode()), self.place.objects)
        return read_stored_page(body, key)

    async def _read_page(self, url: str) -> Page:
        chunks: list[bytes] = []
        size = 0
        async with self.source.open(Wanted(url, token=bool(self.manifest.oauth))) as opened:
            async for chunk in opened:
                chunks.append(chunk)
                size += len(chunk)
                if size > MOST_BYTES:
                    raise SourceFailed(f"A page of the manifest has more than {MOST_BYTES:,} bytes", code="too-costly")
            if opened.retry_after is not None:
                if self.standing.now() > self.patience:
                    raise SourceFailed("The provider did not complete the manifest in time", code="timeout")
                raise NotYet(opened.retry_after)
        return read_page(b"".join(chunks), url)

    # --- files ----------------------------------------------------------------------------------------------

    async def _file(self, number: int, file: ManifestFile, page: Page) -> None:
        """Takes one file over. One that cannot be read fails alone; what was read of it stays."""
        if await body_of(self.place.objects, self.keys.results(number, 0)) is not None:
            return
        at = self.position if self.position.file == number else Position(number, done=self.position.done)
        writing = FileWriting(
            self.engine,
            self.place,
            self.standing,
            self.keys,
            self.tokens,
            self.rules,
            file,
            number,
            organized=page.organized_by is not None,
            at_once=self.at_once,
        )
        told: list[LineOutcome] = []
        try:
            lines = await self._segments(writing, file, page, at)
        except SourceFailed as error:
            if error.again and not self.last_try:
                raise
            told.append(failure("The file could not be read", error))
        else:
            if file.count not in (None, lines) and page.organized_by is None and not file.deleted:
                text = f"The manifest says that this file has {file.count:,} resources, but it has {lines:,} lines"
                told.append(LineOutcome(0, "", (LineIssue("warning", "business-rule", text),)))
        await self._settle_file(number, *told)
        await self._move(Position(number + 1, done=self.position.done))

    async def _segments(self, writing: FileWriting, file: ManifestFile, page: Page, at: Position) -> int:
        """Takes all segments of a file over. Returns the number of its lines."""
        while (plan := await self._plan(writing.number, at.first)) is not None:
            results = await self._results(writing.number, at.first)
            if results is None:
                await self.standing.quiet()
                results = await self._results(writing.number, at.first)
            if results is None:
                results = await self._carry_out(writing, await writing.planned(plan))
            at = at.behind(plan, results.counts)
            await self._move(at)
            if plan.last:
                return at.lines
        token = page.protected and bool(self.manifest.oauth)
        types = (file.type,) if file.type is not None else ()
        async with self.source.open(Wanted(file.url, at.start, at.etag, token, types)) as opened:
            if opened.retry_after is not None:
                raise SourceFailed("The provider has not completed the file", code="transient", again=True)
            etag = opened.etag or at.etag
            async with aclosing(self._planned(writing, aiter(opened), at, etag)) as planned:
                async for kept in planned:
                    results = await self._carry_out(writing, kept)
                    at = at.behind(kept.plan, results.counts)
                    await self._move(at)
        return at.lines

    async def _planned(
        self, writing: FileWriting, chunks: AsyncIterator[bytes], at: Position, etag: str | None
    ) -> AsyncGenerator[Kept]:
        """Yields the segments of a file, planned. The next one is read and planned while one is carried out."""
        found = segments(chunks, self.bounds, first=at.first, start=at.start)
        ahead: asyncio.Task[Kept | None] | None = None

        async def following() -> Kept | None:
            segment: Segment | None = await anext(found, None)
            if segment is None:
                return None
            kept = await writing.plan(segment, etag)
            if (kept.plan.count, kept.plan.end) != (segment.count, segment.end):
                raise Unavailable("Another worker has split this file otherwise; its plan comes first, at the next try")
            return kept

        try:
            ahead = asyncio.create_task(following())
            while (kept := await self._while_wanted(ahead)) is not None:
                ahead = asyncio.create_task(following())
                yield kept
        finally:
            if ahead is not None:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)
            await found.aclose()

    async def _carry_out(self, writing: FileWriting, kept: Kept) -> Results:
        await self.wanted()
        return await writing.carry_out(kept)

    async def _while_wanted(self, reading: asyncio.Task[T]) -> T:
        """Returns what is being read; ends it when the manifest is not wanted any more. 1 GET each few seconds.

        A provider may be so slow that a segment takes hours; nothing is committed meanwhile.
        """
        try:
            while not (await asyncio.wait((reading,), timeout=_LOOK))[0]:
                await self.wanted()
            return await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _move(self, position: Position) -> None:
        self.position, self.last_try = position, False
        await self.progress(position)

    # --- the end --------------------------------------------------------------------------------------------

    async def _settle_file(self, number: int, *told: LineOutcome) -> None:
        """Notes that a file is done, and what is to be told of it as a whole. File 0: of the manifest."""
        results = Results(counts=Counts(), outcomes=told)
        await drive(
            put_once(self.keys.results(number, 0), results.encode(), until=self.standing.until), self.place.objects
        )

    async def _plan(self, number: int, first: int) -> Plan | None:
        key = self.keys.plan(number, first)
        body = await body_of(self.place.objects, key)
        return None if body is None else decode_plan(body, key)

    async def _results(self, number: int, first: int) -> Results | None:
        key = self.keys.results(number, first)
        body = await body_of(self.place.objects, key)
        return None if body is None else decode_results(body, key)
