"""Real processes: nothing acknowledged is lost by kill -9, and two servers on one store lose no update."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from conformance.s3servers import S3Server
from tests.server.processes import ServeProcess, run_command, served
from tests.server.serving import FHIR_JSON


@pytest.fixture(params=["embedded", "seaweedfs"])
def env(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The environment of a server on each durable store."""
    if request.param == "embedded":
        return {"FHIRSTORE_STORE": f"file:{tmp_path}/data"}
    server: S3Server = request.getfixturevalue("seaweedfs")
    return server.serving(server.location())


@pytest.mark.kill
async def test_nothing_acknowledged_is_lost_by_kill_9(env: dict[str, str]) -> None:
    """Writers run, the server is killed and started again, three times: every acknowledged version is there."""
    server = ServeProcess(env)
    acknowledged: dict[str, bytes] = {}
    enough = asyncio.Event()
    try:
        for round_ in range(3):
            server.start()
            async with httpx.AsyncClient(base_url=server.base_url, timeout=30) as client:
                writers = [
                    asyncio.create_task(_write_until_gone(client, f"r{round_}w{writer}", acknowledged))
                    for writer in range(8)
                ]
                enough.clear()
                asyncio.get_running_loop().call_later(random.uniform(0.2, 1.5), enough.set)
                await enough.wait()
                server.kill()
                await asyncio.gather(*writers)
        assert len(acknowledged) > 20
        server.start()
        async with httpx.AsyncClient(base_url=server.base_url, timeout=30) as client:
            for path, content in acknowledged.items():
                answer = await client.get(path)
                assert (answer.status_code, answer.content) == (200, content)
            # and what the killed writers left half done is in nobody's way
            for round_ in range(3):
                answer = await client.put(
                    f"/Patient/r{round_}w0",
                    content=b'{"resourceType":"Patient","id":"r%dw0"}' % round_,
                    headers=FHIR_JSON,
                )
                assert answer.status_code in (200, 201)
    finally:
        server.kill()


async def _write_until_gone(client: httpx.AsyncClient, id_: str, acknowledged: dict[str, bytes]) -> None:
    """Updates of one id and creates, in turn, until the server is gone; notes what was acknowledged."""
    try:
        for n in range(100_000):
            body = b'{"resourceType":"Patient","id":"%s","multipleBirthInteger":%d}' % (id_.encode(), n)
            if n % 2:
                answer = await client.put(f"/Patient/{id_}", content=body, headers=FHIR_JSON)
            else:
                answer = await client.post("/Patient", content=body, headers=FHIR_JSON)
            assert answer.status_code in (200, 201), answer.text
            acknowledged[httpx.URL(answer.headers["location"]).path.removeprefix("/fhir")] = answer.content
    except httpx.TransportError:
        return


@pytest.fixture
def pair(env: dict[str, str]) -> Iterator[tuple[ServeProcess, ServeProcess]]:
    """Two server processes on one store."""
    with served(env) as one, served(env) as other:
        yield one, other


@pytest.mark.kill
async def test_two_processes_lose_none_of_1000_conditional_updates(pair: tuple[ServeProcess, ServeProcess]) -> None:
    """1,000 concurrent read-and-increment with If-Match: the count is the number of acknowledged ones."""
    async with (
        httpx.AsyncClient(base_url=pair[0].base_url, timeout=300) as one,
        httpx.AsyncClient(base_url=pair[1].base_url, timeout=300) as other,
    ):
        body = b'{"resourceType":"Patient","id":"counter","multipleBirthInteger":0}'
        await one.put("/Patient/counter", content=body, headers=FHIR_JSON)
        enough = asyncio.Semaphore(64)

        async def increment(client: httpx.AsyncClient) -> int:
            async with enough:
                seen = await client.get("/Patient/counter")
                count = seen.json()["multipleBirthInteger"] + 1
                answer = await client.put(
                    "/Patient/counter",
                    content=b'{"resourceType":"Patient","id":"counter","multipleBirthInteger":%d}' % count,
                    headers={**FHIR_JSON, "If-Match": seen.headers["etag"]},
                )
            return answer.status_code

        statuses = await asyncio.gather(*[increment(one if n % 2 else other) for n in range(1000)])
        assert set(statuses) == {200, 412}
        wins = statuses.count(200)
        final = await one.get("/Patient/counter")
        assert final.json()["multipleBirthInteger"] == wins
        assert final.headers["etag"] == f'W/"{wins + 1}"'
        for version in range(1, wins + 2):
            answer = await other.get(f"/Patient/counter/_history/{version}")
            assert answer.json()["multipleBirthInteger"] == version - 1


@pytest.mark.kill
async def test_several_workers_serve_one_store(tmp_path: Path) -> None:
    """--workers: whatever process answers, it sees what the others wrote; SIGTERM ends them all."""
    with served({"FHIRSTORE_STORE": f"file:{tmp_path}/data"}, "--workers", "2") as server:
        for n in range(40):
            async with httpx.AsyncClient(base_url=server.base_url, timeout=30) as client:
                body = b'{"resourceType":"Patient","id":"b%d"}' % n
                assert (await client.put(f"/Patient/b{n}", content=body, headers=FHIR_JSON)).status_code == 201
            async with httpx.AsyncClient(base_url=server.base_url, timeout=30) as client:
                assert (await client.get(f"/Patient/b{n}")).status_code == 200
        assert server.stop() == 0


@pytest.mark.kill
async def test_workers_share_the_connections_and_nobody_else_their_port(tmp_path: Path) -> None:
    """The kernel spreads connections over the workers; a second server at their port is refused as ever."""
    with served({"FHIRSTORE_STORE": f"file:{tmp_path}/data"}, "--workers", "2") as server:
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(httpx.AsyncClient(base_url=server.base_url, timeout=30))
                for _ in range(40)
            ]
            answers = await asyncio.gather(*[client.get("/metadata") for client in clients])
        ids = [answer.headers["x-request-id"].rpartition("-")[0] for answer in answers]  # the process's, and a number
        assert len(set(ids)) == 2
        assert min(ids.count(one) for one in set(ids)) >= 3  # fewer of 40 happen once in 10^8 times
        second = run_command({"FHIRSTORE_STORE": "memory:", "PORT": str(urlsplit(server.base_url).port)}, "serve")
        assert (second.returncode, "cannot listen" in second.stderr) == (2, True)


@pytest.mark.slow
def test_20_mb_to_a_real_server_is_413_and_the_server_goes_on(tmp_path: Path) -> None:
    """The answer comes although the body was not read to its end, and the next request is served."""
    with served({"FHIRSTORE_STORE": f"file:{tmp_path}/data"}) as server:
        body = b'{"resourceType":"Patient","id":"p","x":"' + b"x" * 20_000_000 + b'"}'
        answer = httpx.put(f"{server.base_url}/Patient/p", content=body, headers=FHIR_JSON, timeout=60)
        assert answer.status_code == 413
        assert answer.json()["resourceType"] == "OperationOutcome"
        assert httpx.get(f"{server.base_url}/metadata").status_code == 200


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"FHIRSTORE_STORE": "ftp://x"}, "file:DIR"),
        (
            {"FHIRSTORE_STORE": "s3://bucket", "FHIRSTORE_S3_ENDPOINT_URL": "http://127.0.0.1:9"},
            "FHIRSTORE_S3_ALLOW_HTTP",
        ),
        ({"FHIRSTORE_TENANT_SOURCE": "cookie"}, "none, header, path"),
        ({"FHIRSTORE_TENANTS": "a,b"}, "FHIRSTORE_TENANT_SOURCE"),
        ({"FHIRSTORE_TENANCY": "bucket"}, "FHIRSTORE_TENANT_BUCKETS"),
        ({"FHIRSTORE_MAX_BODY_BYTES": "lots"}, "positive whole number"),
        ({"FHIRSTORE_STORE": "memory:", "HOST": "256.0.0.1", "FHIRSTORE_AUTH": "none"}, "cannot listen"),
    ],
)
@pytest.mark.slow
def test_a_server_that_cannot_start_says_why_in_one_line(env: dict[str, str], says: str) -> None:
    """Exit code 2 and one line on stderr that says what to do."""
    ended = run_command(env, "serve")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert says in ended.stderr


def test_an_unsafe_store_is_refused_unless_told_otherwise(rclone: S3Server) -> None:
    """rclone serve s3 ignores conditions: the server says so and does not start, but for a single writer."""
    env = rclone.serving(rclone.location())
    refused = run_command(env, "serve")
    assert refused.returncode == 2
    assert "--unsafe-single-writer" in refused.stderr
    with served(env, "--unsafe-single-writer") as server:
        body = b'{"resourceType":"Patient"}'
        made = httpx.post(f"{server.base_url}/Patient", content=body, headers=FHIR_JSON, timeout=30)
        assert made.status_code == 201
        assert httpx.get(made.headers["location"], timeout=30).content == made.content
