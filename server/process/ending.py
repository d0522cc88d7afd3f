"""How a server process ends on SIGTERM or SIGINT: within ten seconds, with exit code 0 and without a traceback.

| seconds | what happens |
|---|---|
| 0 | no connection is accepted any more; idle ones are closed; answers under way are finished |
| `ANSWERED_IN` | the other connections are closed and their requests cancelled; writes that have begun go on |
| + `HANDED_BACK_IN` | jobs that run here are handed back; another process goes on with them |
| + `SETTLED_IN` | those writes are given up, and the process no longer waits for the store |
| `ENDED_IN` | the process ends, whatever it waits for: a disk that hangs, a thread that does not return |

A write that was acknowledged is durable at each of these moments.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from uvicorn.supervisors import Multiprocess

Handler = Callable[[int, FrameType | None], None]

ANSWERED_IN = 5.0  # seconds
HANDED_BACK_IN = 1.0
SETTLED_IN = 2.0
ENDED_IN = 8.5
_WORKERS_ENDED_IN = 9.0


def end_quietly_on_sigterm() -> None:
    """Makes SIGTERM end the process at once with exit code 0, until another handler replaces this one."""
    signal.signal(signal.SIGTERM, _exit)


def end_in_time() -> None:
    """Makes SIGTERM and SIGINT also end the process after `ENDED_IN` seconds; their present handlers still run."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _with_watchdog(signal.getsignal(number)))


def _with_watchdog(handler: Callable[[int, FrameType | None], object] | int | None) -> Handler:
    def handle(number: int, frame: FrameType | None) -> None:
        watchdog = threading.Timer(ENDED_IN, end_now, ("something does not end",))
        watchdog.daemon = True
        watchdog.start()
        if callable(handler):
            handler(number, frame)

    return handle


def end_now(why: str) -> None:
    """Ends the process without waiting for anything, and says why on standard error."""
    sys.stderr.write(f"fhirstore: stopped at once: {why}\n")
    sys.stderr.flush()
    os._exit(0)


def _exit(_number: int, _frame: FrameType | None) -> None:
    # Not SystemExit, which is lost where the signal comes in the middle of a callback or a destructor.
    os._exit(0)


class Workers(Multiprocess):
    """uvicorn's supervisor of worker processes; kills a worker that does not end in time."""

    def join_all(self) -> None:
        deadline = time.monotonic() + _WORKERS_ENDED_IN
        for process in self.processes:
            process.process.join(max(0.0, deadline - time.monotonic()))
            if process.process.is_alive():
                process.kill()
                process.join()
