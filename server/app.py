"""The ASGI application, in one screen: routes from the table, errors to OperationOutcomes."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from fhirstore import FhirStore
from server.api import FhirApi
from server.health import health_routes
from server.outcome import http_error
from server.routes import TABLE
from server.settings import Settings


def create_app(store: FhirStore, settings: Settings | None = None) -> Starlette:
    """The FHIR API of `store` below `/fhir` (or `/fhir/{tenant}`), and `/health/…`. The caller closes the store."""
    app = Starlette(
        routes=health_routes(store),
        middleware=[Middleware(FhirApi, store=store, settings=settings or Settings(), table=TABLE)],
        exception_handlers={HTTPException: http_error, Exception: http_error},
    )
    app.router.redirect_slashes = False
    return app
