"""/health/live: the process answers. /health/ready: it can reach its store."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fhirstore import FhirStore
from fhirstore.errors import FhirStoreError

_PATIENCE = 5.0  # seconds until a store that does not answer counts as away


def health_routes(store: FhirStore) -> list[Route]:
    """The two probes, for orchestrators; no tenant, no FHIR."""

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> Response:
        try:
            async with asyncio.timeout(_PATIENCE):
                await store.check()
        except (FhirStoreError, TimeoutError):
            return JSONResponse({"status": "the object store does not answer as it should"}, 503)
        return JSONResponse({"status": "ready"})

    return [Route("/health/live", live), Route("/health/ready", ready)]
