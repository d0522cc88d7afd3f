"""`python -m tests.submit`: kill -9 at every single request of a submission's job (`test_crashes`); takes minutes."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path

from fhirstore.submit.submitters import MODES
from tests.submit import test_crashes as crashes


def main() -> None:
    """Raises AssertionError, naming the request, for the first death that leaves something else."""
    job = crashes.test_a_job_that_dies_at_any_request_leaves_what_one_that_lives_leaves
    for mode in MODES:
        _run(mode, partial(job, mode=mode, every=1))
    _run("undoing", partial(crashes.test_an_undoing_that_dies_at_any_request_undoes_everything_once, every=1))
    _run("stopping", partial(crashes.test_a_submission_stopped_in_the_middle_of_a_segment_is_undone, every=1))


def _run(name: str, test: Callable[[Path], Coroutine[None, None, None]]) -> None:
    with tempfile.TemporaryDirectory(prefix="fhirstore-submit-") as folder:
        asyncio.run(test(Path(folder)))
    sys.stdout.write(f"{name}: dead at every request, and nothing is different\n")


if __name__ == "__main__":
    main()
