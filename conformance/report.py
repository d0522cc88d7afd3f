"""The verdicts of a suite of checks as a table for a person, as JUnit XML for a build."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol
from xml.etree import ElementTree

from rich.console import Console
from rich.markup import escape
from rich.table import Table


class Cited(Protocol):
    """A check: `name` is its chapter, a dot and the fact that it proves; `sentence` stands at `url`."""

    @property
    def name(self) -> str: ...

    @property
    def sentence(self) -> str: ...

    @property
    def url(self) -> str: ...

    @property
    def level(self) -> str: ...


class Judged(Protocol):
    """How a check went: `complaint` is empty where it holds, `skipped` says why it was not put to the server."""

    @property
    def check(self) -> Cited: ...

    @property
    def complaint(self) -> str: ...

    @property
    def skipped(self) -> str: ...

    @property
    def seconds(self) -> float: ...


def level_of(sentence: str) -> str:
    """Returns SHALL, SHOULD or MAY, as the sentence has it; empty where it just states a fact."""
    words = sentence.replace(".", " ").replace(",", " ").split()
    for level, synonyms in (("SHALL", ("SHALL", "MUST")), ("SHOULD", ("SHOULD",)), ("MAY", ("MAY",))):
        if any(word in synonyms for word in words):
            return level
    return ""


def print_table(verdicts: Sequence[Judged], console: Console, *, everything: bool) -> None:
    """What is broken (or everything), with the sentence and its page; then the count per chapter."""
    shown = [verdict for verdict in verdicts if everything or verdict.complaint]
    if shown:
        table = Table("", "check", "the specification says", "but", show_lines=not everything)
        for verdict in shown:
            check = verdict.check
            sentence = f"{escape(check.sentence)}\n[dim]{escape(check.url)}[/]"
            table.add_row(_mark(verdict), check.name, sentence, escape(verdict.complaint or verdict.skipped))
        console.print(table)
    skips = any(verdict.skipped for verdict in verdicts)
    chapters = Table("chapter", "checks", "hold", "broken", *(["skipped"] if skips else []))
    for chapter in dict.fromkeys(_chapter(verdict) for verdict in verdicts):
        of = [verdict for verdict in verdicts if _chapter(verdict) == chapter]
        chapters.add_row(chapter, *_counts(of, skips=skips))
    chapters.add_section()
    chapters.add_row("all", *_counts(verdicts, skips=skips))
    console.print(chapters)


def write_junit(verdicts: Sequence[Judged], path: Path, *, suite: str) -> None:
    """One testcase per check; its file is the cited page."""
    broken = sum(bool(verdict.complaint) for verdict in verdicts)
    skipped = sum(bool(verdict.skipped) for verdict in verdicts)
    counts = {"name": suite, "tests": str(len(verdicts)), "failures": str(broken), "skipped": str(skipped)}
    root = ElementTree.Element("testsuite", counts)
    for verdict in verdicts:
        check = verdict.check
        case = ElementTree.SubElement(
            root,
            "testcase",
            classname=_chapter(verdict),
            name=check.name.partition(".")[2],
            file=check.url,
            time=f"{verdict.seconds:.3f}",
        )
        if verdict.complaint:
            failure = ElementTree.SubElement(case, "failure", message=verdict.complaint, type=check.level or "fact")
            failure.text = f"{check.sentence}\n{check.url}"
        elif verdict.skipped:
            ElementTree.SubElement(case, "skipped", message=verdict.skipped)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _mark(verdict: Judged) -> str:
    if verdict.complaint:
        return "[red]broken[/]"
    return "[yellow]skipped[/]" if verdict.skipped else "[green]holds[/]"


def _counts(verdicts: Sequence[Judged], *, skips: bool) -> list[str]:
    broken = sum(bool(verdict.complaint) for verdict in verdicts)
    skipped = sum(bool(verdict.skipped) for verdict in verdicts)
    counts = [str(len(verdicts)), str(len(verdicts) - broken - skipped), str(broken)]
    return [*counts, str(skipped)] if skips else counts


def _chapter(verdict: Judged) -> str:
    return verdict.check.name.partition(".")[0]
