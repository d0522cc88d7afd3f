"""The table of capabilities in docs/object-storage.md names tests that are there, and no capability is left out."""

from __future__ import annotations

import ast
import re

from tests.docs.pages import ROOT

_PAGE = ROOT / "docs" / "object-storage.md"
_NAMED = re.compile(r"`((?:tests/[\w/]+\.py)?)(?:::(test_\w+))?`")


def _tests_of(path: str) -> set[str]:
    """The names of the test functions of a file, those of its classes included."""
    tree = ast.parse((ROOT / path).read_text())
    functions = (one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
    return {one.name for one in functions if one.name.startswith("test_")}


def test_each_capability_names_tests_that_are_there() -> None:
    """A1 to A20, each with a test or a suite; `::test_x` alone is of the file before it."""
    rows = re.findall(r"^\| (A\d+) \|.*\| ([^|]*) \|$", _PAGE.read_text(), re.MULTILINE)
    assert [number for number, _ in rows] == [f"A{n}" for n in range(1, 21)]
    for number, cell in rows:
        named = [(path, name) for path, name in _NAMED.findall(cell) if path or name]
        assert named and named[0][0], number
        file = ""
        for path, name in named:
            file = path or file
            assert (ROOT / file).exists(), (number, file)
            assert not name or name in _tests_of(file), (number, file, name)
