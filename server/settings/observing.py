"""Settings: metrics, logs and traces."""

from __future__ import annotations

from dataclasses import dataclass

from server.settings import values
from server.settings.setting import setting

LOGS = ("off", "text", "json")
LOGGED_IDS = ("hashed", "omitted", "plain")


@dataclass(frozen=True)
class Observing:
    """Metrics, logs and traces."""

    metrics: tuple[str, int] | None = setting(
        "FHIRSTORE_METRICS",
        values.listening,
        None,
        "Where `GET /metrics` answers Prometheus: a port of `127.0.0.1`, `HOST:PORT`, or `off`. Whoever reaches it can "
        "read them, so it is never the address of the API.",
        unset="`off`",
    )
    metrics_tenants: int = setting(
        "FHIRSTORE_METRICS_TENANTS",
        values.count,
        0,
        "How many tenants have their requests counted under their own id; those of all others are counted together. "
        "0: the ids of tenants are no labels.",
    )
    access_log: str = setting(
        "FHIRSTORE_ACCESS_LOG",
        values.choice(*LOGS),
        "off",
        "Write a line for each request to standard output: `text`, `json` or `off`.",
    )
    access_log_ids: str = setting(
        "FHIRSTORE_ACCESS_LOG_IDS",
        values.choice(*LOGGED_IDS),
        "hashed",
        "Resource ids and search criteria in these lines: `hashed` with a key, `omitted`, or `plain`, which may be "
        "data of patients.",
    )
    access_log_key: str | None = setting(
        "FHIRSTORE_ACCESS_LOG_KEY",
        values.secret,
        None,
        "The secret key of these hashes, 16 characters or more; with the same key, equal ids have equal hashes "
        "everywhere.",
        unset="a new one at each start",
    )
    traces: str | None = setting(
        "FHIRSTORE_TRACES",
        values.endpoint_url,
        None,
        "The URL of an OpenTelemetry collector (OTLP over HTTP) that gets a span for each request and storage "
        "request; needs the extra `traces`.",
        unset="none",
    )
