"""All settings together: each is a field of a group, and `Settings` has the fields of all groups.

Reading the environment, refusing unknown variables, `fhirstore settings` and docs/settings.md are computed from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import cast

from fhirstore import S3Options
from server.settings.access import Access
from server.settings.auditing import Auditing
from server.settings.authentication import Authentication
from server.settings.binary import Binaries
from server.settings.bulk import Bulk
from server.settings.bundles import Bundles
from server.settings.jobs import Jobs
from server.settings.limits import Limits
from server.settings.listening import Listening
from server.settings.observing import Observing
from server.settings.resources import Resources
from server.settings.searching import Searching
from server.settings.setting import Setting
from server.settings.storage import Storage
from server.settings.tenancy import Tenancy
from server.settings.tenants import DEFAULT


@dataclass(frozen=True)
class Settings(
    Listening,
    Storage,
    Tenancy,
    Resources,
    Searching,
    Bundles,
    Binaries,
    Limits,
    Jobs,
    Bulk,
    Authentication,
    Access,
    Observing,
    Auditing,
):
    """All settings of a server, in the groups and the order in which they are documented."""

    @property
    def s3(self) -> S3Options:
        """The options of the connection to the bucket, with the key of each tenant that has its own."""
        keys = {tenant: self.settings_of(tenant).kms_key for tenant in (*self.tenant_tables, *self.tenant_buckets)}
        own = {tenant: key for tenant, key in keys.items() if key is not None and tenant != DEFAULT}
        options = super().s3
        default = self.settings_of(DEFAULT).kms_key
        encryption = self.encryption(own)
        if encryption is not None and default is not None:
            encryption = replace(encryption, kms_key=default)
        return replace(options, encryption=encryption)


TABLE: Mapping[str, Setting] = {
    one.name: cast(Setting, one.metadata["setting"]) for group in Settings.__bases__ for one in fields(group)
}
"""Every setting by the name of its field, in the order in which they are documented."""
