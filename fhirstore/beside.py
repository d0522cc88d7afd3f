"""Long work beside the event loop: in one of two threads, with the garbage collector at rest.

Python runs one thread at a time. Work in a thread hands over to the event loop every few milliseconds as long as it is
Python; a single call into C does not. So what is called here must be made of short calls.

Two threads are enough: more would not be faster, and the event loop would have to wait for each of them. The collector
looks at all objects there are, in one call, again and again while many are made: for a document of a million values
that is longer than the work itself. So it rests while such work is done, and what has been made is then set aside
(`gc.freeze`) until it is gone; what is set aside and garbage is collected some seconds later at the earliest.
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
_ASIDE = 5.0  # seconds
_P = ParamSpec("_P")
_R = TypeVar("_R")


async def beside(do: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """What `do` gives, done in a thread. It is done to its end even where the caller is cancelled."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_POOL, partial(_COLLECTOR.at_rest, partial(do, *args, **kwargs)))


async def beside_if(large: bool, do: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """The same where it is worth a thread; else done at once."""
    return await beside(do, *args, **kwargs) if large else do(*args, **kwargs)


class _Collector:
    """The process's garbage collector, which rests as long as anybody asks for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking = 0
        self._was_on = True
        self._aside_since: float | None = None

    def at_rest(self, do: Callable[[], _R]) -> _R:
        """What `do` gives, done while the collector rests."""
        with self._lock:
            self._asking += 1
            if self._asking == 1:
                self._was_on = gc.isenabled()
                self._rest()
        try:
            return do()
        finally:
            with self._lock:
                self._asking -= 1
                if not self._asking and self._was_on:
                    self._go_on()

    def _rest(self) -> None:
        if not self._was_on:
            return
        if self._aside_since is not None and time.monotonic() - self._aside_since > _ASIDE:
            gc.unfreeze()
            self._aside_since = None
            gc.collect()
        gc.disable()

    def _go_on(self) -> None:
        gc.freeze()
        if self._aside_since is None:
            self._aside_since = time.monotonic()
        gc.enable()


_POOL = ThreadPoolExecutor(_THREADS, thread_name_prefix="beside")
_COLLECTOR = _Collector()
