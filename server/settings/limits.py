"""Settings: what a server process takes and holds at once, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from server.settings import values
from server.settings.setting import setting


@dataclass(frozen=True)
class Limits:
    """What a server process takes and holds at once, and for how long."""

    max_body: int = setting(
        "FHIRSTORE_MAX_BODY_BYTES", values.positive, 16 * 1024 * 1024, "The largest request body, in bytes."
    )
    request_timeout: float = setting(
        "FHIRSTORE_REQUEST_TIMEOUT",
        values.seconds,
        30.0,
        "Seconds after which a request that has no answer yet is answered 504; the time in which the body arrives does "
        "not count.",
    )
    max_connections: int | None = setting(
        "FHIRSTORE_MAX_CONNECTIONS",
        values.positive,
        None,
        "The most connections of a server process. One more takes the place of the one that has been idle for longest, "
        "or is answered 503.",
        unset="what `ulimit -n` allows, less a quarter or 64; 10,000 at most",
    )
    max_in_flight_bytes: int | None = setting(
        "FHIRSTORE_MAX_IN_FLIGHT_BYTES",
        values.positive,
        None,
        "The bytes of request bodies and answers that a server process holds at once, at least twice "
        "`FHIRSTORE_MAX_BODY_BYTES`; beyond it 503.",
        unset="256 MiB, or four times `FHIRSTORE_MAX_BODY_BYTES` if that is more",
    )
    max_concurrent_requests: int = setting(
        "FHIRSTORE_MAX_CONCURRENT_REQUESTS",
        values.positive,
        64,
        "The requests that a server process of several tenants works on at once; beyond it the tenants take turns.",
    )
    io_timeout: float = setting(
        "FHIRSTORE_IO_TIMEOUT",
        values.seconds,
        20.0,
        "Seconds that a client may take for the head of a request, and for as many KiB of a body or of an answer.",
    )
    keep_alive: float = setting(
        "FHIRSTORE_KEEP_ALIVE", values.seconds, 75.0, "Seconds that a connection may be idle between two requests."
    )
    drain: float = setting(
        "FHIRSTORE_DRAIN_SECONDS",
        values.seconds_or_none,
        0.0,
        "Seconds after SIGTERM in which a server still takes requests while `/health/ready` answers 503, so that load "
        "balancers turn away from it first.",
    )
    stop_timeout: float = setting(
        "FHIRSTORE_STOP_TIMEOUT",
        values.seconds,
        5.0,
        "Seconds that answers under way have when a server ends; it has ended 4 s later at the latest.",
    )

    @property
    def max_in_flight(self) -> int:
        """Bytes of request bodies and answers that a server process holds at once."""
        return self.max_in_flight_bytes or max(256 * 1024 * 1024, 4 * self.max_body)
