"""Long commands tell their rate and the time left from what was done lately."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from server.commands.export.command import _lines as export_lines
from server.commands.export.progress import Progress as ExportProgress
from server.commands.pace import Pace, time_left
from server.commands.submit.command import _lines as submit_lines
from server.commands.submit.progress import Progress as SubmitProgress


@dataclass
class Watch:
    """Seconds that a test lets pass."""

    seconds: float = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_rate_and_time_left_are_those_of_the_last_half_minute() -> None:
    """A command that slows down tells so; one that stands still has no rate."""
    watch = Watch()
    pace = Pace(watch)
    assert (pace.rate, pace.left(10)) == (0.0, None)
    for second in range(100):
        watch.seconds += 1
        pace.at(10e6 * (second + 1))
    assert pace.rate == pytest.approx(10e6, rel=0.05)
    assert pace.megabytes(2_200e6) == "10.0 MB/s, 2 min left"
    for _ in range(40):
        watch.seconds += 1
        pace.at(1000e6 + 1)
    assert pace.rate < 1
    watch.seconds += 100
    assert pace.rate < 0.5


def test_many_reports_keep_few_samples() -> None:
    """A command may report each resource; memory does not grow with them, and the rate is right."""
    watch = Watch()
    pace = Pace(watch)
    for number in range(100_000):
        watch.seconds += 0.001
        pace.at(number)
    assert len(pace._samples) < 100
    assert pace.rate == pytest.approx(1_000, rel=0.05)
    assert pace.count("resources", 160_000) == "1,000 resources/s, 1 min left"


def test_a_count_that_begins_anew_has_no_negative_rate() -> None:
    """The next phase starts at 0."""
    watch = Watch()
    pace = Pace(watch)
    for done in (0, 50, 100, 0, 5):
        watch.seconds += 1
        pace.at(done)
    assert pace.rate == 5


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.4, "0 s left"), (59, "59 s left"), (125, "2 min left"), (7_500, "2 h 5 min left")]
)
def test_time_left_is_told_in_words(seconds: float, told: str) -> None:
    """Seconds, minutes, hours."""
    assert time_left(seconds) == told


async def test_lines_of_submissions_and_exports_have_rate_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    """A log shows how long it will take, too."""
    async with submit_lines(0.05) as show:
        for read in range(0, 60, 10):
            show(SubmitProgress("", read * 1_000_000, 100_000_000))
            await asyncio.sleep(0.02)
    told = capsys.readouterr().err
    assert " MB/s, " in told
    assert " left" in told
    async with export_lines(0.05) as show_export:
        progress = ExportProgress(downloading=True)
        progress.row("Patient").files = 10
        for whole in range(6):
            progress.row("Patient").whole = whole
            progress.row("Patient").bytes = whole * 1_000_000
            show_export(progress)
            await asyncio.sleep(0.02)
    told = capsys.readouterr().err
    assert " of 10 files" in told
    assert " MB/s, " in told
