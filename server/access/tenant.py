"""Finds the tenant of a request: the only one, or that in the `X-Tenant-ID` header or in the path (`/fhir/{tenant}/…`).

A request that names no tenant, a malformed one or one that is not configured is refused. Where there are several, none
is the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fhirstore import FhirStore, RegisteredTenants, TenantStore
from fhirstore.errors import AccessDenied, UnknownTenant
from server.settings import Settings

if TYPE_CHECKING:
    from server.access.tokens.verification import Verified

HEADER = "X-Tenant-ID"
_HEADER = HEADER.lower().encode()
_NOT_YOURS = "This token is not for this tenant"


def tenant_named(source: str, parameters: Mapping[str, str], headers: Mapping[bytes, bytes]) -> str | None:
    """Returns the tenant that a request names; it need not exist. None where it names none, or requests name none."""
    if source == "path":
        return parameters.get("tenant")
    value = headers.get(_HEADER) if source == "header" else None
    return None if value is None else value.decode("latin-1")


class RequestTenants:
    """Finds the tenant of a request, as the settings say."""

    def __init__(self, store: FhirStore, settings: Settings) -> None:
        self._store = store
        self._source = settings.tenant_source
        self._only = settings.only_tenant
        self._registered = isinstance(settings.tenants, RegisteredTenants)
        self._only_store = None if self._only is None else store.tenant(self._only)

    def acting(self, verified: Verified, parameters: Mapping[str, str], headers: Mapping[bytes, bytes]) -> TenantStore:
        """Returns the store of the tenant that a token is for, restricted to what it allows.

        Raises AccessDenied where the token names no tenant and there are several, where it names one that does not
        exist, and where the request names another one: all in the same words, which tell nothing of other tenants.
        """
        tenant = verified.access.tenant or self._only
        value = headers.get(_HEADER)
        if (
            tenant is None
            or (value is not None and value.decode("latin-1") != tenant)
            or (self._source == "path" and parameters["tenant"] != tenant)
        ):
            raise AccessDenied(_NOT_YOURS)
        try:
            if verified.acting is None:
                verified.acting = self._store.tenant(tenant).acting(verified.access)
            elif self._registered:
                self._store.tenancy.place(tenant)  # it may have been removed
        except UnknownTenant:
            raise AccessDenied(_NOT_YOURS) from None
        return verified.acting

    def of(self, parameters: Mapping[str, str], headers: Mapping[bytes, bytes]) -> TenantStore:
        """Returns the tenant's store. Raises UnknownTenant."""
        value = headers.get(_HEADER)
        named = None if value is None else value.decode("latin-1")
        if self._source == "path":
            if named not in (None, parameters["tenant"]):
                raise UnknownTenant(f"{HEADER} names another tenant than the path does; leave it out", code="value")
            return self._store.tenant(parameters["tenant"])
        if self._source == "header":
            if named is None:
                raise UnknownTenant(f"Say which tenant you mean: send the header {HEADER}", code="value")
            return self._store.tenant(named)
        if self._only_store is None or named not in (None, self._only):
            raise UnknownTenant(
                f"This server does not take tenants from {HEADER} (FHIRSTORE_TENANT_SOURCE=none); leave the header out"
            )
        return self._only_store
