"""CPU time of a server, read from outside: the figure that a noisy machine disturbs least.

Linux only: `utime` and `stime` in https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
"""

from __future__ import annotations

import os
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time spent by a process, its threads and its living descendants; 0.0 where not known."""
    stats = {int(entry.name): fields for entry in Path("/proc").glob("[0-9]*") if (fields := _stat(entry))}
    family, pending = 0, [pid]
    while pending:
        parent = pending.pop()
        if parent in stats:
            family += stats[parent][1]
            pending += [child for child, (its_parent, _) in stats.items() if its_parent == parent]
    return family / TICKS_PER_SECOND


def _stat(entry: Path) -> tuple[int, int] | None:
    """(parent's pid, clock ticks) of one process; None when it has just gone."""
    try:
        fields = (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), int(fields[11]) + int(fields[12])
