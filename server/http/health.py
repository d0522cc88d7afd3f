"""The probes of an orchestrator. /health/live: the process answers; /health/ready: it can reach its store and stays.

The latter also tells how the search indexes are: whether they are ready, their lag in seconds, versions that wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fhirstore import FhirStore, IndexStatus
from fhirstore.errors import FhirStoreError, StoreFull, Unavailable

_PATIENCE = 5.0  # seconds that the store has to answer


def health_routes(store: FhirStore, ending: asyncio.Event | None = None) -> list[Route]:
    """Returns the routes of the two probes. They need no tenant and are not FHIR.

    `ending`: set when the process ends; it is not ready any more while it still answers.
    """

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> Response:
        if ending is not None and ending.is_set():
            return _not_ready("the server is being stopped")
        try:
            async with asyncio.timeout(_PATIENCE):
                await store.check()
        except StoreFull as full:
            return _not_ready(f"the object store takes no more: {full.detail}")
        except TimeoutError:
            return _not_ready(f"the object store does not answer within {_PATIENCE:.0f} s")
        except Unavailable as nobody_served:
            return _not_ready(str(nobody_served))
        except FhirStoreError:
            return _not_ready("the object store does not answer as it should")
        return JSONResponse({"status": "ready"} | _of_indexes(store.indexes))

    def _not_ready(why: str) -> Response:
        return JSONResponse({"status": why}, 503)

    return [Route("/health/live", live), Route("/health/ready", ready)]


def _of_indexes(indexes: Sequence[IndexStatus]) -> dict[str, object]:
    """Returns how the search indexes are that this process looks after, together. They do not make it unready: what
    needs no index is answered.
    """
    if not indexes:
        return {}
    lag = max([one.lag for one in indexes if one.leads and one.lag is not None], default=0.0)
    queued = sum(one.queued for one in indexes)
    state = "not ready" if any(one.is_hindered for one in indexes) else "ready"
    return {"index": {"status": state, "lag": round(lag, 3), "queued": queued}}
