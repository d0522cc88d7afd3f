"""The yardstick: the least that Starlette can do on the same ASGI server. One route, one constant answer.

`POST /` reads the body first, as every create must. `python -m conformance.bench.empty PORT` serves it on 127.0.0.1
with the very options of `fhirstore serve`.
"""

from __future__ import annotations

import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.http_server import http_config

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
        uvicorn.Server(http_config("conformance.bench.empty:app")).run(sockets=[listener])


if __name__ == "__main__":
    main(int(sys.argv[1]))
