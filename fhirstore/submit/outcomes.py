"""OperationOutcomes for the provider: one a line of NDJSON, each with the resource of the source that it is about.

https://hl7.org/fhir/uv/bulkdata/submit.html#response---output-manifest ·
https://hl7.org/fhir/StructureDefinition/operationoutcome-sourceResource
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from fhirstore.submit.segment import LineIssue

SOURCE = "http://hl7.org/fhir/StructureDefinition/operationoutcome-sourceResource"
SEVERITIES = ("fatal", "error", "warning", "information", "success")

_encode = msgspec.json.Encoder().encode


def outcome(issues: Iterable[LineIssue], *, source: str = "", place: str = "") -> bytes:
    """Returns an OperationOutcome as a line of NDJSON.

    `source`: the absolute URL of the resource that it is about. `place`: of the line, as `Patient.ndjson, line 12`; it
    begins the diagnostics.
    """
    resource: dict[str, object] = {"resourceType": "OperationOutcome"}
    if source:
        resource["extension"] = [{"url": SOURCE, "valueReference": {"reference": source}}]
    resource["issue"] = [_issue(issue, place) for issue in issues]
    return _encode(resource) + b"\n"


def _issue(issue: LineIssue, place: str) -> dict[str, object]:
    told = f"{place}: {issue.diagnostics}" if place else issue.diagnostics
    shown: dict[str, object] = {"severity": issue.severity, "code": issue.code, "diagnostics": told}
    if issue.expression:
        shown["expression"] = list(issue.expression)
    return shown


def gravest(issues: Iterable[LineIssue]) -> str:
    """Returns the severity by which an OperationOutcome with these issues is counted: the gravest."""
    found = {issue.severity for issue in issues}
    return next((severity for severity in SEVERITIES if severity in found), "information")
