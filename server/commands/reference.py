"""The reference of the commands, docs/commands.md, computed from the commands themselves."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import typer
import typer.main
from typer.core import TyperArgument, TyperGroup, TyperOption

_SPACE = re.compile(r"\s+")


def run_reference(app: typer.Typer) -> None:
    """Prints the reference as Markdown."""
    sys.stdout.write(as_markdown(app))


def as_markdown(app: typer.Typer) -> str:
    """Returns a section for each command: what it does, its arguments and options. Ends with a line break."""
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)  # noqa: S101 - an app of several commands is a group
    return "\n".join(line for section in _sections("fhirstore", root) for line in section)


def _sections(name: str, group: TyperGroup) -> Iterator[list[str]]:
    for word, command in group.commands.items():
        if command.hidden:
            continue
        if isinstance(command, TyperGroup):
            yield from _sections(f"{name} {word}", command)
            continue
        lines = [f"## {name} {word}", "", *_paragraphs(command.help or ""), ""]
        rows = [_row(parameter) for parameter in command.params if not getattr(parameter, "hidden", False)]
        rows = [row for row in rows if row]
        if rows:
            lines += ["| option | default | meaning |", "|---|---|---|", *rows, ""]
        yield lines


def _paragraphs(help: str) -> list[str]:
    """Returns the paragraphs of a help text, each on a line, with a blank line between them."""
    paragraphs = [_SPACE.sub(" ", one).strip() for one in help.split("\n\n")]
    return [line for one in paragraphs for line in (one, "")][:-1]


def _row(parameter: object) -> str:
    """Returns the row of an argument or an option; "" for --help."""
    if isinstance(parameter, TyperArgument):
        name = parameter.metavar or (parameter.name or "").upper()
        return _cells(name, "" if parameter.required else _default(parameter.default), parameter.help)
    if isinstance(parameter, TyperOption) and "--help" not in parameter.opts:
        name = max(parameter.opts, key=len)
        if parameter.is_flag:
            return _cells(name, "", parameter.help)
        return _cells(f"{name} {parameter.metavar or 'VALUE'}", _default(parameter.default), parameter.help)
    return ""


def _default(value: object) -> str:
    return "" if value is None or callable(value) or value in ((), [], "") else f"`{value}`"


def _cells(name: str, default: str, meaning: str | None) -> str:
    shown, text = (one.replace("|", "\\|") for one in (name, _SPACE.sub(" ", meaning or "")))
    return f"| `{shown}` | {default} | {text} |"
