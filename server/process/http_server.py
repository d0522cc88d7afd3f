"""How `fhirstore serve` runs uvicorn; why uvicorn, and how it compares with its defaults, is in docs/performance.md."""

from __future__ import annotations

import math

import uvicorn
from starlette.types import ASGIApp

from server.process.connection import Connection
from server.process.connections import backlog
from server.process.ending import HANGS_AFTER
from server.process.tls_door import TlsDoor


def http_config(
    app: str | ASGIApp, *, factory: bool = False, workers: int = 1, stop_timeout: float = 5.0, tls: bool = False
) -> uvicorn.Config:
    """Returns uvicorn's options for `app`, or for `module:attribute`; `factory`: calling the attribute makes the app.

    `stop_timeout`: seconds that answers under way have when the server ends. `tls`: connections begin with a handshake.

    The app must put its `Connections` into the state of its lifespan, as "connections", and its `Tls` as "tls".
    """
    return uvicorn.Config(
        app,
        factory=factory,
        loop="uvloop",
        http=TlsDoor if tls else Connection,
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=False,  # uvicorn's may be a second old; server/http/response_headers.py adds it
        proxy_headers=False,  # `server.access.forwarded` reads them, from FHIRSTORE_TRUSTED_PROXIES alone
        workers=workers,
        backlog=backlog(),
        timeout_worker_healthcheck=math.ceil(HANGS_AFTER),  # that a new process has to start in, after SIGHUP
        timeout_graceful_shutdown=math.ceil(stop_timeout) + 1,  # after `Connections` has ended what is under way
    )
