"""The clock that all stores on a directory share, in all processes. It never goes back, not even over a restart.

All stores map one file (`clock`). It holds the highest time that was shown and, for a machine's clock that was set
back, the distance to the monotonic clock, which all processes of a machine share (`rising_clock`). Each commit also
stores its time in the database. That time counts when the directory is opened while no store has it open, and it
survives a restart of the machine: such a store starts with the machine's time or the last commit's, whichever is later.
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
    """The clock of all stores on a directory. It is made while the caller holds the write lock."""

    def __init__(self, directory: Path, clock: Clock | None, *, high: int) -> None:
        """`high`: the time of the last commit, epoch ms. Raises OSError."""
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
        if alone:  # the file may be from before the machine started, or from another machine
            self.restart()
        fcntl.flock(self._file, fcntl.LOCK_SH)
        self.reach(high)

    def close(self) -> None:
        """Close the file; the clock goes on by itself. May be called again."""
        if self._cells is not self._map_cells:
            return
        self._cells = [*self._map_cells]
        self._map_cells.release()
        self._map.close()
        os.close(self._file)


def _locked(file: int) -> bool:
    """Returns whether no other store has the file open."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
