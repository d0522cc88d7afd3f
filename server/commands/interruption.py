"""The interruption of a long command by SIGINT or SIGTERM, which still prints its summary.

Once it sends, the first signal asks it to send nothing more; requests under way have a few seconds to be answered. A
second signal, or the end of those seconds, gives them up. Before it sends, the first signal ends it at once.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

GRACE = 5.0  # seconds for the answers that are still to come


class Interruption:
    """Whether a signal asked a command to end. `by`: the first one; `given_up`: it does not wait for answers either."""

    def __init__(self, *, grace: float = GRACE) -> None:
        self.by: signal.Signals | None = None
        self.given_up = False
        self._grace = grace
        self._task: asyncio.Task[object] | None = None
        self._sending = False

    def ends(self, task: asyncio.Task[object] | None) -> None:
        """Sets the task to be cancelled; None: it is done."""
        self._task = task

    def begins_to_send(self) -> None:
        """Notes that from now on there may be answers to wait for."""
        self._sending = True

    def came(self) -> bool:
        """Whether a signal has arrived; then nothing more is to be sent."""
        return self.by is not None

    def arrive(self, by: signal.Signals) -> None:
        """Called in the event loop for each signal."""
        first, self.by = self.by is None, self.by or by
        if first and self._sending:
            asyncio.get_running_loop().call_later(self._grace, self._give_up)
        else:
            self._give_up()

    def _give_up(self) -> None:
        if self._task is not None and not self.given_up:
            self.given_up = True
            self._task.cancel()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handles SIGINT and SIGTERM while it is open; only in the main thread, which alone can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self.arrive, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)
