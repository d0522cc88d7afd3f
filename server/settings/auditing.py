"""Settings: the audit log."""

from __future__ import annotations

from dataclasses import dataclass

from server.settings import values
from server.settings.setting import setting

AUDITS = ("off", "store", "stdout", "both")
AUDITED_CRITERIA = ("names", "hashed", "values")
WITHOUT_AUDIT = ("refuse", "drop")


@dataclass(frozen=True)
class Auditing:
    """The audit log."""

    audit: str = setting(
        "FHIRSTORE_AUDIT",
        values.choice(*AUDITS),
        "off",
        "Tell who did what as FHIR AuditEvents: into the `store`, to `stdout`, to `both`, or not at all (`off`).",
    )
    audit_store: str | None = setting(
        "FHIRSTORE_AUDIT_STORE",
        values.text,
        None,
        "Another store for them, `s3://bucket/prefix` or `file:DIR`, with a folder for each tenant.",
        unset="each tenant's own, below `auditlog/`",
    )
    audit_sync: bool = setting(
        "FHIRSTORE_AUDIT_SYNC",
        values.flag,
        False,
        "Answer a request only when its event is stored; else a process that is killed loses those of the last "
        "seconds.",
    )
    audit_seconds: int = setting(
        "FHIRSTORE_AUDIT_SECONDS",
        values.up_to(30),
        5,
        "Seconds that events wait to be stored together, without FHIRSTORE_AUDIT_SYNC.",
    )
    audit_full: str = setting(
        "FHIRSTORE_AUDIT_FULL",
        values.choice(*WITHOUT_AUDIT),
        "refuse",
        "When events cannot be stored and no more of them can wait: `refuse` requests with 503, or `drop` events and "
        "count them.",
    )
    audit_criteria: str = setting(
        "FHIRSTORE_AUDIT_CRITERIA",
        values.choice(*AUDITED_CRITERIA),
        "names",
        "What events hold of search criteria, which may be data of patients: the `names` of the parameters, these with "
        "`hashed` values (keyed by FHIRSTORE_ACCESS_LOG_KEY), or the `values`.",
    )
