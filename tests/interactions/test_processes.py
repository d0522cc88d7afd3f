"""Several processes create on one condition at the same moment: one of them does."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from conformance.s3servers import S3Server

_PROCESSES, _AT_ONCE = 3, 34


async def _race(location: str, *endpoint: str, rounds: int, environment: Mapping[str, str] | None = None) -> None:
    children = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.interactions.conditional_child", location, str(_AT_ONCE), *endpoint),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **(environment or {})},
        )
        for _ in range(_PROCESSES)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert await child.stdout.readline() == b"ready\n"
        for number in range(rounds):
            for child in children:
                assert child.stdin is not None
                child.stdin.write(f"v{number}\n".encode())
            answers: list[list[object]] = []
            for child in children:
                assert child.stdout is not None
                answers += json.loads(await child.stdout.readline())
            assert len({id_ for id_, _ in answers}) == 1
            assert sum(bool(created) for _, created in answers) == 1
            assert len(answers) == _PROCESSES * _AT_ONCE
    finally:
        for child in children:
            child.kill()
            await child.wait()


@pytest.mark.kill
async def test_three_processes_create_one_patient(tmp_path: Path) -> None:
    """102 identical conditional creates from 3 processes: one says created, all name the same id; over and over."""
    await _race(f"file:{tmp_path}/data", rounds=50)


@pytest.mark.kill
async def test_three_processes_create_one_patient_on_s3(seaweedfs: S3Server) -> None:
    """The same on an S3 server."""
    assert seaweedfs.endpoint_url is not None
    await _race(seaweedfs.location(), seaweedfs.endpoint_url, rounds=5, environment=seaweedfs.environment())
