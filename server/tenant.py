"""Which tenant a request means: the only one, the `X-Tenant-ID` header's, or the path's (`/fhir/{tenant}/…`).

A request that names no tenant, a malformed one or one that is not configured is refused; nobody gets a default where
several exist.
"""

from __future__ import annotations

from starlette.requests import Request

from fhirstore.errors import UnknownTenant
from server.settings import Settings

HEADER = "X-Tenant-ID"


def tenant_of(request: Request, settings: Settings) -> str:
    """The tenant's id, not yet known to exist. Raises UnknownTenant."""
    if settings.tenant_source == "path":
        tenant: str = request.path_params["tenant"]
        return tenant
    named = request.headers.get(HEADER)
    if settings.tenant_source == "header":
        if named is None:
            raise UnknownTenant(f"Say which tenant you mean: send the header {HEADER}", code="value")
        return named
    only = settings.only_tenant
    if only is None or named not in (None, only):
        raise UnknownTenant(
            f"This server does not take tenants from {HEADER} (FHIRSTORE_TENANT_SOURCE=none); leave the header out"
        )
    return only
