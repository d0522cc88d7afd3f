"""The state that all requests of a server process share: deadlines, failure log, route table, documents, polls."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.types import Scope

from fhirstore import FhirStore, SupportedSearch
from server.access.tenant import tenant_named
from server.documents.capabilities import Capabilities
from server.http.call import FHIR_PATH, Authentication
from server.http.deadlines import Deadlines
from server.http.failure_log import Asked, FailureLog
from server.http.paths import Paths
from server.http.polls import Polls
from server.http.refusal import Refused
from server.http.route import Route
from server.settings import Settings

_TENANT = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Watch:
    """One per server process. `paths`: below FHIR_PATH; `tenant_paths`: below the base URL of a tenant."""

    deadlines: Deadlines
    failures: FailureLog
    paths: Paths
    tenant_paths: Paths
    documents: Capabilities
    tenant_source: str
    polls: Polls
    authentication: Authentication | None = None

    @classmethod
    def of(
        cls,
        table: Sequence[Route],
        settings: Settings,
        store: FhirStore,
        *,
        deadlines: Deadlines | None = None,
        authentication: Authentication | None = None,
    ) -> Watch:
        """Makes it from the route table and the settings."""
        table = [route for route in table if route.served(settings)]
        tenant_paths = Paths(table, definitions=store.definitions)
        paths = tenant_paths
        if settings.tenant_source == "path":
            paths = Paths(table, definitions=store.definitions, base=("{tenant}",))
        documents = Capabilities(table, settings, store.definitions)
        deadlines = deadlines or Deadlines(settings.request_timeout)
        source = settings.tenant_source
        return cls(deadlines, FailureLog(), paths, tenant_paths, documents, source, Polls(), authentication)

    def extend_deadline(self) -> None:
        """Begins the running request's deadline anew: its client is still sending the body."""
        self.deadlines.extend()

    def failed(
        self, scope: Scope, headers: Mapping[bytes, bytes], request_id: bytes, status: int, error: Exception | None
    ) -> None:
        """Logs that a request, or an entry of its Bundle, was answered with 5xx. `error` None: it took too long."""
        if status == 501:
            return  # not a failure: FHIR defines it, and this server does not support it
        template, parameters = self.paths.template_of(scope["path"][len(FHIR_PATH) :])
        named = tenant_named(self.tenant_source, parameters, headers)
        tenant = named if named is not None and _TENANT.fullmatch(named) else ""
        asked = Asked(scope["method"], request_id.decode("ascii"), template, tenant)
        self.failures.note(asked, status, error)

    async def capabilities(
        self, base_url: str, *, mode: str, tenant: SupportedSearch | None = None
    ) -> tuple[bytes, str]:
        """Returns the CapabilityStatement of the API at `base_url`, as JSON, and its opaque tag."""
        return await self.documents.content(base_url, mode=mode, tenant=tenant)

    def poll_again_in(self, job: str) -> int:
        """Counts a status request for this job. Returns 0, or the seconds to wait where these come too fast."""
        return self.polls.wait(job)

    def refuse_missing(self, path: str, method: str) -> None:
        """Raises Refused (404, 405, 501) where the route table has no line for `method` at `path` below the base."""
        endpoint = self.tenant_paths.find(path, method)
        if method not in endpoint.handlers:
            raise Refused(405, f"{method} is not possible here; allowed: {endpoint.allow}")
