"""The OperationOutcomes of an export: what of the request was left out, and what could not be exported."""

from __future__ import annotations

from fhirstore.errors import Issue
from fhirstore.fhir import json
from fhirstore.fhir.json import JsonObject

DAMAGED = "What is stored of this resource is damaged, so it was not exported; the operator should run fhirstore fsck"
ARCHIVED = (
    "The version to export lies in the bucket's archive, so it was not exported; the operator can bring it back with "
    "`fhirstore restore`"
)
LOST = (
    "A part of the listing of these resources is damaged; some may be missing; the operator should run fhirstore fsck"
)


def outcome_line(issue: Issue) -> bytes:
    """Returns an OperationOutcome with one issue as a line, without its end."""
    told: JsonObject = {"severity": issue.severity, "code": issue.code, "diagnostics": issue.diagnostics}
    if issue.expression:
        told["expression"] = list(issue.expression)
    return json.encode({"resourceType": "OperationOutcome", "issue": [told]})


def damaged(type: str, id: str, *, archived: bool = False) -> Issue:
    """Returns the issue for a resource that cannot be read."""
    return Issue("exception", f"{type}/{id}: {ARCHIVED if archived else DAMAGED}")


def lost(type: str) -> Issue:
    """Returns the issue for a part of a listing that cannot be read."""
    return Issue("incomplete", f"{type}: {LOST}")
