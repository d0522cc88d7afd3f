"""How the worker processes of one server share their metrics: each writes its snapshot to a file of a common directory.

The parent makes the directory and removes it. A file is replaced by a rename, so that a reader sees a whole one. What a
process that has ended had counted stays; what it had open, held or used is gone with it. A process that is killed loses
what it counted since its last snapshot, a second at most.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from server.observing.snapshot import Snapshot, merged, of_the_dead

DIRECTORY = "_FHIRSTORE_SNAPSHOTS"
"""The variable by which the parent tells its workers the directory. It is no setting."""

SILENT = 15.0
"""Seconds after which a process that has written nothing counts as ended, or as hanging."""

_ENDING = ".snapshot"
_decode = msgspec.msgpack.Decoder(Snapshot).decode


def publish(directory: Path, snapshot: Snapshot) -> None:
    """Writes the snapshot of this process. Raises OSError."""
    whole = directory / f"{snapshot.pid}{_ENDING}"
    part = whole.with_suffix(".part")
    part.write_bytes(msgspec.msgpack.encode(snapshot))
    part.replace(whole)


class Shared:
    """All snapshots in a directory, for the one process that reads them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ended: Snapshot | None = None

    def read(self) -> Snapshot:
        """Returns the values of all processes together. Files of processes that are gone are taken in and removed."""
        living: list[Snapshot] = []
        silent: list[Snapshot] = []
        for path in sorted(self._directory.glob(f"*{_ENDING}")):
            try:
                snapshot = _decode(path.read_bytes())
            except (OSError, msgspec.MsgspecError):  # it ends just now, or is none of ours
                continue
            if not _runs(snapshot.pid):
                snapshot = self._last_of(path, snapshot)
                self._ended = merged([], [snapshot] if self._ended is None else [self._ended, snapshot])
                path.unlink(missing_ok=True)
            elif time.monotonic() - snapshot.at > SILENT:
                silent.append(snapshot)
            else:
                living.append(snapshot)
        return merged(living, silent if self._ended is None else [self._ended, *silent])

    def _last_of(self, path: Path, snapshot: Snapshot) -> Snapshot:
        """Returns what the process wrote last: it may have written between our reading and its end."""
        try:
            return of_the_dead(_decode(path.read_bytes()))
        except (OSError, msgspec.MsgspecError):
            return of_the_dead(snapshot)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
