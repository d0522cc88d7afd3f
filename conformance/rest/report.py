"""The verdicts as a table for a person, as JUnit XML for a build."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from rich.console import Console
from rich.table import Table

from conformance.rest.suite import Verdict


def print_table(verdicts: Sequence[Verdict], console: Console, *, everything: bool) -> None:
    """What is broken (or everything), with the sentence and its page; then the count per chapter."""
    shown = [verdict for verdict in verdicts if everything or verdict.complaint]
    if shown:
        table = Table("", "check", "the specification says", "but", show_lines=not everything)
        for verdict in shown:
            mark = "[red]broken[/]" if verdict.complaint else "[green]holds[/]"
            check = verdict.check
            sentence = f"{check.sentence}\n[dim]{check.url}[/]"
            table.add_row(mark, check.name, sentence, verdict.complaint)
        console.print(table)
    chapters = Table("chapter", "checks", "hold", "broken")
    for chapter in dict.fromkeys(_chapter(verdict) for verdict in verdicts):
        of = [verdict for verdict in verdicts if _chapter(verdict) == chapter]
        broken = sum(bool(verdict.complaint) for verdict in of)
        chapters.add_row(chapter, str(len(of)), str(len(of) - broken), str(broken))
    broken = sum(bool(verdict.complaint) for verdict in verdicts)
    chapters.add_section()
    chapters.add_row("all", str(len(verdicts)), str(len(verdicts) - broken), str(broken))
    console.print(chapters)


def write_junit(verdicts: Sequence[Verdict], path: Path) -> None:
    """One testcase per check; its file is the cited page."""
    broken = sum(bool(verdict.complaint) for verdict in verdicts)
    suite = ElementTree.Element("testsuite", name="rest", tests=str(len(verdicts)), failures=str(broken))
    for verdict in verdicts:
        check = verdict.check
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=_chapter(verdict),
            name=check.name.partition(".")[2],
            file=check.url,
            time=f"{verdict.seconds:.3f}",
        )
        if verdict.complaint:
            failure = ElementTree.SubElement(case, "failure", message=verdict.complaint, type=check.level or "fact")
            failure.text = f"{check.sentence}\n{check.url}"
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def _chapter(verdict: Verdict) -> str:
    return verdict.check.name.partition(".")[0]
