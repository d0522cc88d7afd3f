"""`fhirstore submit` as a process that is killed, or told to end, in the middle."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from fhirstore import TenantStore
from fhirstore.errors import Gone, NotFound
from server.process.deployment import open_store
from server.settings import Settings
from tests.submit.fetching.serving import Provider, serving

pytestmark = pytest.mark.kill

_LINES, _BEFORE = 1_600, 1_300  # the first segment is written, and the file is not at its end
_PATIENCE = 90.0


@asynccontextmanager
async def providing(gate: asyncio.Event) -> AsyncIterator[Provider]:
    """A provider that sends most of its file, and the rest when the gate is open."""
    lines = [json.dumps({"resourceType": "Patient", "id": f"p{n}"}).encode() + b"\n" for n in range(_LINES)]
    lines[5] = b'{"resourceType":"Patient"}\n'

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"".join(lines[:_BEFORE]))
        await gate.wait()
        await response.write(b"".join(lines[_BEFORE:]))
        return response

    async with serving(answer) as provider:
        yield provider


async def begun(store: str, *arguments: str) -> Process:
    command = [str(Path(sys.executable).with_name("fhirstore")), "submit", "--json", "--store", store, *arguments]
    return await asyncio.create_subprocess_exec(*command, env={**os.environ}, stdout=PIPE, stderr=PIPE)


async def ended(process: Process) -> dict[str, object]:
    async with asyncio.timeout(_PATIENCE):
        output, errors = await process.communicate()
    assert output, errors.decode()
    told: dict[str, object] = json.loads(output)
    return told


async def has(clinic: TenantStore, id: str) -> None:
    """Returns once a resource is there."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            try:
                await clinic.read("Patient", id)
            except NotFound:
                await asyncio.sleep(0.1)
            else:
                return


async def test_a_command_that_is_killed_is_gone_on_with_by_the_same_command(tmp_path: Path) -> None:
    """No line is lost and none is written twice; afterwards it begins anew."""
    gate, location = asyncio.Event(), f"file:{tmp_path / 'store'}"
    async with open_store(Settings(store=location), create=True) as store, providing(gate) as provider:
        clinic, url = store.tenant("default"), provider.url("/Patient.ndjson")
        first = await begun(location, url)
        await has(clinic, "p900")
        first.kill()
        await first.communicate()
        gate.set()
        second = await begun(location, url)
        told = await ended(second)
        assert second.returncode == 1 and told["status"] == "complete" and told["resumed"] is True
        assert told["accepted"] == _LINES - 1 and told["severities"] == {"error": 1, "information": 1}
        numbers = {(await clinic.read("Patient", f"p{n}")).version_id for n in range(_LINES) if n != 5}
        assert numbers == {1}
        third = await begun(location, url, "--mode", "skip-unchanged")
        again = await ended(third)
        assert again["resumed"] is False and again["counts"]["unchanged"] == _LINES - 1  # type: ignore[index]


async def test_a_command_that_is_interrupted_says_how_to_go_on_and_can_be_taken_back(tmp_path: Path) -> None:
    """SIGINT: 130, and with --stop nothing of it is left."""
    gate, location = asyncio.Event(), f"file:{tmp_path / 'store'}"
    async with open_store(Settings(store=location), create=True) as store, providing(gate) as provider:
        clinic, url = store.tenant("default"), provider.url("/Patient.ndjson")
        first = await begun(location, url)
        await has(clinic, "p900")
        first.send_signal(signal.SIGINT)
        told = await ended(first)
        assert first.returncode == 130 and told["status"] == "interrupted" and "--stop" in str(told["again"])
        second = await begun(location, url, "--stop")
        undone = await ended(second)
        assert second.returncode == 0 and undone["status"] == "undone"
        for id in ("p0", "p900"):
            with pytest.raises((Gone, NotFound)):
                await clinic.read("Patient", id)
