"""What is known of one request of a client, for metrics, access log and traces."""

from __future__ import annotations

from contextvars import ContextVar

from fhirstore import TenantStore
from server.http.paths import Endpoint

SEEN = "fhirstore.seen"
"""Key in the scope of a request: what is known of it, a `Seen`; not there where nobody watches."""


class Seen:
    """A request under way. The API fills in what it finds out; who watches requests reads it.

    `endpoint`, `tenant`: None until they are found. `storage`: storage requests so far, where they are counted.
    """

    # Class attributes and no __init__: every request makes one.
    endpoint: Endpoint | None = None
    tenant: TenantStore | None = None
    request_id: bytes = b""
    status = 0
    received = 0
    sent = 0
    storage = 0
    span: object = None


# A ContextVar must be module-level. It is only a name; its values are per task.
_current: ContextVar[Seen | None] = ContextVar("fhirstore_seen", default=None)

current = _current.get
"""Returns the request that the running task works for; None where it works for none, or nobody counts by request."""

set_current = _current.set
reset_current = _current.reset
