"""Bodies too large for a database row: files beside it, written once, fsynced before a row names them.

The life of a file: a new name, chunks, fsync of file and folder, then the row that names it commits. The file is
removed after the row has changed to another body. A crash in between leaves a file without a row. Such an orphan is
removed at a later start, once it is so old that no writer can still be working on it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fhirstore.clock import Ids
from fhirstore.objects.etag import etag_hash

_FOLDER = "bodies"
_ORPHAN_AGE = 24 * 3600  # seconds since the last write to a file that no row names


def has_bodies(directory: Path) -> bool:
    """Returns whether a store in this directory has body files."""
    try:
        with os.scandir(directory / _FOLDER) as entries:
            return next(entries, None) is not None
    except FileNotFoundError:
        return False


class LargeBodies:
    """The folder of body files. Everything here blocks; call it in a thread."""

    def __init__(self, directory: Path, ids: Ids) -> None:
        self._folder = directory / _FOLDER
        self._folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(directory)
        self._ids = ids

    def begin(self) -> IncomingBody:
        """Returns a new file, under a name that was never used before."""
        return IncomingBody(self._folder / self._ids.new())

    def open(self, name: str) -> OpenBody:
        """Raises FileNotFoundError when the object was replaced or deleted since its row was read."""
        return OpenBody(self._folder / name)

    def remove(self, name: str) -> None:
        """Remove a file that no row names any more. A reader that has it open can read on."""
        with suppress(FileNotFoundError):
            (self._folder / name).unlink()

    def remove_orphans(self, is_named: Callable[[str], bool], stop: threading.Event) -> int:
        """Remove what a crash left, until `stop`. Returns how many files. `is_named`: whether a row names the file."""
        removed = 0
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if stop.is_set():
                    break
                with suppress(FileNotFoundError):
                    # The machine's time, not a Clock's: the kernel also gave the file its time.
                    if time.time() - entry.stat().st_mtime > _ORPHAN_AGE and not is_named(entry.name):
                        self.remove(entry.name)
                        removed += 1
        return removed


class IncomingBody:
    """A body being written. `append`, `finish` and `abandon` may run in different threads, one after the other."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.size = 0
        self.etag = ""  # known once finished
        self._path = path
        self._hash = etag_hash()
        self._lock = threading.Lock()  # an abandoned writer's last append may still be under way in its thread
        self._abandoned = False
        self._file: int | None = None

    def append(self, chunk: bytes) -> None:
        """Write one chunk. Raises OSError."""
        with self._lock:
            if self._abandoned:
                return
            if self._file is None:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._hash.update(chunk)
            self.size += len(chunk)
            view = memoryview(chunk)
            while view:
                view = view[os.write(self._file, view) :]

    def finish(self) -> None:
        """Make the file durable and set its ETag. Raises OSError, also where the file was removed meanwhile.

        That happens where the machine's clock is set forward, and a process that starts then takes the file for an
        orphan. From here on it is as young as can be, until its row is committed.
        """
        self.append(b"")  # an empty body is a file too
        with self._lock:
            if self._file is not None:
                os.utime(self._path)
                os.fsync(self._file)
                os.close(self._file)
                self._file = None
                sync_folder(self._path.parent)
                self.etag = self._hash.hexdigest()

    def abandon(self) -> None:
        """Remove what was written."""
        with self._lock:
            self._abandoned = True
            if self._file is not None:
                os.close(self._file)
                self._file = None
            with suppress(FileNotFoundError):
                self._path.unlink()


class OpenBody:
    """A body being read; the open handle outlives the file's removal."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self._file).st_size

    def read(self, start: int, length: int) -> bytes:
        """Returns `length` bytes from `start`, fewer only at the end. Raises OSError."""
        parts = []
        while length > 0:
            part = os.pread(self._file, length, start)
            if not part:
                break
            parts.append(part)
            start += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Close the file, even while a cancelled read still runs in its thread: its result is dropped."""
        os.close(self._file)


def sync_folder(folder: Path) -> None:
    """Make new names durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
