"""Settings: which tenants exist, how a request names its own, and what each may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.settings import values
from server.settings.setting import setting

TENANT_SOURCES = ("none", "header", "path")
TENANCIES = ("prefix", "bucket")


@dataclass(frozen=True)
class Tenancy:
    """Which tenants exist, how a request names its own, and what each may use.

    `tenants` None: any well-formed id.
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
        "The tenants that exist, separated by commas, or `*` for any well-formed id.",
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

    @property
    def only_tenant(self) -> str | None:
        """The one tenant of a server whose requests name none."""
        names = frozenset(self.tenant_buckets) or self.tenants
        return next(iter(names)) if names is not None and len(names) == 1 else None
