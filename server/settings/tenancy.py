"""Settings: which tenants exist, how a request names its own, and what each may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.settings import tenants as of_tenants
from server.settings import values
from server.settings.setting import setting
from server.settings.tenants import TenantSettings

TENANT_SOURCES = ("none", "header", "path")
TENANCIES = ("prefix", "bucket")


@dataclass(frozen=True)
class Tenancy:
    """Which tenants exist, how a request names its own, and what each may use.

    `tenants` None: any well-formed id; `REGISTERED`: those that the store's registry names.
    """

    tenant_source: str = setting(
        "FHIRSTORE_TENANT_SOURCE",
        values.choice(*TENANT_SOURCES),
        "none",
        "Where a request names its tenant: `header` (`X-Tenant-ID`), `path` (`/fhir/{tenant}/…`), or `none` where "
        "there is only one.",
    )
    tenants: frozenset[str] | None = setting(
        "FHIRSTORE_TENANTS",
        values.tenants,
        frozenset({"default"}),
        "The tenants that exist, separated by commas; `*` for any well-formed id; `@store` for those that "
        "`fhirstore tenant add` has put into the registry of the store, which servers read every 5 s.",
    )
    tenancy: str = setting(
        "FHIRSTORE_TENANCY",
        values.choice(*TENANCIES),
        "prefix",
        "`prefix`: all tenants share the store, each below a prefix; `bucket`: each has the bucket that "
        "`FHIRSTORE_TENANT_BUCKETS` names.",
    )
    tenant_buckets: Mapping[str, str] = setting(
        "FHIRSTORE_TENANT_BUCKETS",
        values.tenant_buckets,
        {},
        "The bucket of each tenant, like `clinic-a=bucket-a,clinic-b=bucket-b`.",
    )

    tenant_tables: Mapping[str, Mapping[str, int | float | str]] = setting(
        "FHIRSTORE_TENANT_SETTINGS",
        of_tenants.read_file,
        {},
        "The file (TOML) with settings of each tenant, and under `[default]` of all others, read at the start.",
        unset="none",
    )
    tenant_requests_per_second: float | None = setting(
        "FHIRSTORE_TENANT_REQUESTS_PER_SECOND",
        values.rate,
        None,
        "The requests that a server process takes of one tenant in a second; then 429. The file may say otherwise.",
        unset="no limit",
    )
    tenant_bytes_per_second: float | None = setting(
        "FHIRSTORE_TENANT_BYTES_PER_SECOND",
        values.rate,
        None,
        "The bytes of one tenant's request bodies and answers that a server process moves in a second; then 429. "
        "The file may say otherwise.",
        unset="no limit",
    )
    tenant_concurrent_requests: int | None = setting(
        "FHIRSTORE_TENANT_CONCURRENT_REQUESTS",
        values.positive,
        None,
        "The requests of one tenant that a server process works on at once; then 429. The file may say otherwise.",
        unset="no limit",
    )

    def settings_of(self, tenant: str) -> TenantSettings:
        """Returns the settings of one tenant."""
        default = TenantSettings(
            self.tenant_requests_per_second, self.tenant_bytes_per_second, self.tenant_concurrent_requests
        )
        return of_tenants.settings_of(tenant, self.tenant_tables, default)

    @property
    def limits_tenants(self) -> bool:
        """Whether any tenant has limits on its requests."""
        return any(self.settings_of(tenant).limited for tenant in (*self.tenant_tables, of_tenants.DEFAULT))

    @property
    def only_tenant(self) -> str | None:
        """The one tenant of a server whose requests name none."""
        names = frozenset(self.tenant_buckets) or self.tenants
        return next(iter(names)) if names is not None and len(names) == 1 else None
