"""Runs long work beside the event loop: in one of two threads, with the garbage collector switched off.

Python runs one thread at a time. A thread that runs Python code lets the event loop continue every few milliseconds; a
single call into C does not. So functions that are run here must consist of short calls.

There are two threads: more would not be faster, and the event loop would have to wait for each of them. While many
objects are made, the garbage collector walks over all objects again and again, each time in one call; for a document of
a million values that takes longer than the work itself. So `offload` switches it off meanwhile. Afterwards the objects
are set aside (`gc.freeze`), and collected some seconds later, before other such work.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

LARGE = 64 * 1024
"""Bytes of JSON or XML from which on a thread is worth it: to read and validate them takes some milliseconds."""

_THREADS = 2
_SELDOM = 10.0  # seconds between collections while such work is done
_P = ParamSpec("_P")
_R = TypeVar("_R")


async def in_thread(do: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Returns what `do` returns, run in one of the threads. It runs to its end even if the caller is cancelled."""
    return await asyncio.get_running_loop().run_in_executor(_POOL, partial(do, *args, **kwargs))


async def offload(do: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Does the same for work that makes many objects: the garbage collector is off meanwhile."""
    return await in_thread(_COLLECTOR.at_rest, partial(do, *args, **kwargs))


async def offload_if(large: bool, do: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Does the same if the work is `large`; otherwise calls `do` at once."""
    return await offload(do, *args, **kwargs) if large else do(*args, **kwargs)


class _Collector:
    """Switches the garbage collector off as long as any thread needs it off."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking = 0
        self._was_on = True
        self._collected = time.monotonic()

    def at_rest(self, do: Callable[[], _R]) -> _R:
        """Returns what `do` returns; the garbage collector is off meanwhile."""
        with self._lock:
            if not self._asking:
                self._was_on = gc.isenabled()
            self._asking += 1
            if self._was_on:
                self._rest()
        try:
            return do()
        finally:
            with self._lock:
                self._asking -= 1
                if self._was_on:
                    gc.freeze()
                    if not self._asking:
                        gc.enable()

    def _rest(self) -> None:
        """Switches it off. Before that it collects, if the last time is long ago: earlier work left objects to free."""
        gc.disable()
        if time.monotonic() - self._collected > _SELDOM:
            gc.unfreeze()
            gc.collect()
            self._collected = time.monotonic()


_POOL = ThreadPoolExecutor(_THREADS, thread_name_prefix="fhirstore-offload")
_COLLECTOR = _Collector()
