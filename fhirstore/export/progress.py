"""How far an export is with one of its tasks: the body of `progress/{task}.json` (`fhirstore.jobs.progress`).

It holds the position up to which everything is in complete files, and these files. A worker that takes the job over
writes its epoch into it first, so the next write of the worker before, a zombie, fails and it stops. The files need no
such guard: their names have the epoch of their writer, and only those that a progress object lists are in a manifest.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from fhirstore.errors import CorruptRecord
from fhirstore.export.manifest import ManifestFile
from fhirstore.export.scan import START, Position


class TaskProgress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`position`: up to here all is in `files`. `part`: the number of the next files. `looked`: candidates so far;
    `total`: of how many, None where it is not known. `written`: resources so far. `done`: nothing is left.
    """

    position: Position = START
    part: int = 1
    output: tuple[ManifestFile, ...] = ()
    deleted: tuple[ManifestFile, ...] = ()
    error: tuple[ManifestFile, ...] = ()
    looked: int = 0
    total: int | None = None
    written: int = 0
    done: bool = False

    def body(self) -> dict[str, object]:
        """Returns the members of the object."""
        members: dict[str, object] = msgspec.to_builtins(self)
        return members


def task_progress(body: Mapping[str, object] | None, key: str) -> TaskProgress:
    """Returns the progress in a body; None: that of a task that has not begun. Raises CorruptRecord, naming `key`."""
    if body is None:
        return TaskProgress()
    try:
        return msgspec.convert(body, TaskProgress)
    except msgspec.ValidationError as error:
        raise CorruptRecord(key) from error


WORDS = 99
"""The most characters of X-Progress."""


def words(task: str, looked: int, written: int, total: int | None) -> str:
    """Returns what X-Progress says of a task: `Observation 41 % · 12,300 resources`.

    The percentage is that of the candidates looked at, and left out where their number is not known.
    """
    share = "" if not total else f" {min(99, 100 * looked // total)} %"
    return f"{task}{share} · {written:,} resources"[:WORDS]
