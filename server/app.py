"""The ASGI application, in one screen: routes from the table, errors to OperationOutcomes."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from fhirstore import FhirStore
from server.api import FhirApi
from server.health import health_routes
from server.openapi import openapi_route
from server.outcome import http_error
from server.response_headers import EXPOSED
from server.routes import TABLE
from server.settings import Settings


def create_app(store: FhirStore, settings: Settings | None = None) -> Starlette:
    """The FHIR API of `store` below `/fhir` (or `/fhir/{tenant}`), and `/health/…`. The caller closes the store."""
    settings = settings or Settings()
    middleware = [Middleware(FhirApi, store=store, settings=settings, table=TABLE)]
    if settings.cors_origins:
        middleware.insert(0, _cors(settings))
    app = Starlette(
        routes=[*health_routes(store), openapi_route(TABLE, settings, store.release)],
        middleware=middleware,
        exception_handlers={HTTPException: http_error, Exception: http_error},
    )
    app.router.redirect_slashes = False
    return app


def _cors(settings: Settings) -> Middleware:
    """Lets web pages of other origins use the API (https://hl7.org/fhir/R4/security.html#cors)."""
    return Middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=("*",),
        expose_headers=EXPOSED,
    )
