"""How far an export is: what the server says while it works, then the files by type."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_OF_TYPE = re.compile(r"\b([A-Z][A-Za-z]+):? (\d{1,3}(?:\.\d+)?) ?%")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d+)?) ?%")


@dataclass(slots=True)
class Row:
    """Files of one type: how many are listed, how many are whole, and bytes as they come over the network."""

    files: int = 0
    whole: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Progress:
    """`words`: the server's X-Progress. `downloading`: files are listed in `rows`, by type."""

    words: str = ""
    downloading: bool = False
    rows: dict[str, Row] = field(default_factory=dict)

    def row(self, type_: str) -> Row:
        """Returns the row of a type."""
        return self.rows.setdefault(type_, Row())

    def percents(self) -> dict[str, float]:
        """Returns the percentages in the server's words, by type; under "" where no type is named."""
        found = {match[1]: float(match[2]) for match in _OF_TYPE.finditer(self.words)}
        if not found and (match := _PERCENT.search(self.words)):
            found = {"": float(match[1])}
        return found

    def line(self) -> str:
        """Returns one line for a log."""
        if not self.downloading:
            return f"the server is at work{f': {self.words}' if self.words else ''}"
        rows = self.rows.values()
        files, whole, size = sum(r.files for r in rows), sum(r.whole for r in rows), sum(r.bytes for r in rows)
        return f"{whole:,} of {files:,} files, {size / 1e6:.1f} MB"
