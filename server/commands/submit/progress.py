"""How far a submission is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Progress:
    """`words`: of the store or the server. `read` of `total` bytes of the files were read; 0: it is not known."""

    words: str = ""
    read: int = 0
    total: int = 0

    def line(self) -> str:
        """Returns one line for a log."""
        part = f"{self.read / 1e6:.1f} of {self.total / 1e6:.1f} MB read ({self.read / self.total:.0%})"
        return "; ".join(filter(None, (part if self.total else "", self.words))) or "no answer yet"


class Reach:
    """Bytes of files that are read one after the other, added up. A file that is compressed counts when it is done."""

    def __init__(self, sizes: dict[str, int]) -> None:
        self.total = sum(sizes.values())
        self._sizes = sizes
        self._before: dict[str, int] = {}
        at = 0
        for url, size in sizes.items():
            self._before[url] = at
            at += size

    def at(self, url: str, position: int) -> int | None:
        """Returns the bytes read when a file is read up to `position`; None: it is none of these."""
        before = self._before.get(url)
        if before is None:
            return None
        plain = not url.endswith(".gz")
        return before + (min(position, self._sizes[url]) if plain else 0)
