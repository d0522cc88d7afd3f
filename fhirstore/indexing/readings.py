"""Where an index is read: on the event loop if that is short, else in a thread.

A thread would cost a quarter of the work of most searches. A search that takes long must hold up neither the loop nor
anything but other searches, so there are threads of their own.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from fhirstore.index.local.connections import TakesLonger
from fhirstore.index.local.reader import Reader

_THREADS = ThreadPoolExecutor(4, "fhirstore-index")
_AT_ONCE = 0.003  # seconds of work on the event loop
_WAITS = 8  # times as long as that for a reading with its waits for the disk
_SELDOM = 0.2
"""The share of a kind's latest readings that may take longer: to begin one in vain costs as much as several threads."""
_LATEST = 8  # readings of which the last one is one part in the share
_MOST_KINDS = 1_000  # of reading, whose shares are known
_Result = TypeVar("_Result")


class Readable(Protocol):
    """What is read: `IndexFile`, `EmptyIndex`."""

    def read(self) -> AbstractContextManager[Reader]: ...
    def read_at_once(self, within: float, waiting: float, /) -> AbstractContextManager[Reader]: ...


class Readings:
    """Those of one index."""

    def __init__(self) -> None:
        self._long: dict[Hashable, tuple[float, int]] = {}  # kinds of reading -> share that took long, of how many

    async def run(self, file: Readable, do: Callable[[Reader], _Result], *, like: Hashable, short: bool) -> _Result:
        """Returns what `do` returns, run on a reader of the newest sequence number. Raises as `IndexFile.read`.

        It is run at once if that takes three milliseconds at most, else from its beginning in a thread. `like`: the
        kind of reading; where more than a few of those before took longer, it is run in a thread from the first, until
        they are short again. Not `short`: in a thread, since SQLite cannot be interrupted before it has understood a
        statement.
        """
        if short and self._long.get(like, (0.0, 0))[0] <= _SELDOM:
            try:
                with file.read_at_once(_AT_ONCE, _AT_ONCE * _WAITS) as reader:
                    found = do(reader)
            except TakesLonger:
                self._took(like, long=True)
                short = False  # it is known by now
            else:
                self._took(like, long=False)
                return found

        left = threading.Event()

        def read() -> tuple[_Result, bool]:
            with file.read() as reader:
                reader.left = left
                work, began = time.thread_time(), time.perf_counter()
                found = do(reader)
                work, waited = time.thread_time() - work, time.perf_counter() - began
                return found, work > _AT_ONCE or waited > _AT_ONCE * _WAITS

        try:
            found, long = await asyncio.get_running_loop().run_in_executor(_THREADS, read)
        except asyncio.CancelledError:
            left.set()  # so that the thread is free for others
            raise
        if short:
            self._took(like, long=long)
        return found

    def _took(self, like: Hashable, *, long: bool) -> None:
        share, known = self._long.get(like, (0.0, 0))
        known = min(known + 1, _LATEST)
        if like not in self._long and len(self._long) >= _MOST_KINDS:
            self._long.clear()
        self._long[like] = share + (long - share) / known, known
