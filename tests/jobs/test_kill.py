"""A job survives kill -9 of its workers, on a directory and on S3; a SIGTERM hands it to another one at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from conformance.s3servers import S3Server
from fhirstore import FhirStore, S3Options
from tests.jobs.working import Steps, ended, keys_of, working

_PATIENCE = 60.0


@asynccontextmanager
async def _worker(location: str) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.jobs.worker_process", location, stdout=PIPE, env=dict(os.environ)
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _line(process: Process) -> tuple[int, int]:
    assert process.stdout is not None
    epoch, step = (await asyncio.wait_for(process.stdout.readline(), _PATIENCE)).split()
    return int(epoch), int(step)


@pytest.mark.kill
async def test_a_job_survives_its_workers(tmp_path: Path) -> None:
    """Each new worker goes on at the last checkpoint with the next epoch; the job completes once, with its files."""
    location = f"file:{tmp_path / 'data'}"
    async with FhirStore.open(location) as store:
        clinic = store.tenant("default")
        job = await clinic.jobs.create("steps", {"steps": 8})
        begun = []
        for signal_ in (signal.SIGKILL, signal.SIGTERM):
            async with _worker(location) as process:
                begun.append(await _line(process))
                await _line(process)
                process.send_signal(signal_)
                await asyncio.wait_for(process.wait(), _PATIENCE)
        state = (await clinic.jobs.get(job.id)).state
        assert (state.status, state.owner) == ("waiting", None)  # handed back
        async with working(store, Steps()):
            job = await ended(clinic, job)
        assert [epoch for epoch, _ in begun] == [1, 2]
        assert begun[1][1] > 0
        assert (job.status, job.state.epoch, job.work) == ("completed", 3, {"done": 8, "expires_at": job.expires_at})
        assert [file.name for file in await clinic.jobs.files(job)] == [f"part.{n}" for n in range(8)]


async def test_jobs_run_on_s3(ministack: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Creation, run, log, files and removal over HTTP; nothing is left but what waits for late requests."""
    ministack.use(monkeypatch)
    options = S3Options(endpoint_url=ministack.endpoint_url, allow_http=True)
    async with FhirStore.open(ministack.location(), s3=options) as store:
        clinic = store.tenant("default")
        async with working(store, Steps()):
            job = await ended(clinic, await clinic.jobs.create("steps", {"steps": 2}))
        files = await clinic.jobs.files(job)
        assert len(files) == 2
        url = await clinic.jobs.signed_url(files[0])
        assert url is not None
        async with httpx.AsyncClient() as client:
            assert (await client.get(url)).content == b"line\n"
        assert [line["event"] async for line in clinic.jobs.log(job)] == ["begin", "step", "step", "completed"]
        await clinic.jobs.remove(job.id)
        (objects,) = store.tenancy.stores
        assert [key for key in await keys_of(objects) if "/queue/" not in key] == [job.keys.state]
