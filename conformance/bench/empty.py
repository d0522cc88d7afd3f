"""The yardstick: the least that Starlette can do on the same ASGI server. One route, one constant answer.

`POST /` reads the body first, as every create must.
"""

from __future__ import annotations

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
