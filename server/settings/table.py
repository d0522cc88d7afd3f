"""All settings together: each is a field of a group, and `Settings` has the fields of all groups.

Reading the environment, refusing unknown variables, `fhirstore settings` and docs/settings.md are computed from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import cast

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
from server.settings.setting import Setting
from server.settings.storage import Storage
from server.settings.tenancy import Tenancy


@dataclass(frozen=True)
class Settings(
    Listening,
    Storage,
    Tenancy,
    Resources,
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


TABLE: Mapping[str, Setting] = {
    one.name: cast(Setting, one.metadata["setting"]) for group in Settings.__bases__ for one in fields(group)
}
"""Every setting by the name of its field, in the order in which they are documented."""
