"""Every error the library raises, by what the caller should do about it.

Two families share one root. An `ObjectError` is raised by an object store when a request does not succeed; the
commit protocol handles most of them. A `FhirError` is raised by an interaction; it has the FHIR issue code
(https://hl7.org/fhir/R4/valueset-issue-type.html) and, where known, FHIRPath expressions. Neither has an HTTP
status: the server maps them in one table. Messages contain no patient data.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


class FhirStoreError(Exception):
    """Base of all errors of this library. `told`: a text that may be shown to clients of a server; "" if none may."""

    told = ""


# --- raised by object stores --------------------------------------------------------------------------------


class ObjectError(FhirStoreError):
    """A request to the object store did not succeed. `key`: of the object, "" when there is none."""

    def __init__(self, key: str = "", detail: str = "") -> None:
        super().__init__(f"{key}: {detail}" if key and detail else key or detail)
        self.key = key
        self.detail = detail


class ObjectNotFound(ObjectError):
    """GET: no object has this key. `date`: the store's time before it looked, epoch ms."""

    def __init__(self, key: str = "", detail: str = "", *, date: int = 0) -> None:
        super().__init__(key, detail)
        self.date = date


class PreconditionFailed(ObjectError):
    """Conditional PUT: not applied (412; 404 on If-Match). After a retry, the first attempt may have been applied."""


class ConditionalConflict(ObjectError):
    """Conditional PUT: not applied, another one was under way (409 ConditionalRequestConflict). Retry."""


class WriteWindowClosed(ObjectError):
    """PUT with a write window: the store received it after `expires` and did not apply it."""


class NotFollowed(ObjectError):
    """A PUT that depends on others was not sent, since one of those was not written."""


class StoreBusy(ObjectError):
    """Not applied; the store asks to slow down (503 SlowDown, 429). Back off and retry."""


class OutcomeUnknown(ObjectError):
    """A write without an answer (timeout, reset connection, 500): it was applied, or not, or will be. Read back."""


class StoreUnavailable(ObjectError):
    """A read without an answer (timeout, refused connection, 500). It can be repeated safely."""


class StoreFull(ObjectError):
    """A write was not applied, since the store is full: disk or quota full, or the file system is read-only.

    Free some space, then repeat the write; reads still work. `detail` says why, and may be shown to clients.
    """


class ObjectDamaged(ObjectError):
    """A read found an object that is not as it was written. Restore it, or run fsck. `etag`: "" if it is lost, too."""

    def __init__(self, key: str = "", detail: str = "", *, etag: str = "", date: int = 0) -> None:
        super().__init__(key, detail)
        self.etag = etag
        self.date = date
        self.told = _damaged(key)


class ObjectArchived(ObjectError):
    """A read found an object in an archive class (403 InvalidObjectState). Ask for its restoration, then read again.

    It is intact. `date`: as in `ObjectNotFound`.
    """

    def __init__(self, key: str = "", detail: str = "in an archive class", *, date: int = 0) -> None:
        super().__init__(key, detail)
        self.date = date
        self.told = _archived(key)


class StoreDamaged(ObjectError):
    """A LIST reached a part of the store that cannot be read. `resume`: the first key after it, if any."""

    def __init__(self, key: str = "", detail: str = "", *, resume: str | None = None) -> None:
        super().__init__(key, detail)
        self.resume = resume
        self.told = "A part of the store is damaged; the operator should run fhirstore fsck, or restore a backup"


class StoreMisconfigured(ObjectError):
    """Correct the configuration, as the message says: bucket missing or forbidden, wrong credentials, bad URL."""


class StoreGone(StoreMisconfigured):
    """Restart the process: the store's files were removed or replaced while in use. Nothing can be written."""

    told = "The store's files were removed or replaced while the server was running, so nothing is written; restart it"


class StoreCannot(ObjectError):
    """Find another way: this kind of store has no such operation, as the message says. Nothing was done."""


class RequestRefused(ObjectError, ValueError):
    """Correct the call: no store accepts these facts, parts or limits, as the message says. Nothing was done."""


class UploadNotFound(ObjectError):
    """Begin a new upload: this one was completed or aborted, or has never been."""


class CopyRefused(FhirStoreError):
    """Name another source or target: one cannot become a copy of the other, as the message says. Nothing was lost."""


class BackupFailed(FhirStoreError):
    """Do what the message says, and try again: there is no backup, or no restored store, of this attempt."""


class UnsafeStore(ObjectError):
    """Use another store: this one failed the probe, so concurrent writers would lose updates."""


class CorruptRecord(FhirStoreError):
    """Run fsck: the object `key` is not a record. Nothing was changed."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key}: damaged, or not a fhirstore record; run fhirstore fsck")
        self.key = key
        self.told = _damaged(key)


def _damaged(key: str) -> str:
    kinds = {"/current.json": "the current version of a resource", "/_history/": "a version of a resource"}
    what = next((kind for part, kind in kinds.items() if part in key), "an object of the server's own")
    return f"What is stored of {what} is damaged; the operator should run fhirstore fsck"


_VERSION = re.compile(r"resources/([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})/_history/(\d+)\.json")


def _archived(key: str) -> str:
    found = _VERSION.search(key)
    if found is None:
        return "What was asked for lies in the bucket's archive; the operator can restore it there, then ask again"
    name = f"{found[1]}/{found[2]}/_history/{found[3]}"
    return (
        f"{name} lies in the bucket's archive. The operator can bring it back with `fhirstore restore {name}`, which "
        "takes minutes to days; ask again then"
    )


# --- raised by interactions ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Issue:
    """One OperationOutcome.issue: `code` from issue-type, `diagnostics` for a person, FHIRPath `expression`s."""

    code: str
    diagnostics: str
    expression: tuple[str, ...] = ()
    severity: str = "error"

    @classmethod
    def information(cls, text: str, *expression: str) -> Issue:
        """Returns an issue that informs, and reports no error."""
        return cls("informational", text, expression, "information")


class FhirError(FhirStoreError):
    """An interaction that was refused or failed; `issues` is never empty."""

    code = "processing"

    def __init__(self, diagnostics: str, *, expression: tuple[str, ...] = (), code: str | None = None) -> None:
        super().__init__(diagnostics)
        self.issues: tuple[Issue, ...] = (Issue(code or self.code, diagnostics, expression),)


class MalformedContent(FhirError):
    """Correct the bytes: not JSON, not UTF-8, duplicate members, nested too deeply. `offset`: bytes, -1 if unknown."""

    code = "structure"

    def __init__(
        self, diagnostics: str, *, offset: int = -1, expression: tuple[str, ...] = (), code: str | None = None
    ) -> None:
        super().__init__(diagnostics, expression=expression, code=code)
        self.offset = offset


class InvalidResource(FhirError):
    """Correct the resource or the request: it breaks a FHIR rule (`code`: value, required, invalid …)."""

    code = "invalid"


class RulesBroken(InvalidResource):
    """Correct the resource: `issues` has all errors that validation found, and its warnings."""

    def __init__(self, issues: tuple[Issue, ...]) -> None:
        first = next(issue for issue in issues if issue.severity in ("error", "fatal"))
        super().__init__(first.diagnostics, expression=first.expression, code=first.code)
        self.issues = issues


class InvalidExpression(FhirError):
    """Correct the expression: it is not FHIRPath, or (code not-supported) it uses what is not evaluated here."""

    code = "invalid"


class PatchFailed(FhirError):
    """Correct the patch, or read the resource again: an operation cannot be applied to the current version."""


class ContentTooLarge(FhirError):
    """Send less: the body exceeds a limit, which the message names."""

    code = "too-long"


class PayloadMismatch(FhirError):
    """Send the content again: its size or its hash is not the one that was promised. Nothing was stored."""

    code = "invalid"


class PayloadGone(FhirError):
    """Upload the content again: nothing referred to it in time, so that it was removed. Nothing was written."""

    code = "conflict"


class TooManyEntries(ContentTooLarge):
    """Send fewer entries: the Bundle has more than a limit, which the message names."""


class UnknownType(FhirError):
    """Correct the request: this FHIR release has no such resource type."""

    code = "not-supported"


class Unsupported(FhirError):
    """Find another way: FHIR defines this, but it is not implemented here."""

    code = "not-supported"


class MultipleMatches(FhirError):
    """Change the criteria of the conditional interaction or reference: they match several resources, or none."""

    code = "multiple-matches"


class AccessDenied(FhirError):
    """Ask for another scope: those that were granted do not allow this. The message names no resource."""

    code = "forbidden"


class UnknownTenant(FhirError):
    """Correct the tenant id, or configure the tenant: the id is malformed or not configured."""

    code = "not-found"


class TenantNotEmpty(FhirError):
    """Say what is to happen to the data, or finish the removal that is under way: the tenant has data."""

    code = "conflict"


class NotFound(FhirError):
    """There is no resource with this id, or no such version of it."""

    code = "not-found"


class Gone(FhirError):
    """The resource was deleted. `version`: the version id of its tombstone."""

    code = "deleted"

    def __init__(self, diagnostics: str, *, version: int) -> None:
        super().__init__(diagnostics)
        self.version = version


class VersionConflict(FhirError):
    """Read again, then retry: a precondition does not hold. `current`: the current version id, 0 for none."""

    code = "conflict"

    def __init__(self, diagnostics: str, *, current: int) -> None:
        super().__init__(diagnostics)
        self.current = current


class IdTaken(VersionConflict):
    """Update the resource by its id, or leave the id out: no resource matches the criteria, but the id in the body is
    in use, in version `current`."""


class IdempotencyKeyReused(FhirError):
    """Use another key: this one was used for a request with another body."""

    code = "duplicate"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used with another body; use a fresh key")


class Contention(FhirError):
    """Retry later: other writers were quicker at every attempt. Nothing was written."""

    code = "lock-error"


class TooManyJobs(FhirError):
    """Retry later: as many jobs of this tenant are running and queued as may be. Nothing was created."""

    code = "throttled"


class JobExists(FhirError):
    """Use the job that is there: a job has this place already."""

    code = "duplicate"


class UnknownSubmitter(FhirError):
    """Configure the submitter, or correct the request: nobody of this tenant has this identifier."""

    code = "forbidden"


class SubmissionEnded(FhirError):
    """Start a new submission: this one was completed or stopped, and takes nothing more."""

    code = "conflict"


class ManifestTaken(FhirError):
    """Give the manifest another URL: this one was submitted before, with other parameters."""

    code = "duplicate"


class SourceFailed(FhirError):
    """A manifest or a file of a submission could not be read. `again`: a later try may succeed.

    The diagnostics go into outcomes that the provider reads: they name no secret, no address and no query of a URL.
    """

    code = "exception"

    def __init__(self, diagnostics: str, *, code: str | None = None, again: bool = False) -> None:
        super().__init__(diagnostics, code=code)
        self.again = again


_NOT_SIGNED = "The signature is not of this upload; begin an upload, and use its URL or form as it is"


class TicketRefused(FhirError):
    """Begin an upload, and send it just as its answer says: this signature is not valid, or not any more."""

    code = "forbidden"

    def __init__(self, diagnostics: str = _NOT_SIGNED) -> None:
        super().__init__(diagnostics)


class UploadConflict(FhirError):
    """Ask what was received, and send the rest: not everything is there, or the upload takes nothing more."""

    code = "conflict"


class UploadRefused(FhirError):
    """Begin another upload: the content is not what was promised, and was removed; or no Binary can be made of it."""

    code = "invalid"


class UploadGone(FhirError):
    """Begin another upload: this one was not completed in time, or was given up. What had been sent is removed."""

    code = "expired"


class CursorExpired(FhirError):
    """Start the search again: the moment that its pages show is not kept any more."""

    code = "expired"


class Unavailable(FhirError):
    """Retry later: the object store is busy or does not answer. Nothing was written."""

    code = "transient"


class WriteOutcomeUnknown(FhirError):
    """Read back before retrying: the store did not answer around the commit, so the write may have been committed."""

    code = "timeout"


# --- raised by sealed runs ----------------------------------------------------------------------------------


class InvalidName(FhirError):
    """Use another name: this one of a dataset, partition, run, file or tag is malformed. The message says how."""

    code = "value"


class RunNotFound(FhirError):
    """There is no sealed run with this id in this partition, or no such file in it. What is not sealed is not there."""

    code = "not-found"


class RunSealed(FhirError):
    """Use another run id, or read what is there: the run was sealed by another writer, or sealed and deleted.

    Nothing of it was changed.
    """

    code = "duplicate"


class RunTimedOut(FhirError):
    """Write the run again: it was not sealed in the time that a writer has from its begin. Nothing of it is visible."""

    code = "timeout"
