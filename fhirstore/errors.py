"""Every error the library raises, by what the caller should do about it.

Two families share one root. `ObjectError` is what an object store answers when a request does not simply
succeed; the commit protocol consumes those. `FhirError` is what an interaction answers; it carries the FHIR
issue code (https://hl7.org/fhir/R4/valueset-issue-type.html) and, where known, FHIRPath expressions. Neither
knows an HTTP status: the server maps them in one table. Messages never hold patient data.
"""

from __future__ import annotations

from dataclasses import dataclass


class FhirStoreError(Exception):
    """Root of everything this library raises on purpose. `told`: what clients may know of it, where that helps them."""

    told = ""


# --- what an object store answers ---------------------------------------------------------------------------


class ObjectError(FhirStoreError):
    """An object-store request that did not simply succeed. `key` names the object, "" when there is none."""

    def __init__(self, key: str = "", detail: str = "") -> None:
        super().__init__(f"{key}: {detail}" if key and detail else key or detail)
        self.key = key
        self.detail = detail


class ObjectNotFound(ObjectError):
    """GET: no object has this key. `date`: the store's clock had reached this (epoch ms) before it looked."""

    def __init__(self, key: str = "", detail: str = "", *, date: int = 0) -> None:
        super().__init__(key, detail)
        self.date = date


class PreconditionFailed(ObjectError):
    """Conditional PUT: this request was not applied (412; 404 on If-Match). It may be the echo of one's own retry."""


class ConditionalConflict(ObjectError):
    """Conditional PUT: not applied, another one was under way (409 ConditionalRequestConflict). Retry."""


class WriteWindowClosed(ObjectError):
    """PUT with a window: it reached the store after `expires` and was refused, not applied."""


class NotFollowed(ObjectError):
    """A PUT that follows others was not done: one of those was not written."""


class StoreBusy(ObjectError):
    """Not applied; the store asks to slow down (503 SlowDown, 429). Back off and retry."""


class OutcomeUnknown(ObjectError):
    """A write whose answer was lost (timeout, reset connection, 500): applied or not, or still to be. Read back."""


class StoreUnavailable(ObjectError):
    """A read that got no answer (timeout, refused connection, 500). Retrying is harmless."""


class StoreFull(ObjectError):
    """A write that was not applied, since the store takes no more: disk or quota full, read-only file system.

    Free some space, then send it again; reads still work. `detail` says why, and is fit to be shown to anyone.
    """


class ObjectDamaged(ObjectError):
    """A read found that the object is there, but not as it was written. Restore it, or run fsck. `etag`: "" if lost."""

    def __init__(self, key: str = "", detail: str = "", *, etag: str = "", date: int = 0) -> None:
        super().__init__(key, detail)
        self.etag = etag
        self.date = date
        self.told = _damaged(key)


class StoreDamaged(ObjectError):
    """A LIST met a part of the store that cannot be read. `resume`: the first key behind it; None: there is none."""

    def __init__(self, key: str = "", detail: str = "", *, resume: str | None = None) -> None:
        super().__init__(key, detail)
        self.resume = resume
        self.told = "A part of the store is damaged; the operator should run fhirstore fsck, or restore a backup"


class StoreMisconfigured(ObjectError):
    """Give up: bucket missing or forbidden, wrong credentials, bad URL. The message says what to do in one line."""


class StoreGone(StoreMisconfigured):
    """Give up and restart: the store's files were removed or replaced while in use. Nothing can be written."""

    told = "The store's files were removed or replaced while the server was running, so nothing is written; restart it"


class UnsafeStore(ObjectError):
    """Give up: the store failed the probe, so several writers on it would lose updates."""


class CorruptRecord(FhirStoreError):
    """Give up on this object and run fsck: what lies under `key` is not a record. Nothing was changed."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key}: damaged, or not a fhirstore record; run fhirstore fsck")
        self.key = key
        self.told = _damaged(key)


def _damaged(key: str) -> str:
    kinds = {"/current.json": "the current version of a resource", "/_history/": "a version of a resource"}
    what = next((kind for part, kind in kinds.items() if part in key), "an object of the server's own")
    return f"What is stored of {what} is damaged; the operator should run fhirstore fsck"


# --- what an interaction answers ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Issue:
    """One OperationOutcome.issue: `code` from issue-type, `diagnostics` for a person, FHIRPath `expression`s."""

    code: str
    diagnostics: str
    expression: tuple[str, ...] = ()
    severity: str = "error"

    @classmethod
    def information(cls, text: str, *expression: str) -> Issue:
        """Something worth knowing; nothing is wrong."""
        return cls("informational", text, expression, "information")


class FhirError(FhirStoreError):
    """An interaction that was refused or failed; `issues` is never empty."""

    code = "processing"

    def __init__(self, diagnostics: str, *, expression: tuple[str, ...] = (), code: str | None = None) -> None:
        super().__init__(diagnostics)
        self.issues: tuple[Issue, ...] = (Issue(code or self.code, diagnostics, expression),)


class MalformedContent(FhirError):
    """Fix the bytes: not JSON, not UTF-8, duplicate members, too deep. `offset` is the byte position, -1 if none."""

    code = "structure"

    def __init__(
        self, diagnostics: str, *, offset: int = -1, expression: tuple[str, ...] = (), code: str | None = None
    ) -> None:
        super().__init__(diagnostics, expression=expression, code=code)
        self.offset = offset


class InvalidResource(FhirError):
    """Fix the resource or the request: it breaks a FHIR rule (`code`: value, required, invalid …)."""

    code = "invalid"


class RulesBroken(InvalidResource):
    """Fix the resource: validation found these errors, all of them, perhaps with warnings among them."""

    def __init__(self, issues: tuple[Issue, ...]) -> None:
        first = next(issue for issue in issues if issue.severity in ("error", "fatal"))
        super().__init__(first.diagnostics, expression=first.expression, code=first.code)
        self.issues = issues


class InvalidExpression(FhirError):
    """Fix the expression: it is not FHIRPath, or (code not-supported) more of it than is evaluated here."""

    code = "invalid"


class PatchFailed(FhirError):
    """Fix the patch, or read the resource again: an operation cannot be applied to the resource as it is now."""


class ContentTooLarge(FhirError):
    """Send less: the body is over the configured limit, which the message names."""

    code = "too-long"


class TooManyEntries(ContentTooLarge):
    """Send fewer: the Bundle has more entries than the configured limit, which the message names."""


class UnknownType(FhirError):
    """Fix the request: no resource type of this FHIR release has this name."""

    code = "not-supported"


class Unsupported(FhirError):
    """Do it another way: FHIR has this, this server does not."""

    code = "not-supported"


class MultipleMatches(FhirError):
    """Be more selective: the criteria of a conditional interaction or reference match several resources, or none."""

    code = "multiple-matches"


class UnknownTenant(FhirError):
    """Fix the request: the tenant id is malformed or not configured."""

    code = "not-found"


class NotFound(FhirError):
    """No resource, or no such version of it, has this id."""

    code = "not-found"


class Gone(FhirError):
    """The resource was deleted; `version` is its tombstone's version id."""

    code = "deleted"

    def __init__(self, diagnostics: str, *, version: int) -> None:
        super().__init__(diagnostics)
        self.version = version


class VersionConflict(FhirError):
    """Refetch and try again: If-Match named another version; `current` is the version id now, 0 for none."""

    code = "conflict"

    def __init__(self, diagnostics: str, *, current: int) -> None:
        super().__init__(diagnostics)
        self.current = current


class IdTaken(VersionConflict):
    """Update that resource by its id, or leave the id out: nothing matches the criteria, and a resource, in version
    `current`, has the id in the body."""


class IdempotencyKeyReused(FhirError):
    """Use another key: this one already stands for a request with another body."""

    code = "duplicate"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used with another body; use a fresh key")


class Contention(FhirError):
    """Retry later: others kept writing this resource and the bounded retries ran out; nothing was written."""

    code = "lock-error"


class Unavailable(FhirError):
    """Retry later: the object store is busy or does not answer; nothing was written."""

    code = "transient"


class WriteOutcomeUnknown(FhirError):
    """Read back before retrying: the store went away around the commit, so the write may or may not stand."""

    code = "timeout"
