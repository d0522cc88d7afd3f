"""How far a transfer is, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import RenderableType
from rich.text import Text

Status = Literal["complete", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class Progress:
    """`phase`: hash, send, verify or fetch. `done` of `total` bytes; 0: it is not known."""

    phase: str
    done: int
    total: int

    def line(self) -> str:
        """Returns one line for a log."""
        if not self.total:
            return f"{self.phase}: {self.done / 1e6:.1f} MB"
        return f"{self.phase}: {self.done / 1e6:.1f} of {self.total / 1e6:.1f} MB ({self.done / self.total:.0%})"


@dataclass(slots=True)
class TransferSummary:
    """The result. `moved`: bytes that this command sent or fetched; `resumed`: bytes that were there already.

    `verified`: the SHA-256 is that of the other side. `stopped`: why it ended early.
    """

    what: Literal["upload", "download"]
    file: Path
    place: str
    reference: str | None = None
    size: int = 0
    sha256: str | None = None
    verified: bool = False
    status: Status = "failed"
    moved: int = 0
    resumed: int = 0
    retries: int = 0
    seconds: float = 0.0
    stopped: str | None = None

    @property
    def ok(self) -> bool:
        """Whether all of it is there."""
        return self.status == "complete"

    @property
    def rate(self) -> float:
        """Bytes in a second."""
        return self.moved / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, object]:
        """Returns the summary as JSON values."""
        return {
            "what": self.what,
            "file": str(self.file),
            "place": self.place,
            "reference": self.reference,
            "status": self.status,
            "size": self.size,
            "sha256": self.sha256,
            "verified": self.verified,
            "moved": self.moved,
            "resumed": self.resumed,
            "retries": self.retries,
            "seconds": round(self.seconds, 3),
            "bytesPerSecond": round(self.rate),
            "stopped": self.stopped,
        }

    def render(self) -> RenderableType:
        """Returns the summary as text."""
        arrow = "→" if self.what == "upload" else "←"
        lines = [f"{self.file} {arrow} {self.reference or '(nothing)'} at {self.place}: {self.status}"]
        if self.ok:
            checked = "verified by SHA-256" if self.verified else "not verified: the server names no hash"
            lines.append(f"{self.size:,} bytes, {checked} ({self.sha256})")
        lines.append(f"{self.moved / 1e6:.1f} MB in {self.seconds:.1f} s, {self.rate / 1e6:.1f} MB/s")
        if self.resumed:
            lines.append(f"{self.resumed / 1e6:.1f} MB were there already")
        if self.retries:
            lines.append(f"{self.retries} requests were sent again")
        if self.stopped:
            lines.append(self.stopped)
        return Text("\n".join(lines))
