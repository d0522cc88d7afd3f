"""What looks after all requests of a server process: their deadlines, and a line in the log where one fails."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Scope

from server.access.tenant import tenant_named
from server.http.deadlines import Deadlines
from server.http.failure_log import Asked, FailureLog
from server.http.paths import Paths
from server.settings import Settings

_TENANT = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Watch:
    """One per process. `base`: the path below which the FHIR API lies."""

    deadlines: Deadlines
    failures: FailureLog
    paths: Paths
    base: str
    tenant_source: str

    @classmethod
    def of(cls, settings: Settings, paths: Paths, *, base: str) -> Watch:
        """As the settings say."""
        return cls(Deadlines(settings.request_timeout), FailureLog(), paths, base, settings.tenant_source)

    def failed(
        self, scope: Scope, headers: Mapping[bytes, bytes], request_id: bytes, status: int, error: Exception | None
    ) -> None:
        """A request, or an entry of its Bundle, was answered with 5xx because of `error`; None: it took too long."""
        if status == 501:
            return  # not a failure: FHIR has it and this server does not
        template, parameters = self.paths.template_of(scope["path"][len(self.base) :])
        named = tenant_named(self.tenant_source, parameters, headers)
        tenant = named if named is not None and _TENANT.fullmatch(named) else ""
        asked = Asked(scope["method"], request_id.decode("ascii"), template, tenant)
        self.failures.note(asked, status, error)
