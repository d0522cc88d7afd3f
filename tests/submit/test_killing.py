"""Workers of a submission are killed with SIGKILL: exact counts, exact outcomes, exact data, and all can be undone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.submit.killing import run


@pytest.mark.kill
@pytest.mark.slow
async def test_killed_workers_leave_no_trace(tmp_path: Path) -> None:
    """One in the middle of the lines, and the data is what the files say; then it is stopped, and nothing is left.

    With 100,000 lines, and on SeaweedFS: `python -m tests.submit.killing`.
    """
    _, told = await run(f"file:{tmp_path}/data", lines=400, kills=1, seed=1, segment=25, undo=True)
    assert "1 kills" in told and "nothing is left" in told
