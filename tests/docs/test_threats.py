"""The table of threats names tests that exist, so that no defence is only claimed."""

from __future__ import annotations

import ast
import re

from tests.docs.pages import ROOT

_PAGE = ROOT / "docs" / "security.md"
_ROW = re.compile(r"^\| (?P<threat>[^|]+) \| (?P<defence>[^|]+) \| (?P<tests>`tests/[^|]+`) \|$", re.M)
_HEAD = "| threat | what stops it | the test that shows it |"
_FEWEST = 40


def rows() -> list[re.Match[str]]:
    """Every row of the tables of threats."""
    return list(_ROW.finditer(_PAGE.read_text()))


def test_every_threat_names_a_test_that_exists() -> None:
    """`file::name` of a function or class in that file."""
    for row in rows():
        for named in re.findall(r"`([^`]+)`", row["tests"]):
            file, _, name = named.partition("::")
            module = ast.parse((ROOT / file).read_text())
            defined = {
                node.name
                for node in module.body
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            }
            assert name in defined, named
            assert name.startswith(("test_", "Test")), named


def test_there_are_threats_enough_and_none_twice() -> None:
    """Forty at least; and no row is left out because it is misspelt."""
    threats = [row["threat"] for row in rows()]
    assert len(threats) >= _FEWEST
    assert len(set(threats)) == len(threats)
    section = _PAGE.read_text().partition("## Threats")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|") and line not in (_HEAD, "|---|---|---|")]
    assert len(lines) == len(threats)
