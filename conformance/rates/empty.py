"""The yardstick: the least that Starlette can do on the same ASGI server. One route, one constant answer.

`POST /` reads the body first, as every create must. `python -m conformance.rates.empty PORT` serves it on 127.0.0.1
with uvicorn as it comes, on uvloop and httptools: what anybody gets who writes an app for it. What `fhirstore serve`
does to uvicorn beyond that (server/http_parser.py) counts as ours, for better or worse.
"""

from __future__ import annotations

import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

ANSWER = b'{"resourceType":"Basic"}'


async def get(request: Request) -> Response:
    """Answer at once."""
    return Response(ANSWER, media_type="application/fhir+json")


async def post(request: Request) -> Response:
    """Read the body, drop it, answer."""
    await request.body()
    return Response(ANSWER, media_type="application/fhir+json")


app = Starlette(routes=[Route("/", get, methods=["GET"]), Route("/", post, methods=["POST"])])


def main(port: int) -> None:
    """Serve until told to stop."""
    with socket.create_server(("127.0.0.1", port), backlog=2048) as listener:
        config = uvicorn.Config(app, loop="uvloop", http="httptools", ws="none", access_log=False, log_level="warning")
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(int(sys.argv[1]))
