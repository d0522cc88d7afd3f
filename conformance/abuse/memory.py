"""How much memory a process has held at most, as Linux tells in `/proc/PID`.

The kernel keeps the peak (VmHWM); writing 5 to `clear_refs` sets it back to what is held now. Where that is not
allowed, what is held is looked at every few milliseconds instead.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_FIELD = "{}:\\s*([0-9]+) kB"
_INTERVAL = 0.02  # seconds


@dataclass(slots=True)
class Memory:
    """Bytes held before, and at most meanwhile; 0 where nothing tells."""

    before: int = 0
    peak: int = 0


@contextmanager
def watched(pid: int | None) -> Iterator[Memory]:
    """Watch a process for the length of the block; the peak is told at its end. None: nothing is told."""
    memory = Memory()
    if pid is None:
        yield memory
        return
    memory.before = _read(pid, "VmRSS")
    if _clear(pid):
        try:
            yield memory
        finally:
            memory.peak = _read(pid, "VmHWM")
        return
    done = threading.Event()

    def sample() -> None:
        while not done.wait(_INTERVAL):
            memory.peak = max(memory.peak, _read(pid, "VmRSS"))

    sampling = threading.Thread(target=sample, daemon=True)
    sampling.start()
    try:
        yield memory
    finally:
        done.set()
        sampling.join()


def _clear(pid: int) -> bool:
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _read(pid: int, name: str) -> int:
    try:
        found = re.search(_FIELD.format(name), Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
