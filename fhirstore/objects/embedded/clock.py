"""The one clock of all stores on a directory, in all processes: it never goes back (`rising_clock`), nor at a restart.

The highest time stands in a file that all of them map (`clock`), and beside it, for a machine's clock that was set
back, how far it is ahead of the monotonic clock, which all processes of a machine share. The time is also kept by each
commit, in the database: that one counts when the directory is opened while no store has it open, and survives a restart
of the machine. A store that is opened then starts with the machine's time, or the last commit's where that is later.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from pathlib import Path

from fhirstore.clock import Clock
from fhirstore.objects.rising_clock import RisingClock

_BYTES = 16


class SharedClock(RisingClock):
    """The clock of all stores on a directory, in all processes. Made and closed with the turn to write, or alone."""

    def __init__(self, directory: Path, clock: Clock | None, *, high: int) -> None:
        """`high`: the time of the last commit. Raises OSError."""
        self._file = os.open(directory / "clock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            alone = _locked(self._file)
            if os.fstat(self._file).st_size != _BYTES:
                os.ftruncate(self._file, _BYTES)
            self._map = mmap.mmap(self._file, _BYTES)
        except BaseException:
            os.close(self._file)
            raise
        self._map_cells = memoryview(self._map).cast("q")
        super().__init__(clock, cells=self._map_cells)
        if alone:  # what is in the file may be from before the machine started, or from another one
            self.restart()
        fcntl.flock(self._file, fcntl.LOCK_SH)
        self.reach(high)

    def close(self) -> None:
        """Let go of the file; the clock goes on by itself. Harmless when repeated."""
        if self._cells is not self._map_cells:
            return
        self._cells = [*self._map_cells]
        self._map_cells.release()
        self._map.close()
        os.close(self._file)


def _locked(file: int) -> bool:
    """Is nobody else there?"""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
