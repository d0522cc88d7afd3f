"""How `fhirstore serve` runs uvicorn. The benchmark's yardstick runs it as it comes (conformance/rates/empty.py).

Which ASGI server, and why, is in README (Performance).
"""

from __future__ import annotations

import uvicorn

from server.process.http_parser import BoundedHeadProtocol


def http_config(app: str, *, factory: bool = False, workers: int = 1) -> uvicorn.Config:
    """Options for `app`, named as `module:attribute`; `factory`: the attribute makes the app when called."""
    return uvicorn.Config(
        app,
        factory=factory,
        loop="uvloop",
        http=BoundedHeadProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # behind a proxy, FHIRSTORE_BASE_URL says what URLs to hand out
        workers=workers,
        timeout_graceful_shutdown=10,
    )
