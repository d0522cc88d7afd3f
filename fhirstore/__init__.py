"""fhirstore: FHIR R4 on object storage, as a library.

`FhirStore.open(location)` opens a store. The public modules are this one and `fhirstore.errors` (the errors, each with
what the caller should do; those that a caller may meet can be imported from here), `fhirstore.objects` (the object
storage below, also on its own), `fhirstore.fhir.json` (exact JSON), `fhirstore.threads` (long work beside the event
loop) and `fhirstore.clock` (time and ids, to be replaced in tests). Every other module may change without notice.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from fhirstore.access.access import Access
from fhirstore.access.scopes import Scope, parse_scopes
from fhirstore.audit.event import AuditEntry
from fhirstore.audit.trail import AuditTrail, TrailReport
from fhirstore.audit.writer import AuditOptions, AuditWriter
from fhirstore.audit.writer import Held as AuditsHeld
from fhirstore.bundles.entries import Entry as BundleEntry
from fhirstore.bundles.options import BundleOptions
from fhirstore.bundles.results import BundleResult
from fhirstore.bundles.results import Result as EntryResult
from fhirstore.credentials.client import Client, check_client
from fhirstore.credentials.signing_keys import SigningKey
from fhirstore.credentials.tenant import Credentials
from fhirstore.errors import (
    AccessDenied,
    Contention,
    ContentTooLarge,
    CopyRefused,
    CorruptRecord,
    CursorExpired,
    FhirError,
    FhirStoreError,
    Gone,
    IdempotencyKeyReused,
    IdTaken,
    InvalidExpression,
    InvalidName,
    InvalidResource,
    Issue,
    JobExists,
    MalformedContent,
    ManifestTaken,
    MultipleMatches,
    NotFound,
    ObjectArchived,
    ObjectDamaged,
    ObjectError,
    PatchFailed,
    PayloadGone,
    PayloadMismatch,
    RulesBroken,
    RunNotFound,
    RunSealed,
    RunTimedOut,
    SourceFailed,
    StoreDamaged,
    StoreFull,
    StoreGone,
    StoreMisconfigured,
    StoreUnavailable,
    SubmissionEnded,
    TenantNotEmpty,
    TicketRefused,
    TooManyEntries,
    TooManyJobs,
    Unavailable,
    UnknownSubmitter,
    UnknownTenant,
    UnknownType,
    UnsafeStore,
    Unsupported,
    UploadConflict,
    UploadGone,
    UploadRefused,
    VersionConflict,
    WriteOutcomeUnknown,
)
from fhirstore.export.exports import Export, Exports, ExportStatus
from fhirstore.export.manifest import ExportManifest, ManifestFile, render_manifest
from fhirstore.export.request import ExportOptions, ExportRequest
from fhirstore.fhir.definitions.facts import Definitions, Operation
from fhirstore.fhir.json import dump, instant
from fhirstore.fhir.patch import FhirPathPatch, JsonPatch, MergePatch, Patch
from fhirstore.fhir.times import Period, parse_instant
from fhirstore.fhir.times import span as time_span
from fhirstore.fhir.validation.operation import ValidateRequest
from fhirstore.format.keyspace import is_tenant_id
from fhirstore.format.kinds import kept_at
from fhirstore.format.marker import URL as PAYLOAD_MARKER
from fhirstore.format.payload import Payload
from fhirstore.format.runs import SealedFile
from fhirstore.history.page import HistoryPage, HistoryQuery
from fhirstore.indexing.copying import SavedCopy
from fhirstore.indexing.options import IndexOptions
from fhirstore.indexing.status import IndexBehind, IndexStatus
from fhirstore.indexing.verify import IndexComparison
from fhirstore.interactions.history_request import HistoryRequest
from fhirstore.interactions.parameters import (
    CURSOR,
    FORM_PARAMETERS,
    Pairs,
    View,
    refuse_unknown,
)
from fhirstore.interactions.preconditions import UnmodifiedSince, VersionIds, entity_tags
from fhirstore.interactions.search_request import SearchRequest
from fhirstore.jobs.job import Job
from fhirstore.jobs.kind import JobFailed, JobFile, JobKind, JobPaused, JobWork
from fhirstore.jobs.lease import LeaseLost
from fhirstore.jobs.limits import JobLimits
from fhirstore.jobs.tenant import Jobs
from fhirstore.jobs.worker import Worker, WorkerStatus
from fhirstore.objects import Compacted, S3Options, compact, open_objects
from fhirstore.objects.retries import RetryBudget, reset_retry_budget, set_retry_budget
from fhirstore.runs.dataset import PartitionPage, RunPage, Runs
from fhirstore.runs.run import Run
from fhirstore.runs.writing import RunWriter
from fhirstore.search.criteria.query import each_once, parse_query
from fhirstore.search.criteria.supported import SupportedParameter, SupportedSearch
from fhirstore.search.pages.matches import Matches
from fhirstore.search.pages.searchset import SearchPage
from fhirstore.store import FhirStore
from fhirstore.submit.given import GivenManifests
from fhirstore.submit.options import SubmitOptions
from fhirstore.submit.parameters import StatusRequest, read_submit, read_submit_status
from fhirstore.submit.request import SubmitRequest
from fhirstore.submit.status import SubmissionStatus, render_status_manifest
from fhirstore.submit.submissions import Submissions
from fhirstore.submit.submitters import Submitter, Submitters
from fhirstore.submit.watches import Watch as SubmissionWatch
from fhirstore.tags import Tags
from fhirstore.tenancy import REGISTERED, RegisteredTenants, bucket_locations
from fhirstore.tenant import TenantStore
from fhirstore.transfers import BegunUpload, Completion, Ticket, Upload, UploadRequest, Uploads, UploadStatus
from fhirstore.upkeep.bucket_rules import Retention, cors_rules, lifecycle_rules, merged_rules, rule_differences
from fhirstore.upkeep.copy.run import CopyOptions, CopyReport
from fhirstore.upkeep.copy.tally import CopyProgress
from fhirstore.upkeep.copy.verify import Verified
from fhirstore.upkeep.fsck.finding import Finding
from fhirstore.upkeep.fsck.run import FsckReport, Progress, Thoroughness
from fhirstore.upkeep.sweep.run import SweepReport
from fhirstore.upkeep.tenants import TenantRemoval, Tenants
from fhirstore.upkeep.usage import StoredUsage, UsageProgress
from fhirstore.uploads.payloads import Payloads
from fhirstore.version import Version

if TYPE_CHECKING:
    from fhirstore.objects.probe import ProbeReport, probe
    from fhirstore.objects.probe import render as render_probe
    from fhirstore.submit.fetching.documents import Documents
    from fhirstore.submit.fetching.sources import NetworkSources

__version__ = "0.1.0"

__all__ = [
    "CURSOR",
    "FORM_PARAMETERS",
    "PAYLOAD_MARKER",
    "REGISTERED",
    "Access",
    "AccessDenied",
    "AuditEntry",
    "AuditOptions",
    "AuditTrail",
    "AuditWriter",
    "AuditsHeld",
    "BegunUpload",
    "BundleEntry",
    "BundleOptions",
    "BundleResult",
    "Client",
    "Compacted",
    "Completion",
    "ContentTooLarge",
    "Contention",
    "CopyOptions",
    "CopyProgress",
    "CopyRefused",
    "CopyReport",
    "CorruptRecord",
    "Credentials",
    "CursorExpired",
    "Definitions",
    "Documents",
    "EntryResult",
    "Export",
    "ExportManifest",
    "ExportOptions",
    "ExportRequest",
    "ExportStatus",
    "Exports",
    "FhirError",
    "FhirPathPatch",
    "FhirStore",
    "FhirStoreError",
    "Finding",
    "FsckReport",
    "GivenManifests",
    "Gone",
    "HistoryPage",
    "HistoryQuery",
    "HistoryRequest",
    "IdTaken",
    "IdempotencyKeyReused",
    "IndexBehind",
    "IndexComparison",
    "IndexOptions",
    "IndexStatus",
    "InvalidExpression",
    "InvalidName",
    "InvalidResource",
    "Issue",
    "Job",
    "JobExists",
    "JobFailed",
    "JobFile",
    "JobKind",
    "JobLimits",
    "JobPaused",
    "JobWork",
    "Jobs",
    "JsonPatch",
    "LeaseLost",
    "MalformedContent",
    "ManifestFile",
    "ManifestTaken",
    "Matches",
    "MergePatch",
    "MultipleMatches",
    "NetworkSources",
    "NotFound",
    "ObjectArchived",
    "ObjectDamaged",
    "ObjectError",
    "Operation",
    "Pairs",
    "PartitionPage",
    "Patch",
    "PatchFailed",
    "Payload",
    "PayloadGone",
    "PayloadMismatch",
    "Payloads",
    "Period",
    "ProbeReport",
    "Progress",
    "RegisteredTenants",
    "Retention",
    "RetryBudget",
    "RulesBroken",
    "Run",
    "RunNotFound",
    "RunPage",
    "RunSealed",
    "RunTimedOut",
    "RunWriter",
    "Runs",
    "S3Options",
    "SavedCopy",
    "Scope",
    "SealedFile",
    "SearchPage",
    "SearchRequest",
    "SigningKey",
    "SourceFailed",
    "StatusRequest",
    "StoreDamaged",
    "StoreFull",
    "StoreGone",
    "StoreMisconfigured",
    "StoreUnavailable",
    "StoredUsage",
    "SubmissionEnded",
    "SubmissionStatus",
    "SubmissionWatch",
    "Submissions",
    "SubmitOptions",
    "SubmitRequest",
    "Submitter",
    "Submitters",
    "SupportedParameter",
    "SupportedSearch",
    "SweepReport",
    "Tags",
    "TenantNotEmpty",
    "TenantRemoval",
    "TenantStore",
    "Tenants",
    "Thoroughness",
    "Ticket",
    "TicketRefused",
    "TooManyEntries",
    "TooManyJobs",
    "TrailReport",
    "Unavailable",
    "UnknownSubmitter",
    "UnknownTenant",
    "UnknownType",
    "UnmodifiedSince",
    "UnsafeStore",
    "Unsupported",
    "Upload",
    "UploadConflict",
    "UploadGone",
    "UploadRefused",
    "UploadRequest",
    "UploadStatus",
    "Uploads",
    "UsageProgress",
    "ValidateRequest",
    "Verified",
    "Version",
    "VersionConflict",
    "VersionIds",
    "View",
    "Worker",
    "WorkerStatus",
    "WriteOutcomeUnknown",
    "__version__",
    "bucket_locations",
    "check_client",
    "compact",
    "cors_rules",
    "dump",
    "each_once",
    "entity_tags",
    "instant",
    "is_tenant_id",
    "kept_at",
    "lifecycle_rules",
    "merged_rules",
    "open_objects",
    "parse_instant",
    "parse_query",
    "parse_scopes",
    "probe",
    "read_submit",
    "read_submit_status",
    "refuse_unknown",
    "render_manifest",
    "render_probe",
    "render_status_manifest",
    "reset_retry_budget",
    "rule_differences",
    "set_retry_budget",
    "time_span",
]


def __getattr__(name: str) -> object:
    """Imports what most users never need when it is first asked for: the probe, and the sources of bulk submit."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, member = _LATER[name]
    return getattr(import_module(module), member)


_LATER = {
    "Documents": ("fhirstore.submit.fetching.documents", "Documents"),
    "NetworkSources": ("fhirstore.submit.fetching.sources", "NetworkSources"),
    "ProbeReport": ("fhirstore.objects.probe", "ProbeReport"),
    "probe": ("fhirstore.objects.probe", "probe"),
    "render_probe": ("fhirstore.objects.probe", "render"),
}
