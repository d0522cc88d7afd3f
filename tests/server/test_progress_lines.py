"""Long commands say how far they are where there is no terminal."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

import server.commands.fsck
from fhirstore import FhirStore
from server.cli import app
from server.commands.progress_lines import ProgressLines


def test_a_line_is_printed_when_it_is_due_and_never_for_0(capsys: pytest.CaptureFixture[str]) -> None:
    """What the function says then, on standard error alone."""
    for every, told in ((1e-9, "fhirstore: 7 done\n"), (3600.0, ""), (0.0, "")):
        ProgressLines(lambda: "7 done", every=every).poll()
        assert capsys.readouterr() == ("", told)


def test_fsck_says_how_far_it_is_without_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tenant, phase and counts, on standard error; the findings stay alone on standard output."""

    async def fill() -> None:
        async with FhirStore.open(f"file:{tmp_path}") as store:
            for _ in range(3):
                await store.tenant("default").create({"resourceType": "Patient"})

    asyncio.run(fill())
    monkeypatch.setattr(server.commands.fsck, "ProgressLines", partial(ProgressLines, every=1e-9))
    result = CliRunner().invoke(app, ["fsck", "--store", f"file:{tmp_path}"])
    assert "fhirstore: default: " in result.stderr
    assert " done, 0 findings" in result.stderr
    assert result.stdout.startswith("default: 3 resources")
