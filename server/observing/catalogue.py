"""Every metric that there is: its name, kind, labels and meaning. What counts, what is rendered and docs agree with it.

No label holds an id, a criterion, a path or anything else that a client sends: the number of series is bounded by the
route table, the statuses, the verbs and outcomes of the store, and the kinds of jobs. Names:
https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LONG = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
_LAG = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_SIZES = (0.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 2.0**20, 2.0**23, 2.0**26, 2.0**30, 2.0**33)


class Kind(Enum):
    """The kind of a metric, as Prometheus has it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Together(Enum):
    """What the values of several processes are together. Those of a counter and a histogram are added, always."""

    ADDED = "added"
    HIGHEST = "highest"  # each process says what it sees of the same thing


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric. `bounds`: of a histogram's buckets. `lives`: its values end with the process that has them."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    together: Together = Together.ADDED
    lives: bool = False


def _histogram(name: str, meaning: str, *labels: str, bounds: tuple[float, ...] = _FAST) -> Metric:
    return Metric(name, Kind.HISTOGRAM, meaning, labels, bounds)


def _counter(name: str, meaning: str, *labels: str, lives: bool = False) -> Metric:
    return Metric(name, Kind.COUNTER, meaning, labels, lives=lives)


def _gauge(name: str, meaning: str, *labels: str, together: Together = Together.ADDED) -> Metric:
    return Metric(name, Kind.GAUGE, meaning, labels, together=together, lives=True)


INTERACTIONS = _histogram(
    "fhirstore_interaction_seconds",
    "From the head of a request to the end of its answer, by FHIR interaction or operation and HTTP status; status "
    "closed: the client went away before.",
    "interaction",
    "status",
)
REQUESTS_IN_FLIGHT = _gauge("fhirstore_requests_in_flight", "HTTP requests that are not answered yet.")
HTTP_BYTES = _counter(
    "fhirstore_http_body_bytes_total",
    "Bytes of the bodies of requests (received) and answers (sent), as they travelled.",
    "direction",
)
TENANT_REQUESTS = _counter(
    "fhirstore_tenant_requests_total",
    "Requests by tenant and HTTP status, where FHIRSTORE_METRICS_TENANTS asks for them.",
    "tenant",
    "status",
)
TENANT_SECONDS = _counter("fhirstore_tenant_request_seconds_total", "Time of these requests together.", "tenant")
STORAGE_REQUESTS = _counter(
    "fhirstore_storage_requests_total",
    "Requests to the object store by verb and outcome; those that the store's client repeated count once.",
    "verb",
    "outcome",
)
STORAGE_SECONDS = _histogram(
    "fhirstore_storage_request_seconds",
    "From a request to the object store until its answer, repeats included; without bodies that are streamed.",
    "verb",
)
STORAGE_BYTES = _counter(
    "fhirstore_storage_bytes_total",
    "Bytes of bodies read from and written to the object store, refused ones included.",
    "direction",
)
OBJECT_BYTES = _histogram(
    "fhirstore_storage_object_bytes", "The sizes of objects read and written whole.", "direction", bounds=_SIZES
)
UPLOADS = _histogram(
    "fhirstore_storage_upload_seconds",
    "How long bodies took that were sent as streams or in parts.",
    "outcome",
    bounds=_LONG,
)
REPEATS = _counter(
    "fhirstore_storage_repeats_total",
    "Requests that the S3 client sent again, because the store was busy (503, 429) or failed (5xx, no answer).",
    "verb",
    "reason",
)
CIRCUIT = _gauge(
    "fhirstore_storage_circuit_open",
    "1 while requests are refused without being sent, because the store kept failing; in processes.",
)
JOBS_LIVE = _gauge(
    "fhirstore_jobs_live", "Jobs that have not ended, by kind, running or waiting.", "kind", together=Together.HIGHEST
)
JOBS_OLDEST = _gauge(
    "fhirstore_jobs_oldest_seconds", "The age of the oldest of them.", "kind", together=Together.HIGHEST
)
JOBS_RUNNING = _gauge("fhirstore_jobs_running", "Jobs that run in these processes.")
JOBS_LEASE = _gauge(
    "fhirstore_jobs_lease_age_seconds",
    "Since the lease of a job that runs here was renewed, of that which has waited for longest.",
    together=Together.HIGHEST,
)
INDEX_LAG = _gauge(
    "fhirstore_index_lag_seconds",
    "Since the last moment of which a search index has all that was acknowledged, of that which is furthest behind.",
    together=Together.HIGHEST,
)
INDEX_QUEUED = _gauge(
    "fhirstore_index_queued_versions", "Versions that were committed here and are not in the search indexes yet."
)
INDEX_NOT_READY = _gauge(
    "fhirstore_index_not_ready", "Search indexes that are being built, or are hindered: by a full disk, for instance."
)
INDEX_RESOURCES = _gauge("fhirstore_index_resources", "Resources in the search indexes of this machine.")
INDEX_BYTES = _gauge("fhirstore_index_bytes", "Bytes of their files.")
LAG = _histogram(
    "fhirstore_event_loop_lag_seconds",
    "How late a timer of the event loop was, four times a second.",
    bounds=_LAG,
)
CONNECTIONS = _gauge("fhirstore_connections", "Connections of clients that are open.")
CONNECTIONS_MOST = _gauge("fhirstore_connections_limit", "Connections that there may be.")
CONNECTIONS_REFUSED = _counter(
    "fhirstore_connections_refused_total", "Connections that got 503, or nothing, because there were too many."
)
CONNECTIONS_TIMED_OUT = _counter(
    "fhirstore_connections_timed_out_total", "Connections that ended because their client was too slow; not idle ones."
)
BYTES_IN_FLIGHT = _gauge("fhirstore_in_flight_bytes", "Bytes of long request bodies and answers that are held.")
BYTES_MOST = _gauge("fhirstore_in_flight_limit_bytes", "Bytes that may be held; beyond it requests get 503.")
RESIDENT = _gauge("fhirstore_process_resident_memory_bytes", "Resident memory of a process.", "pid")
CPU = _counter("fhirstore_process_cpu_seconds_total", "CPU time of a process.", "pid", lives=True)
STARTED = _gauge("fhirstore_process_start_time_seconds", "When a process started, in seconds since 1970.", "pid")
LOST_LINES = _counter("fhirstore_access_log_lost_lines_total", "Lines of the access log that nobody took in time.")
AUDIT_LOST = _counter(
    "fhirstore_audit_lost_events_total", "Audit events that were dropped, because no more of them could wait."
)
AUDIT_FAILURES = _counter(
    "fhirstore_audit_store_failures_total", "Attempts to store audit events that failed; they are repeated."
)
AUDIT_HELD = _gauge("fhirstore_audit_held_bytes", "Bytes of audit events that wait to be stored.")
BUILD = _gauge(
    "fhirstore_build_info",
    "1, with the version, the FHIR release and the kind of the store.",
    "version",
    "fhir_version",
    "store",
    together=Together.HIGHEST,
)
PROCESSES = _gauge("fhirstore_processes", "Processes that answer for these metrics.")

CATALOGUE: Mapping[str, Metric] = {one.name: one for one in list(globals().values()) if isinstance(one, Metric)}
"""All metrics by name, in the order in which they are shown."""
