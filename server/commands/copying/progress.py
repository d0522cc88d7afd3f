"""How far a copy is: resources, their rate, the bandwidth on both sides, and the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fhirstore import CopyProgress

_WORDS = {
    "copying": "copying",
    "following": "copying what changed meanwhile",
    "waiting": "waiting until nothing can appear any more in the source",
    "verifying": "verifying",
}


@dataclass(slots=True)
class Progress:
    """What is known of a running copy. `clock`: seconds that only grow."""

    clock: Callable[[], float] = time.monotonic
    tenant: str = ""
    now: CopyProgress | None = None
    _began: tuple[str, float, int, int] = field(default=("", 0.0, 0, 0))  # phase, seconds, bytes read and written

    def see(self, tenant: str, progress: CopyProgress) -> None:
        """Take note of what the library tells."""
        if (tenant, progress.phase) != (self.tenant, self._began[0]):
            self._began = (progress.phase, self.clock(), progress.bytes_read, progress.bytes_written)
        self.tenant, self.now = tenant, progress

    @property
    def left(self) -> float | None:
        """Seconds that are left in this phase, at the rate so far; None where it is not known."""
        if self.now is None or self.now.total is None or not self.now.resources:
            return None
        seconds = self.clock() - self._began[1]
        return max(0.0, self.now.total - self.now.resources) * seconds / self.now.resources

    def line(self) -> str:
        """Returns one line for a log."""
        now = self.now
        if now is None:
            return "looking at both stores"
        words = f"{self.tenant}: {_WORDS.get(now.phase, now.phase)}"
        if now.phase == "waiting":
            return words
        seconds = max(self.clock() - self._began[1], 0.001)
        of = f" of {now.total:,}" if now.total is not None else ""
        parts = [f"{words}, {now.resources:,}{of} resources", f"{now.resources / seconds:,.0f}/s"]
        parts += [f"{(now.bytes_read - self._began[2]) / seconds / 1e6:.1f} MB/s read"]
        if now.phase != "verifying":
            parts += [f"{(now.bytes_written - self._began[3]) / seconds / 1e6:.1f} MB/s written"]
        if self.left is not None:
            minutes, rest = divmod(round(self.left), 60)
            parts += [f"{minutes // 60}:{minutes % 60:02}:{rest:02} left"]
        return ", ".join(parts)
