"""fhirstore: FHIR R4 on object storage, as a library.

`FhirStore.open(location)` opens a store. `fhirstore.errors` lists the errors, each with what the caller should do;
those that a caller may meet can be imported from here.
"""

from fhirstore.bundles.entries import Entry as BundleEntry
from fhirstore.bundles.options import BundleOptions
from fhirstore.bundles.results import BundleResult
from fhirstore.bundles.results import Result as EntryResult
from fhirstore.errors import (
    Contention,
    ContentTooLarge,
    CorruptRecord,
    FhirError,
    FhirStoreError,
    Gone,
    IdempotencyKeyReused,
    IdTaken,
    InvalidExpression,
    InvalidResource,
    Issue,
    MalformedContent,
    MultipleMatches,
    NotFound,
    ObjectDamaged,
    ObjectError,
    PatchFailed,
    RulesBroken,
    StoreDamaged,
    StoreFull,
    StoreGone,
    StoreMisconfigured,
    StoreUnavailable,
    TooManyEntries,
    Unavailable,
    UnknownTenant,
    UnknownType,
    UnsafeStore,
    Unsupported,
    VersionConflict,
    WriteOutcomeUnknown,
)
from fhirstore.fhir.json import dump, instant
from fhirstore.fhir.patch import FhirPathPatch, JsonPatch, MergePatch, Patch
from fhirstore.fhir.times import Period
from fhirstore.fhir.validation.operation import ValidateRequest
from fhirstore.format.keyspace import is_tenant_id
from fhirstore.history.page import HistoryPage, HistoryQuery
from fhirstore.interactions.preconditions import UnmodifiedSince, VersionIds, entity_tags
from fhirstore.objects import Compacted, S3Options, compact, open_objects
from fhirstore.objects.retries import RetryBudget, reset_retry_budget, set_retry_budget
from fhirstore.search.matches import Matches
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
    "ContentTooLarge",
    "Contention",
    "CorruptRecord",
    "EntryResult",
    "FhirError",
    "FhirPathPatch",
    "FhirStore",
    "FhirStoreError",
    "Finding",
    "FsckReport",
    "Gone",
    "HistoryPage",
    "HistoryQuery",
    "IdTaken",
    "IdempotencyKeyReused",
    "InvalidExpression",
    "InvalidResource",
    "Issue",
    "JsonPatch",
    "MalformedContent",
    "Matches",
    "MergePatch",
    "MultipleMatches",
    "NotFound",
    "ObjectDamaged",
    "ObjectError",
    "Patch",
    "PatchFailed",
    "Period",
    "Progress",
    "RetryBudget",
    "RulesBroken",
    "S3Options",
    "SearchPage",
    "StoreDamaged",
    "StoreFull",
    "StoreGone",
    "StoreMisconfigured",
    "StoreUnavailable",
    "SweepReport",
    "TenantStore",
    "Thoroughness",
    "TooManyEntries",
    "Unavailable",
    "UnknownTenant",
    "UnknownType",
    "UnmodifiedSince",
    "UnsafeStore",
    "Unsupported",
    "ValidateRequest",
    "Version",
    "VersionConflict",
    "VersionIds",
    "WriteOutcomeUnknown",
    "__version__",
    "bucket_locations",
    "compact",
    "dump",
    "entity_tags",
    "instant",
    "is_tenant_id",
    "open_objects",
    "reset_retry_budget",
    "set_retry_budget",
]
