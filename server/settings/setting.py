"""One setting: a field of a group of settings, with its variable, form, default and meaning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")
D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable. `read`: makes a value of its text. `unset`: the default, in words."""

    name: str
    read: Callable[[str], object]
    unset: str
    meaning: str


def setting(name: str, read: Callable[[str], T], default: D, meaning: str, *, unset: str | None = None) -> T | D:
    """A field of a group of settings that the variable `name` fills. `meaning` is one sentence of Markdown.

    `unset`: the default in words, where the value alone does not say it.
    """
    shown = _shown(default) if unset is None else unset
    return field(default_factory=lambda: default, metadata={"setting": Setting(name, read, shown, meaning)})


def _shown(default: object) -> str:
    """Returns a default as the text that would set it, in Markdown."""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, frozenset | tuple):
        default = ",".join(sorted(default))
    return f"`{default}`" if default or default == 0 else ""
