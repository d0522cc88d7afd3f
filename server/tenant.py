"""Which tenant a request means: the only one, the `X-Tenant-ID` header's, or the path's (`/fhir/{tenant}/…`).

A request that names no tenant, a malformed one or one that is not configured is refused; nobody gets a default where
several exist.
"""

from __future__ import annotations

from collections.abc import Mapping

from fhirstore.errors import UnknownTenant
from server.settings import Settings

HEADER = "X-Tenant-ID"
_HEADER = HEADER.lower().encode()


def tenant_of(parameters: Mapping[str, str], headers: Mapping[bytes, bytes], settings: Settings) -> str:
    """The tenant's id, not yet known to exist. Raises UnknownTenant."""
    if settings.tenant_source == "path":
        return parameters["tenant"]
    value = headers.get(_HEADER)
    named = None if value is None else value.decode("latin-1")
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
