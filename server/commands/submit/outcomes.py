"""The OperationOutcomes of a submission: read line by line, as many as are shown or must be counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping

from server.commands.outcomes import Issue, Outcome, outcome_in
from server.commands.submit.summary import SubmitSummary

SEVERITIES = ("fatal", "error", "warning", "information", "success")
_LONGEST_LINE = 1 << 20  # bytes
_MOST_BYTES = 1 << 30  # of a file that must be counted
_UNREADABLE = Issue("error", "structure", "A line of the outcomes is no OperationOutcome")


async def read_outcomes(
    summary: SubmitSummary, chunks: AsyncIterator[bytes], *, told: Mapping[str, int] | None
) -> None:
    """Adds a file to the summary. `told`: OperationOutcomes by severity as the server counted them, None: it did not.

    What is told is not read beyond what is shown. Holds a line and a chunk in memory; lines that are too long count as
    unreadable. Stops after 1 GiB and notes that in the summary.
    """
    counted: Counter[str] = Counter()
    size = 0
    async for line in _lines(chunks):
        size += len(line) + 1
        outcome = outcome_in(line) or Outcome([_UNREADABLE])
        counted[_gravest(outcome)] += 1
        for issue in outcome.issue:
            summary.show(issue)
        if told is not None and summary.is_full(told):
            break
        if size > _MOST_BYTES:
            summary.stopped = "The server's outcomes are more than 1 GiB; those after it were not counted"
            break
    summary.severities.update(counted if told is None else told)


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yields lines that are not blank; a longer one than the limit as far as that."""
    held, skipping = b"", False
    async for chunk in chunks:
        *whole, rest = (held + chunk).split(b"\n")
        for number, line in enumerate(whole):
            if line.strip() and not (skipping and number == 0):
                yield line
            skipping = skipping and number > 0
        held = rest
        if len(held) > _LONGEST_LINE:
            if not skipping:
                yield held
            held, skipping = b"", True
    if held.strip() and not skipping:
        yield held


def _gravest(outcome: Outcome) -> str:
    found = {issue.severity for issue in outcome.issue}
    return next((one for one in SEVERITIES if one in found), "information")
