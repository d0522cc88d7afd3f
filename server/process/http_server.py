"""How `fhirstore serve` runs uvicorn. The benchmark's yardstick runs it as it comes (conformance/rates/empty.py).

Which ASGI server, and why, is in README (Performance).
"""

from __future__ import annotations

import math

import uvicorn
from starlette.types import ASGIApp

from server.process.connection import Connection
from server.process.connections import backlog
from server.process.ending import ANSWERED_IN


def http_config(app: str | ASGIApp, *, factory: bool = False, workers: int = 1) -> uvicorn.Config:
    """Options for `app`, or for what `module:attribute` names; `factory`: the attribute makes the app when called.

    The app puts its `Connections` into the state of its lifespan, as "connections".
    """
    return uvicorn.Config(
        app,
        factory=factory,
        loop="uvloop",
        http=Connection,
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=False,  # uvicorn's is up to a second old: the app says it, see server/http/response_headers.py
        proxy_headers=False,  # `server.access.forwarded` reads them, where FHIRSTORE_TRUSTED_PROXIES says so
        workers=workers,
        backlog=backlog(),
        timeout_graceful_shutdown=math.ceil(ANSWERED_IN) + 1,  # `Connections` ends what is under way before that
    )
