"""The download of one file: to NAME.part, gone on with after a cut, checked, then renamed.

A cut download goes on with Range and If-Range where the server named its bytes by a strong validator; else it begins
anew. Bytes that are compressed on the way have no such name with some servers, or no ranges; after a cut that could not
be gone on with, they are asked for as they are. A part that a command left is gone on with by the next one, as the
journal says.

https://www.rfc-editor.org/rfc/rfc9110#name-if-range
"""

from __future__ import annotations

import asyncio
import errno
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO

import aiohttp

from server.commands.export.asking import Asker, ExportFailed
from server.commands.export.checking import Damaged, Facts, examine, part_of, settle, unpacked_of
from server.commands.export.journal import Begun, Journal, Whole
from server.commands.export.manifest import Listed
from server.commands.retries import BUSY, NO_ANSWER
from server.commands.urls import shown

_AT_ONCE = 1 << 20  # bytes that are handed to the disk at once
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_UNSATISFIED = re.compile(r"bytes \*/(\d+)")
_FACTS_WRONG = 2  # downloads of a file after which its wrong count or size is the server's


class FileFailed(Exception):
    """This file could not be fetched; the others may be. `expired`: its URL may have been, and a new one be given."""

    def __init__(self, message: str, *, expired: bool = False) -> None:
        super().__init__(message)
        self.expired = expired


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to fetch: its name in the folder, and what the manifest says of it."""

    name: str
    listed: Listed
    with_token: bool

    def at(self, url: str) -> Wanted:
        """Returns the same file at another URL."""
        return replace(self, listed=replace(self.listed, url=url))


class _Again(Exception):
    """The request may be sent again. `asked`: seconds of Retry-After."""

    def __init__(self, message: str, *, asked: float = 0.0) -> None:
        super().__init__(message)
        self.asked = asked


class Downloads:
    """Fetches files into the journal's folder. `on_bytes` gets a type and how many more bytes it has."""

    def __init__(self, asker: Asker, journal: Journal, *, on_bytes: Callable[[str, int], None]) -> None:
        self._asker = asker
        self._journal = journal
        self._on_bytes = on_bytes
        self._shown: dict[str, int] = {}  # bytes of files under way that were told
        self._plain: set[str] = set()  # files whose compressed bytes cannot be gone on with

    async def fetch(self, wanted: Wanted) -> Whole:
        """Fetches, checks and renames a file. Its commit point is the journal's line, after which it is not fetched.

        Raises FileFailed where it cannot be had; ExportFailed where no file can, as for a full disk.
        """
        path = self._journal.folder / wanted.name
        try:
            path.parent.mkdir(exist_ok=True)
            facts = await self._whole(wanted, path)
            whole = Whole(wanted.name, wanted.listed.section, wanted.listed.type, facts.size, facts.count, facts.sha256)
            self._journal.add(whole)
            settle(path)
            self._shown.pop(wanted.name, None)
        except OSError as error:
            raise disk_failure(error, self._journal.folder) from error
        return whole

    async def _whole(self, wanted: Wanted, path: Path) -> Facts:
        """Downloads until the facts are those that the manifest has."""
        attempt = wrong = 0
        before = self._offset(wanted.name, path)
        while True:
            attempt += 1
            asked = 0.0
            try:
                await self._part(wanted, path)
                facts = await asyncio.to_thread(examine, path, self._journal.parts[wanted.name].encoding)
                problem = self._problem(wanted.listed, facts, path)
                if problem is None:
                    return facts
                wrong += 1
                self._discard(wanted.name, path)
            except Damaged as error:
                problem = str(error)
                wrong += 1
                self._discard(wanted.name, path)
            except _Again as error:
                problem, asked = str(error), error.asked
            except NO_ANSWER as error:
                problem = f"the connection failed ({type(error).__name__})"
            if wrong >= _FACTS_WRONG:
                raise FileFailed(problem)
            begun = self._journal.parts.get(wanted.name)
            if begun is not None and begun.validator is None and begun.encoding is not None:
                self._plain.add(wanted.name)
            offset = self._offset(wanted.name, path)
            if offset > before:
                attempt, before = 0, offset
            if attempt >= self._asker.retries.attempts:
                raise FileFailed(problem)
            await self._asker.pause(max(attempt, 1), asked=asked)

    async def _part(self, wanted: Wanted, path: Path) -> None:
        """Sends one request, and appends what comes to NAME.part, or writes it anew. Returns when it is at its end."""
        begun, offset = self._journal.parts.get(wanted.name), self._offset(wanted.name, path)
        plain = wanted.name in self._plain
        headers = {"Accept": "application/fhir+ndjson", "Accept-Encoding": "identity" if plain else "gzip"}
        if begun is not None and begun.validator is not None and offset and not (plain and begun.encoding):
            headers |= {"Range": f"bytes={offset}-", "If-Range": begun.validator}
            headers["Accept-Encoding"] = begun.encoding or "identity"
        async with self._asker.open("GET", wanted.listed.url, headers, with_token=wanted.with_token) as response:
            if response.status == 206 and begun is not None and "Range" in headers:
                if not _continues(response.headers, begun, offset):
                    self._discard(wanted.name, path)
                    raise _Again("the server sent another range than it was asked for")
                with part_of(path).open("r+b") as file:
                    file.truncate(offset)
                    file.seek(offset)
                    await self._copy(response, file, wanted)
            elif response.status == 200:
                encoding = _encoding(response.headers)
                if "Range" in headers and encoding is not None:
                    self._plain.add(wanted.name)
                with part_of(path).open("wb") as file:  # empty before the journal says what it holds
                    self._journal.add(Begun(wanted.name, _validator(response.headers), encoding))
                    self._show(wanted, -self._shown.pop(wanted.name, 0))
                    await self._copy(response, file, wanted)
            elif response.status == 416 and "Range" in headers:
                told = _UNSATISFIED.fullmatch(response.headers.get("Content-Range", ""))
                if told is None or int(told[1]) != offset:
                    self._discard(wanted.name, path)
                    raise _Again("the server has not the range that is missing")
            else:
                self._refuse(response, wanted)

    async def _copy(self, response: aiohttp.ClientResponse, file: BinaryIO, wanted: Wanted) -> None:
        """Writes the body. What has come before a cut is kept."""
        pieces: list[bytes] = []
        size = 0
        try:
            async for piece in response.content.iter_any():
                pieces.append(piece)
                size += len(piece)
                if size >= _AT_ONCE:
                    await asyncio.to_thread(file.write, b"".join(pieces))
                    self._show(wanted, size)
                    pieces, size = [], 0
        finally:
            file.write(b"".join(pieces))
            self._show(wanted, size)

    def _show(self, wanted: Wanted, more: int) -> None:
        self._shown[wanted.name] = self._shown.get(wanted.name, 0) + more
        self._on_bytes(wanted.listed.type, more)

    def _refuse(self, response: aiohttp.ClientResponse, wanted: Wanted) -> None:
        status, where = response.status, shown(wanted.listed.url)
        message = f"{where} was answered {status}"
        if status in BUSY or status in {408, 500}:
            raise _Again(message, asked=self._asker.asked_in(response))
        if status in {401, 403} and not self._asker.is_own(wanted.listed.url) and wanted.with_token:
            raise FileFailed(f"{message}; the token is not sent there, since it is not the FHIR server", expired=True)
        raise FileFailed(message, expired=status in {400, 401, 403, 404, 410})

    def _offset(self, name: str, path: Path) -> int:
        """Bytes of NAME.part that a request can go on from."""
        begun = self._journal.parts.get(name)
        if begun is None or begun.validator is None or not part_of(path).exists():
            return 0
        return part_of(path).stat().st_size

    def _discard(self, name: str, path: Path) -> None:
        """Lets the next download begin anew."""
        part_of(path).unlink(missing_ok=True)
        unpacked_of(path).unlink(missing_ok=True)
        self._journal.parts.pop(name, None)

    def _problem(self, listed: Listed, facts: Facts, path: Path) -> str | None:
        """What is wrong with the file; None: nothing. `size` may be meant of the bytes before or after compression."""
        if listed.count is not None and listed.count != facts.count:
            return f"it has {facts.count:,} lines; the manifest says {listed.count:,}"
        if listed.size is not None and listed.size not in {facts.size, part_of(path).stat().st_size}:
            return f"it has {facts.size:,} bytes; the manifest says {listed.size:,}"
        return None


def disk_failure(error: OSError, folder: Path) -> ExportFailed:
    """Returns what is told where the disk does not take more."""
    if error.errno in _NO_SPACE:
        return ExportFailed(f"No space is left in {folder}. Make some, and run the command again: it goes on from here")
    return ExportFailed(f"{folder}: {error.strerror or type(error).__name__}")


def _continues(headers: Mapping[str, str], begun: Begun, offset: int) -> bool:
    """Whether an answer of 206 has the bytes that come after those that are there, of the same representation."""
    told = _RANGE.fullmatch(headers.get("Content-Range", ""))
    etag = headers.get("ETag", "").strip()
    same = not etag or begun.validator is None or not begun.validator.startswith('"') or etag == begun.validator
    return told is not None and int(told[1]) == offset and _encoding(headers) == begun.encoding and same


def _encoding(headers: Mapping[str, str]) -> str | None:
    """ "gzip", or None for bytes as they are. Raises FileFailed for what was not asked for."""
    encoding = headers.get("Content-Encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        return None
    if encoding in {"gzip", "x-gzip"}:
        return "gzip"
    raise FileFailed(f"it comes in the encoding {encoding[:20]}, which was not asked for")


def _validator(headers: Mapping[str, str]) -> str | None:
    """What If-Range may name: a strong entity tag, or a date that is old enough to be strong (RFC 9110 §8.8.2.2)."""
    etag = headers.get("ETag", "").strip()
    if etag:
        return etag if etag.startswith('"') else None
    modified = headers.get("Last-Modified", "")
    try:
        age = parsedate_to_datetime(headers.get("Date", "")) - parsedate_to_datetime(modified)
    except (ValueError, TypeError):
        return None
    return modified if age.total_seconds() >= 1 else None
