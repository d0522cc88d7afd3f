"""Reads README and docs/: their links, their fenced code, and the commands in it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+)$", re.M)


@dataclass(frozen=True, slots=True)
class Fence:
    """A block of code: its language ("" where none is named) and its text."""

    language: str
    text: str


def fences(page: Path) -> list[Fence]:
    """Returns the fenced blocks of a page."""
    return [Fence(match[1], match[2]) for match in _FENCE.finditer(page.read_text())]


def links(page: Path) -> list[str]:
    """Returns the targets of a page's links, code left out."""
    return _LINK.findall(_INLINE.sub("", _FENCE.sub("", page.read_text())))


def anchors(page: Path) -> set[str]:
    """Returns the anchors that the headings of a page have on a forge: lower case, dashes, no punctuation."""
    titles = _HEADING.findall(_FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(page: Path) -> Iterator[list[str]]:
    """Yields the commands of a page as words: the lines of its sh and console blocks, and what stands in backticks."""
    for fence in fences(page):
        if fence.language in ("sh", "console"):
            prompt = fence.language == "console"
            for line in fence.text.splitlines():
                if not prompt or line.startswith("$ "):
                    yield from _words(line.removeprefix("$ "))
    for text in _INLINE.findall(_FENCE.sub("", page.read_text())):
        yield from _words(text)


def _words(line: str) -> Iterator[list[str]]:
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # part of a command that goes on over several lines
        words = line.split()
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):  # variables before the command
        words = words[1:]
    if words:
        yield words
