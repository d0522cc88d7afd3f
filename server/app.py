"""The ASGI application: its parts, put together."""

from __future__ import annotations

import asyncio

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from fhirstore import FhirStore
from server.access.forwarded import ForwardedRequests
from server.documents.openapi import openapi_route
from server.http.api import FhirApi
from server.http.deadlines import Deadlines
from server.http.health import health_routes
from server.http.outcome import http_error
from server.http.response_headers import EXPOSED, Completed
from server.observing.observed_app import ObservedApp
from server.observing.observers import Observers
from server.routes import TABLE
from server.settings import Settings


def create_app(
    store: FhirStore,
    settings: Settings | None = None,
    *,
    deadlines: Deadlines | None = None,
    ending: asyncio.Event | None = None,
    observers: Observers | None = None,
) -> ASGIApp:
    """Returns the app: FHIR below `/fhir` (or `/fhir/{tenant}`), and `/health/…`. The caller must close `store`.

    `deadlines`: of its requests, for a caller that wants to know how many there are. `ending`: set when the process
    ends. `observers`: watch its requests.

    The API is called before Starlette's middleware and router, which other paths pass. Benchmark: reads, see
    docs/performance.md.
    """
    settings = settings or Settings()
    own = [*health_routes(store, ending), openapi_route(TABLE, settings, store.definitions)]
    others = Starlette(
        routes=own,
        exception_handlers={HTTPException: http_error, Exception: http_error},
    )
    others.router.redirect_slashes = False
    api: ASGIApp = FhirApi(
        Completed(others, settings), store=store, settings=settings, table=TABLE, deadlines=deadlines
    )
    if observers is not None and observers.any:
        api = ObservedApp(
            api,
            observers,
            table=TABLE,
            settings=settings,
            definitions=store.definitions,
            other_paths=[route.path for route in own],
        )
    app = _with_cors(api, settings) if settings.cors_origins else api
    return ForwardedRequests(app, settings.trusted_proxies) if settings.trusted_proxies else app


def _with_cors(app: ASGIApp, settings: Settings) -> ASGIApp:
    """Wraps the app: web pages of other origins may use it (https://hl7.org/fhir/R4/security.html#cors)."""
    cors = CORSMiddleware(
        app,
        allow_origins=settings.cors_origins,
        allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=("*",),
        expose_headers=EXPOSED,
    )
    return Completed(cors, settings)
