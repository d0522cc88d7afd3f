"""How a process ends on SIGTERM or SIGINT: in a bounded time, with exit code 0 and without a traceback.

| seconds | what happens |
|---|---|
| 0 | `/health/ready` answers 503, answers say `Connection: close`; jobs that run here are handed back |
| `FHIRSTORE_DRAIN_SECONDS` | no connection is accepted any more; idle ones are closed; answers under way are finished |
| + `FHIRSTORE_STOP_TIMEOUT` | other connections are closed, their requests cancelled; writes that have begun go on |
| + `HANDED_BACK_IN`, `SETTLED_IN` | those writes are given up, and the process no longer waits for the store |
| + `AUDITED_IN` | with an audit log: its last events are stored, or given up |
| `ended_in` | the process ends, whatever it waits for: a disk that hangs, a thread that does not return |

A second signal ends the process at once. Of several processes the parent decides that: its workers get the signals of
a terminal twice, from the terminal and from it, so they ignore all but the first.

A write that was acknowledged is durable at each of these moments.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess
from types import FrameType

from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

Handler = Callable[[int, FrameType | None], None]

HANDED_BACK_IN = 1.0  # seconds
SETTLED_IN = 2.0
AUDITED_IN = 2.0
HANGS_AFTER = 60.0
"""Seconds in which a worker process must answer its parent. On a busy machine one that starts needs some of them."""

_SPARE = 0.5
_BY_THEMSELVES = 0.5  # seconds that worker processes have, beyond their time, before they are killed
_ENDS = (signal.SIGTERM, signal.SIGINT)


def ended_in(*, drain: float, answered: float, audits: bool = False) -> float:
    """Returns the seconds after which a process has ended. `answered`: those that answers under way have.

    `audits`: it has audit events to store at the end.
    """
    return drain + answered + HANDED_BACK_IN + SETTLED_IN + (AUDITED_IN if audits else 0) + _SPARE


def end_quietly_on_sigterm() -> None:
    """Makes SIGTERM end the process at once with exit code 0, until another handler replaces this one."""
    signal.signal(signal.SIGTERM, _exit)


class Ending:
    """The end of this process, which the first SIGTERM or SIGINT begins. `begun`: set by it.

    `drain`: seconds until the handlers that were there before are called. `within`: seconds after which the process
    ends, whatever it waits for.
    """

    def __init__(self, *, within: float, drain: float = 0.0) -> None:
        self.begun = asyncio.Event()
        self._within = within
        self._drain = drain
        self._loop = asyncio.get_running_loop()
        self._came = False

    def handle_signals(self, *, alone: bool = False) -> None:
        """Handles them from now on. `alone`: the handlers that were there before are not called."""
        for number in _ENDS:
            before = None if alone else signal.getsignal(number)
            signal.signal(number, partial(self._arrive, before if callable(before) else None))

    def _arrive(self, before: Handler | None, number: int, frame: FrameType | None) -> None:
        if self._came:
            if multiprocessing.parent_process() is None:
                end_now("a second signal came")
            return
        self._came = True
        watchdog = threading.Timer(self._within, end_now, ("something does not end",))
        watchdog.daemon = True
        watchdog.start()
        self._loop.call_soon_threadsafe(self.begun.set)
        if before is not None and self._drain:
            self._loop.call_soon_threadsafe(self._loop.call_later, self._drain, before, number, None)
        elif before is not None:
            before(number, frame)


def end_with_parent() -> None:
    """Ends this worker process as SIGTERM does when its parent ends without having ended it: was killed, say.

    Else it would keep the port, and a server that is started again would not get it.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), name="fhirstore-parent", daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def end_now(why: str) -> None:
    """Ends the process without waiting for anything, and says why on standard error."""
    sys.stderr.write(f"fhirstore: stopped at once: {why}\n")
    sys.stderr.flush()
    os._exit(0)


def _exit(_number: int, _frame: FrameType | None) -> None:
    # Not SystemExit, which is lost where the signal comes in the middle of a callback or a destructor.
    os._exit(0)


class Workers(Multiprocess):
    """uvicorn's supervisor of worker processes; kills those that have not ended `within` seconds.

    A second signal kills them at once. `renewing`: they load their certificates again on SIGHUP, and are not replaced.
    A process that ended before, or that did not answer for `HANGS_AFTER` seconds, is replaced. `failed`: one could not
    start, so that all were ended.
    """

    def __init__(self, config: Config, sockets: list[socket.socket], *, within: float, renewing: bool = False) -> None:
        super().__init__(config, sockets)
        self._renewing = renewing
        self.failed = False
        self._within = within + _BY_THEMSELVES
        self._asked = 0
        self._pinged: dict[Process, float] = {}  # when, of those that have not answered yet

    def handle_term(self) -> None:
        self._asked += 1
        super().handle_term()

    def handle_int(self) -> None:
        self._asked += 1
        super().handle_int()

    def handle_hup(self) -> None:
        if not self._renewing:
            super().handle_hup()
            return
        for process in self.processes:
            if process.process.is_alive() and process.pid is not None:
                os.kill(process.pid, signal.SIGHUP)

    def keep_subprocess_alive(self) -> None:
        """Replaces processes. It waits for none, so that signals do not wait, unlike uvicorn's own."""
        if self.should_exit.is_set():  # by the signal that was handled just now
            return
        for place, process in enumerate(self.processes):
            ended = not process.process.is_alive()
            if not ended and self._answers(process):
                continue
            process.kill()
            process.join()
            self._pinged.pop(process, None)
            if process.exitcode == STARTUP_FAILURE:
                self.failed = True
                self.should_exit.set()
                return
            how = f"ended with {process.exitcode}" if ended else f"did not answer for {HANGS_AFTER:.0f} s"
            sys.stderr.write(f"fhirstore: worker process {process.pid} {how}; another one takes its place\n")
            self.processes[place] = Process(self.config, self.sockets)
            self.processes[place].start()

    def _answers(self, process: Process) -> bool:
        """Asks a process for a sign of life, or looks for its answer. Returns whether it still has time for that."""
        now = time.monotonic()
        try:
            if process not in self._pinged:
                process.parent_conn.send(b"ping")
                self._pinged[process] = now
            elif process.parent_conn.poll():
                process.parent_conn.recv()
                del self._pinged[process]
        except (OSError, EOFError):
            return False
        return now - self._pinged.get(process, now) < HANGS_AFTER

    def join_all(self) -> None:
        deadline = time.monotonic() + self._within
        for process in self.processes:
            while process.process.is_alive() and self._asked < 2 and time.monotonic() < deadline:
                process.process.join(0.1)
                self._asked += sum(number in _ENDS for number in self.signal_queue)
                self.signal_queue.clear()
            if process.process.is_alive():
                process.kill()
                process.join()
