"""The ASGI application, in one screen: routes from the table, errors to OperationOutcomes."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route as HttpRoute

from fhirstore import FhirStore
from fhirstore.errors import FhirStoreError
from server.api import FhirApi
from server.call import FHIR_PATH
from server.health import health_routes
from server.outcome import http_error, library_error, unexpected_error
from server.routes import TABLE
from server.settings import Settings


def create_app(store: FhirStore, settings: Settings | None = None) -> Starlette:
    """The FHIR API of `store` below `/fhir` (or `/fhir/{tenant}`), and `/health/…`. The caller closes the store."""
    settings = settings or Settings()
    api = FhirApi(store, settings, TABLE)
    app = Starlette(
        routes=[
            HttpRoute(FHIR_PATH + "/{path:path}", api),
            HttpRoute(FHIR_PATH, api),
            *health_routes(store),
        ],
        exception_handlers={
            FhirStoreError: library_error,
            HTTPException: http_error,
            Exception: unexpected_error,
        },
    )
    app.router.redirect_slashes = False
    return app
