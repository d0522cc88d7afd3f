"""fhirstore: FHIR R4 on object storage, as a library.

`FhirStore.open(location)` is the way in; `fhirstore.errors` says what can go wrong and what to do about it.
"""

from fhirstore.bundles.entries import Entry as BundleEntry
from fhirstore.bundles.options import BundleOptions
from fhirstore.bundles.results import BundleResult
from fhirstore.bundles.results import Result as EntryResult
from fhirstore.fhir.json import instant
from fhirstore.fhir.patch import FhirPathPatch, JsonPatch, MergePatch, Patch
from fhirstore.fhir.times import Period
from fhirstore.fhir.validation.operation import ValidateRequest
from fhirstore.format.keyspace import is_tenant_id
from fhirstore.history.page import HistoryPage, HistoryQuery
from fhirstore.interactions.conditions import UnmodifiedSince, VersionIds
from fhirstore.objects import Compacted, S3Options, compact, open_objects
from fhirstore.objects.retries import RetryBudget, reset_retry_budget, set_retry_budget
from fhirstore.search.page import SearchPage
from fhirstore.store import FhirStore
from fhirstore.tenancy import bucket_locations
from fhirstore.tenant import TenantStore
from fhirstore.upkeep.fsck.finding import Finding
from fhirstore.upkeep.fsck.run import FsckReport, Progress, Thoroughness
from fhirstore.upkeep.sweep.run import SweepReport
from fhirstore.version import Version

__version__ = "0.1.0"

__all__ = [
    "BundleEntry",
    "BundleOptions",
    "BundleResult",
    "Compacted",
    "EntryResult",
    "FhirPathPatch",
    "FhirStore",
    "Finding",
    "FsckReport",
    "HistoryPage",
    "HistoryQuery",
    "JsonPatch",
    "MergePatch",
    "Patch",
    "Period",
    "Progress",
    "RetryBudget",
    "S3Options",
    "SearchPage",
    "SweepReport",
    "TenantStore",
    "Thoroughness",
    "UnmodifiedSince",
    "ValidateRequest",
    "Version",
    "VersionIds",
    "__version__",
    "bucket_locations",
    "compact",
    "instant",
    "is_tenant_id",
    "open_objects",
    "reset_retry_budget",
    "set_retry_budget",
]
