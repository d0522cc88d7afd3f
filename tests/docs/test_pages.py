"""README and docs/ say what is there: their links lead somewhere, and every command, option and variable exists."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import typer.main

from server.cli import app
from tests.docs.pages import PAGES, ROOT, anchors, commands, links

_VARIABLE = re.compile(r"\bFHIRSTORE_[A-Z0-9_]*[A-Z0-9]\b")
_TARGET = re.compile(r"^([a-z-]+):", re.M)
_CODE = ("server", "fhirstore", "tests", "conformance")


def _id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_each_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    """A relative link names a file of the repository, and an anchor names a heading of it."""
    for link in links(page):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_each_command_of_a_page_exists(page: Path) -> None:
    """`fhirstore X --option`, `make X` and `python -m X` name what is there."""
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined] # a group has commands
    targets = set(_TARGET.findall((ROOT / "Makefile").read_text()))
    for words in commands(page):
        program, *rest = words
        name = program.rsplit("/", 1)[-1]
        if name == "fhirstore" and rest and not rest[0].startswith("-"):
            assert rest[0] in known, words
            command, rest = known[rest[0]], rest[1:]
            if rest and rest[0] in getattr(command, "commands", {}):
                command, rest = command.commands[rest[0]], rest[1:]
            options = {option for parameter in command.params for option in parameter.opts}
            for word in rest:
                option = word.strip("[]").partition("=")[0]
                assert not option.startswith("--") or option in options | {"--help"}, words
        elif name == "make":
            asked = [word for word in rest if "=" not in word and not word.startswith("-")]
            assert set(asked) <= targets, words
        elif name in ("python", "python3") and rest[:1] == ["-m"] and rest[1].startswith(_CODE):
            assert importlib.util.find_spec(rest[1]) is not None, words


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_each_file_that_a_page_names_exists(page: Path) -> None:
    """A path in backticks that begins with one of our folders is there."""
    for name in re.findall(r"`((?:fhirstore|server|tests|conformance|docs|docker)/[\w./-]*)`", page.read_text()):
        assert (ROOT / name).exists(), name


def test_each_variable_that_a_page_names_is_read_somewhere() -> None:
    """A FHIRSTORE_ variable in the pages is one that the code knows."""
    code = "\n".join(path.read_text() for folder in _CODE for path in (ROOT / folder).rglob("*.py"))
    known = set(_VARIABLE.findall(code))
    for page in PAGES:
        assert set(_VARIABLE.findall(page.read_text())) <= known, page


def test_readme_is_a_page() -> None:
    """README has at most 6 kB, and leads with the two commands."""
    readme = (ROOT / "README.md").read_text()
    assert len(readme.encode()) <= 6_000
    first = re.search(r"```sh\n(.*?)```", readme, re.S)
    assert first
    assert [line.split()[:2] for line in first[1].splitlines()] == [["make", "serve"], ["make", "test"]]
