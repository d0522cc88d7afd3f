"""Whoever asks for the same If-None-Exist at the same time, in whatever process: one resource is made.

`FHIRSTORE_RACES=50` races fifty times instead of three.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from conformance.s3servers import S3Server
from tests.server.processes import ServeProcess
from tests.server.serving import FHIR_JSON

PROCESSES, CLIENTS = 3, 100
RACES = int(os.environ.get("FHIRSTORE_RACES", "3"))
SYSTEM = "http://example.org/race"


@pytest.fixture(params=["embedded", "seaweedfs"])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[ServeProcess]]:
    """Three servers on one store."""
    if request.param == "embedded":
        env = {"FHIRSTORE_STORE": f"file:{tmp_path}/data"}
    else:
        s3: S3Server = request.getfixturevalue("seaweedfs")
        env = s3.serving(s3.location())
    with ExitStack() as stack:
        started = []
        for _ in range(PROCESSES):
            server = ServeProcess(env)
            server.start()
            stack.callback(server.kill)
            started.append(server)
        yield started


@pytest.mark.kill
async def test_a_hundred_conditional_creates_from_three_processes_make_one(servers: list[ServeProcess]) -> None:
    """Each time one of the hundred is answered 201, the others 200 with the same id, and a search finds one."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=CLIENTS)
    async with httpx.AsyncClient(timeout=120, limits=limits) as client:
        for _ in range(RACES):
            value = str(uuid4())
            body = {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": value}]}
            headers = {**FHIR_JSON, "If-None-Exist": f"identifier={SYSTEM}|{value}"}
            answers = await asyncio.gather(
                *(
                    client.post(f"{servers[number % PROCESSES].base_url}/Patient", json=body, headers=headers)
                    for number in range(CLIENTS)
                )
            )
            assert sorted(answer.status_code for answer in answers) == [200] * (CLIENTS - 1) + [201]
            assert len({answer.json()["id"] for answer in answers}) == 1
            found = await client.get(f"{servers[0].base_url}/Patient", params={"identifier": f"{SYSTEM}|{value}"})
            assert len(found.json()["entry"]) == 1
