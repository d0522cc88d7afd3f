"""The write lock of an embedded store's directory: a fair queue among the processes that share it.

SQLite's own wait for its write lock is not fair: the process that writes most gets it again and again. Two flock(2)
files make a queue: a process must hold `next` while it waits for `write`, so a process that comes back for another turn
finds `next` held by the one that waits. The kernel releases both when a process dies. See
https://www.sqlite.org/lockingv3.html#writer_starvation for the same idea inside SQLite.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

_NAP = 0.0002  # seconds between tries; a commit takes longer than this on any disk that syncs


class WriteLock:
    """The write lock, as one holder sees it. Threads may use it one after the other, not at the same time."""

    def __init__(self, directory: Path) -> None:
        """Raises OSError where lock files cannot be made."""
        self._next = os.open(directory / "next.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._write = os.open(directory / "write.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def acquire(self, patience: float) -> bool:
        """Wait for the lock, at most `patience` seconds. Returns whether it was acquired."""
        deadline = time.monotonic() + patience
        if not _locked(self._next, deadline):
            return False
        try:
            return _locked(self._write, deadline)
        finally:
            fcntl.flock(self._next, fcntl.LOCK_UN)

    def release(self) -> None:
        """Release the lock."""
        fcntl.flock(self._write, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the lock files, which releases the lock."""
        os.close(self._next)
        os.close(self._write)


def _locked(file: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_NAP)
        else:
            return True
