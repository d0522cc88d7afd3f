"""Pending multipart uploads of the embedded store: a folder for each, a file for each part, below `uploads`.

| file | content |
|---|---|
| `{upload}/upload.json` | key, facts and start; written before the upload's id is returned |
| `{upload}/{number}-{etag}` | a part; durable before its ETag is returned, then older ones of its number go |
| `{upload}/{ULID}.tmp` | a part being written |

A completed upload becomes one body file, as a streamed body does, and the folder is removed once its row is committed.
Until then nothing else of the store knows of it. What a crash or a forgetful caller leaves is removed at a later start,
a day after the last part was written. Everything here blocks; call it in a thread.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from fhirstore.clock import Ids
from fhirstore.errors import RequestRefused, UploadNotFound
from fhirstore.objects.embedded.large_bodies import sync_folder
from fhirstore.objects.etag import etag_of
from fhirstore.objects.facts import Facts
from fhirstore.objects.uploads import PendingUpload, UploadPage, check_sizes, page_of

_FOLDER = "uploads"
_ABOUT = "upload.json"
_STALE = 24 * 3600  # seconds since the last write to an upload
_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
_ETAG = re.compile(r"[0-9a-f]{1,128}")


class _About(msgspec.Struct, frozen=True):
    key: str
    started: int  # epoch ms
    facts: Facts | None


class PendingUploads:
    """The uploads of one directory, shared by all processes that have it open."""

    def __init__(self, directory: Path, ids: Ids) -> None:
        self._directory = directory
        self._folder = directory / _FOLDER
        self._ids = ids

    def create(self, key: str, facts: Facts | None, *, now: int) -> str:
        """Returns the id of a new upload, which is durable. `now`: epoch ms. Raises OSError."""
        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            sync_folder(self._directory)
        upload = self._ids.new()
        place = self._folder / upload
        place.mkdir(mode=0o700)
        _write(place / _ABOUT, msgspec.json.encode(_About(key, now, facts)))
        sync_folder(place)
        sync_folder(self._folder)
        return upload

    def put(self, key: str, upload: str, number: int, body: bytes) -> str:
        """Keep a part, durably. Returns its ETag. Raises UploadNotFound, OSError."""
        self._about(key, upload)
        place, etag = self._folder / upload, etag_of(body)
        unfinished = place / f"{self._ids.new()}.tmp"
        name = f"{number:05}-{etag}"
        try:
            _write(unfinished, body)
            unfinished.rename(place / name)
            sync_folder(place)
        except FileNotFoundError as error:
            raise _no_such_upload(key) from error
        except OSError:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise
        _remove_older(place / name, place.glob(f"{number:05}-*"))
        return etag

    def parts(self, key: str, upload: str, parts: Sequence[tuple[int, str]]) -> tuple[list[Path], Facts | None]:
        """Returns the files of these parts, and the facts of the upload. Raises UploadNotFound, RequestRefused."""
        about = self._about(key, upload)
        files: list[Path] = []
        sizes: list[tuple[int, int]] = []
        for number, etag in parts:
            file = self._folder / upload / f"{number:05}-{etag}"
            try:
                if not _ETAG.fullmatch(etag):
                    raise FileNotFoundError
                sizes.append((number, file.stat().st_size))
            except FileNotFoundError as error:
                detail = f"part {number} of the upload is missing or has another ETag"
                raise RequestRefused(key, detail) from error
            files.append(file)
        check_sizes(key, sizes)
        return files, about.facts

    def remove(self, key: str, upload: str) -> None:
        """Remove an upload of this key with its parts, if it is there."""
        with suppress(UploadNotFound):
            self._about(key, upload)
            shutil.rmtree(self._folder / upload, ignore_errors=True)

    def page(self, prefix: str, cursor: str | None) -> UploadPage:
        """As `ObjectStore.list_uploads`. Raises OSError."""
        return page_of(self._pending(), prefix, cursor)

    def remove_stale(self, stop: threading.Event) -> int:
        """Remove what was left more than a day ago, until `stop`. Returns how many uploads."""
        removed = 0
        for name in self._names():
            if stop.is_set():
                break
            place = self._folder / name
            with suppress(FileNotFoundError):
                # The machine's time, not a Clock's: the kernel also gave the folder its time.
                if time.time() - place.stat().st_mtime > _STALE:
                    shutil.rmtree(place, ignore_errors=True)
                    removed += 1
        return removed

    def _pending(self) -> Iterator[PendingUpload]:
        for upload in self._names():
            with suppress(OSError, msgspec.MsgspecError):  # it ended meanwhile, or is only just beginning
                about = _read(self._folder / upload)
                yield PendingUpload(about.key, upload, about.started)

    def _names(self) -> list[str]:
        try:
            return [place.name for place in self._folder.iterdir() if _ID.fullmatch(place.name)]
        except FileNotFoundError:
            return []

    def _about(self, key: str, upload: str) -> _About:
        try:
            if not _ID.fullmatch(upload):
                raise _no_such_upload(key)
            about = _read(self._folder / upload)
        except (FileNotFoundError, msgspec.MsgspecError) as error:
            raise _no_such_upload(key) from error
        if about.key != key:
            raise _no_such_upload(key)
        return about


def _remove_older(part: Path, others: Iterator[Path]) -> None:
    """Remove the parts that were written before this one. A younger one removes this one: of two at once one stays."""
    with suppress(FileNotFoundError):
        own = part.stat().st_mtime_ns, part.name
        for other in others:
            with suppress(FileNotFoundError):
                if (other.stat().st_mtime_ns, other.name) < own:
                    other.unlink()


def _no_such_upload(key: str) -> UploadNotFound:
    return UploadNotFound(key, "no such upload is pending")


def _read(place: Path) -> _About:
    return msgspec.json.decode((place / _ABOUT).read_bytes(), type=_About)


def _write(path: Path, body: bytes) -> None:
    """Write a new file and make its content durable."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(body)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)
