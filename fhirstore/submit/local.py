"""Files of this machine as a source: `file:` URLs inside the folders that the submitter's configuration names.

A path is resolved, symbolic links included, before it is compared with the folders, and the file that was opened is the
one that was compared: what is not a regular file below one of them is not read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fhirstore.errors import SourceFailed
from fhirstore.submit.source import Access, Opened, Source, Wanted
from fhirstore.threads import in_thread

_CHUNK = 256 * 1024  # bytes


class LocalFiles:
    """The `Sources` of `file:` URLs."""

    def opening(self, access: Access) -> AbstractAsyncContextManager[Source]:
        """Returns the source; nothing is opened yet."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[Source]:
            yield LocalSource(tuple(Path(folder) for folder in access.submitter.folders))

        return opened()

    def check(self, url: str, access: Access) -> None:
        """Raises SourceFailed where the URL is no `file:` URL, or the submitter has no folders."""
        path_of(url)
        if not access.submitter.folders:
            raise SourceFailed("This submitter may not submit local files", code="forbidden")


@dataclass(frozen=True, slots=True)
class LocalSource:
    """Files below these folders."""

    folders: tuple[Path, ...]

    def open(self, wanted: Wanted) -> AbstractAsyncContextManager[Opened]:
        """Opens a file. Raises SourceFailed."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[Opened]:
            file = await in_thread(self._open, wanted.url)
            try:
                facts = os.fstat(file)
                etag = f"{facts.st_mtime_ns:x}-{facts.st_size:x}-{facts.st_ino:x}"
                if wanted.etag not in (None, etag):
                    raise SourceFailed("The file was changed while it was being read", code="conflict")
                yield _OpenFile(file, wanted.start, facts.st_size, etag)
            finally:
                os.close(file)

        return opened()

    def _open(self, url: str) -> int:
        path = path_of(url)
        try:
            real = Path(os.path.realpath(path, strict=True))
            if not any(real.is_relative_to(os.path.realpath(folder)) for folder in self.folders):
                raise SourceFailed("The file is outside of the submitter's folders", code="forbidden")
            file = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise SourceFailed("There is no such file, or it cannot be read", code="not-found") from error
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise SourceFailed("The URL names no regular file", code="not-found")
        return file


@dataclass(slots=True)
class _OpenFile:
    """An open file, read from `start` on."""

    file: int
    start: int
    size: int | None
    etag: str | None
    retry_after: float | None = field(default=None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        at = self.start
        while True:
            try:
                chunk = await in_thread(os.pread, self.file, _CHUNK, at)
            except OSError as error:
                raise SourceFailed("The file cannot be read", again=True) from error
            if not chunk:
                return
            at += len(chunk)
            yield chunk


def path_of(url: str) -> Path:
    """Returns the path of a `file:` URL of this machine. Raises SourceFailed."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not path.startswith("/") or "\0" in path:
        raise SourceFailed("Only file:///path URLs of this machine are read here", code="not-supported")
    return Path(path)
