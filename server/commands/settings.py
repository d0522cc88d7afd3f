"""`fhirstore settings`: the table of all settings, as text, as Markdown (docs/settings.md) or as JSON."""

from __future__ import annotations

import sys
import textwrap
from typing import Literal

import msgspec

from server.settings import TABLE

_WIDTH = 100


def run_settings(form: Literal["text", "markdown", "json"]) -> None:
    """Prints the table."""
    sys.stdout.write({"text": as_text, "markdown": as_markdown, "json": as_json}[form]())


def as_markdown() -> str:
    """Returns a Markdown table, a row for each setting. Ends with a line break."""
    rows = [f"| `{one.name}` | {one.unset} | {one.meaning} |" for one in TABLE.values()]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows, ""])


def as_text() -> str:
    """Returns each setting's name and default, and below them its meaning."""
    lines = []
    for one in TABLE.values():
        default = f"  (default: {one.unset})" if one.unset else ""
        meaning = textwrap.fill(one.meaning, _WIDTH, initial_indent="    ", subsequent_indent="    ")
        lines.append(f"{one.name}{default}\n{meaning}\n")
    return "".join(lines).replace("`", "")


def as_json() -> str:
    """Returns a JSON array of objects with name, default and meaning, as plain text."""
    rows = [{"name": one.name, "default": one.unset, "meaning": one.meaning} for one in TABLE.values()]
    rows = [{name: text.replace("`", "") for name, text in row.items()} for row in rows]
    return msgspec.json.format(msgspec.json.encode(rows)).decode() + "\n"
