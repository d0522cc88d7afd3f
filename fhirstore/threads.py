"""Long work beside the event loop: in one of two threads, with the garbage collector at rest.

Python runs one thread at a time. Work in a thread hands over to the event loop every few milliseconds as long as it is
Python; a single call into C does not. So what is called here must be made of short calls.

Two threads are enough: more would not be faster, and the event loop would have to wait for each of them. The collector
looks at all objects there are, in one call, again and again while many are made: for a document of a million values
that is longer than the work itself. So it rests while such work is done (`offload`); afterwards what is there is set
aside (`gc.freeze`), and looked at some seconds later, before other such work.
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
"""Bytes of JSON or XML that are worth it: to read and validate them takes some milliseconds."""

_THREADS = 2
_SELDOM = 10.0  # seconds between collections while such work is done
_P = ParamSpec("_P")
_R = TypeVar("_R")


async def in_thread(do: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """What `do` gives, done in one of the threads. It is done to its end even where the caller is cancelled."""
    return await asyncio.get_running_loop().run_in_executor(_POOL, partial(do, *args, **kwargs))


async def offload(do: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """The same, for what makes many objects: the collector rests."""
    return await in_thread(_COLLECTOR.at_rest, partial(do, *args, **kwargs))


async def offload_if(large: bool, do: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """The same where it is worth a thread; else done at once."""
    return await offload(do, *args, **kwargs) if large else do(*args, **kwargs)


class _Collector:
    """The process's garbage collector, which rests as long as anybody asks for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking = 0
        self._was_on = True
        self._collected = time.monotonic()

    def at_rest(self, do: Callable[[], _R]) -> _R:
        """What `do` gives, done while the collector rests."""
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
        """Rest; now and then, collect before: what earlier work has made is gone by then."""
        gc.disable()
        if time.monotonic() - self._collected > _SELDOM:
            gc.unfreeze()
            gc.collect()
            self._collected = time.monotonic()


_POOL = ThreadPoolExecutor(_THREADS, thread_name_prefix="fhirstore-offload")
_COLLECTOR = _Collector()
