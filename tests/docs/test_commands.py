"""docs/commands.md has what the commands themselves say."""

from __future__ import annotations

from server.cli import app
from server.commands.reference import as_markdown
from tests.docs.pages import ROOT


def test_the_reference_of_the_commands_is_current() -> None:
    """It ends with what `fhirstore commands` prints, a section for each command that is not hidden."""
    printed = as_markdown(app)
    page = (ROOT / "docs" / "commands.md").read_text()
    assert page.endswith(printed), "replace the end of docs/commands.md by the output of: fhirstore commands"
    for name in ("serve", "stats", "jobs ls", "tenant remove", "config show", "bucket create"):
        assert f"\n## fhirstore {name}\n" in page
    assert "--help" not in printed


def test_every_command_has_a_sentence_and_every_option_a_meaning() -> None:
    """No section is empty, and no row of a table has an empty last cell."""
    sections = as_markdown(app).split("## fhirstore ")[1:]
    assert all(section.split("\n\n")[1][0].isupper() for section in sections)
    rows = [line for line in as_markdown(app).splitlines() if line.startswith("| `")]
    assert [row for row in rows if row.endswith("|  |")] == []
