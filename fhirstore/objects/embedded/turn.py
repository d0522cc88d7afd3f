"""Whose turn it is to write, among the processes that share an embedded store's directory.

SQLite's own wait for its write lock is a lottery that the process writing most wins again and again. Two flock(2)
files make a queue of it: one must hold `next` while waiting for `write`, and whoever comes back for another turn
finds `next` held by the one waiting. The kernel drops both when a process dies. See
https://www.sqlite.org/lockingv3.html#writer_starvation for the same idea inside SQLite.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

_NAP = 0.0002  # seconds between looks; a commit takes longer than this on any disk that syncs


class Turn:
    """One waiter's place in the queue. Threads may use it one after the other, not at once."""

    def __init__(self, directory: Path) -> None:
        """Raises OSError where lock files cannot be made."""
        self._next = os.open(directory / "next.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._write = os.open(directory / "write.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self, patience: float) -> bool:
        """Wait for the turn, at most `patience` seconds; False when it did not come."""
        deadline = time.monotonic() + patience
        if not _locked(self._next, deadline):
            return False
        try:
            return _locked(self._write, deadline)
        finally:
            fcntl.flock(self._next, fcntl.LOCK_UN)

    def give_up(self) -> None:
        """End the turn."""
        fcntl.flock(self._write, fcntl.LOCK_UN)

    def close(self) -> None:
        """Leave the queue."""
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
