"""What lies beside a file while its transfer is not at its end, so that the same command goes on with it.

`NAME.upload.json` beside a file that is sent: the id of the upload. `NAME.download.json` and `NAME.part` beside a file
that is fetched. They are removed at the end.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import msgspec


class KeptUpload(msgspec.Struct, frozen=True):
    """An upload of a file of this size and content. `sha256`: hex."""

    place: str
    id: str
    size: int
    sha256: str


class KeptDownload(msgspec.Struct, frozen=True):
    """A download of which NAME.part has the beginning. `validator`: of these bytes."""

    place: str
    reference: str
    validator: str


_Kept = TypeVar("_Kept", KeptUpload, KeptDownload)


def upload_path(file: Path) -> Path:
    """Returns where the record of an upload of the file lies."""
    return file.with_name(f"{file.name}.upload.json")


def download_path(file: Path) -> Path:
    """Returns where the record of a download to the file lies."""
    return file.with_name(f"{file.name}.download.json")


def part_path(file: Path) -> Path:
    """Returns where the beginning of a file that is fetched lies."""
    return file.with_name(f"{file.name}.part")


def read_kept(path: Path, kind: type[_Kept]) -> _Kept | None:
    """Returns what was kept; None: nothing that can be used."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError):
        return None


def keep(path: Path, what: KeptUpload | KeptDownload) -> None:
    """Writes it, so that a crash leaves it whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_bytes(msgspec.json.encode(what))
    fresh.replace(path)


def drop(*paths: Path) -> None:
    """Removes what is there no more needed."""
    for path in paths:
        path.unlink(missing_ok=True)
