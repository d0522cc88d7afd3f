"""`fhirstore worker` sweeps again and again until it is told to stop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from fhirstore.errors import ObjectNotFound
from fhirstore.format.keyspace import Keyspace
from fhirstore.objects import open_objects

_PATIENCE = 60.0  # seconds for a process to start and make a few passes on a busy machine


@pytest.mark.kill
async def test_a_worker_sweeps_again_and_again_and_ends_on_sigterm(tmp_path: Path) -> None:
    """An orphan event goes, the watermark moves with every pass, and SIGTERM ends the worker with 0."""
    location = f"file:{tmp_path}/data"
    objects = await open_objects(location)
    space = Keyspace.of_tenant("default")
    orphan = space.resource("Patient", "p").system_event(objects.now() - 60_000, 1, "PUT", "X" * 26)
    await objects.put(orphan, b"")
    command = [str(Path(sys.executable).with_name("fhirstore")), "worker", "--store", location, "--every", "0.2"]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE, env=dict(os.environ))
    watermarks: set[int] = set()
    try:
        async with asyncio.timeout(_PATIENCE):
            while len(watermarks) < 4:
                await asyncio.sleep(0.1)
                with suppress(ObjectNotFound):
                    state = json.loads((await objects.get(space.sweep_state)).body)
                    watermarks.add(state.get("watermark", 0))
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        with pytest.raises(ObjectNotFound):
            await objects.get(orphan)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await objects.aclose()
