"""The run of hostile requests finds nothing wrong in a real server, and would find what is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from conformance.hostile.requests import Place, hostile
from tests.conformance.serving import served as serving_app
from tests.server.processes import served

_COUNT = 400


def _run(url: str, *arguments: str) -> tuple[int, dict[str, object]]:
    command = [sys.executable, "-m", "conformance", "hostile", url, "--json", "--at-once", "16", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return done.returncode, told


def test_hostile_requests_leave_a_server_healthy(tmp_path: Path) -> None:
    """No 5xx but those that are meant, honest clients are served meanwhile and afterwards, memory stays bounded."""
    with served({"FHIRSTORE_STORE": f"file:{tmp_path}"}) as server:
        code, told = _run(server.base_url, "--count", str(_COUNT), "--seed", "11", "--pid", str(server.pid))
    assert told["wrong"] == []
    assert code == 0
    assert told["requests"] == _COUNT


def test_a_server_that_fails_is_found_out() -> None:
    """One that answers 500 to what it does not understand is told, with the number of the request and its seed."""

    async def fails(request: Request) -> Response:
        if request.url.path == "/health/ready" or "honest" in request.url.path:
            return JSONResponse({"multipleBirthInteger": 0})
        return Response(None, 500)

    app = Starlette()
    handler: Callable[[Request], Awaitable[Response]] = fails
    app.add_route("/{path:path}", handler, methods=["GET", "PUT", "POST", "DELETE", "PATCH"])
    with serving_app(app) as url:
        code, told = _run(f"{url}/fhir", "--count", "15")
    assert code == 1
    wrong = told["wrong"]
    assert isinstance(wrong, list)
    assert any("was answered 500" in sentence for sentence in wrong)
    assert "an honest read did not show the write before it" in wrong


def test_a_seed_and_a_number_are_a_request() -> None:
    """The same every time, so that what was found can be sent again; of 300 requests every shape is there."""
    place = Place("localhost", "/fhir")
    once = [hostile(1, number, place) for number in range(300)]
    assert once == [hostile(1, number, place) for number in range(300)]
    assert once != [hostile(2, number, place) for number in range(300)]
    assert len({one.shape for one in once}) == 12
