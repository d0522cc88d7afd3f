"""The ASGI application, in one screen: routes from the table, errors to OperationOutcomes."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route as HttpRoute

from fhirstore import FhirStore
from fhirstore.errors import FhirStoreError
from server.endpoint import FHIR_PATH, Endpoint
from server.health import health_routes
from server.outcome import http_error, library_error, unexpected_error
from server.route import Handler
from server.routes import TABLE
from server.settings import Settings


def create_app(store: FhirStore, settings: Settings | None = None) -> Starlette:
    """The FHIR API of `store` below `/fhir` (or `/fhir/{tenant}`), and `/health/…`. The caller closes the store."""
    settings = settings or Settings()
    base = FHIR_PATH + ("/{tenant}" if settings.tenant_source == "path" else "")
    by_path: dict[str, dict[str, Handler]] = {}
    for route in TABLE:
        by_path.setdefault(route.path, {})[route.method] = route.handler
    app = Starlette(
        routes=[
            *(
                HttpRoute(base + path, Endpoint(handlers, store=store, settings=settings, table=TABLE))
                for path, handlers in _literal_first(by_path)
            ),
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


def _literal_first(by_path: dict[str, dict[str, Handler]]) -> list[tuple[str, dict[str, Handler]]]:
    """`/metadata` before `/{type}`, `/{type}/_history` before `/{type}/{id}`; otherwise the table's order."""

    def literals_last(item: tuple[str, dict[str, Handler]]) -> int:
        return -sum(not part.startswith("{") for part in item[0].split("/") if part)

    return sorted(by_path.items(), key=literals_last)
