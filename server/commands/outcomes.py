"""Why a request failed, read from a server's answer.

https://hl7.org/fhir/R4/operationoutcome.html
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

_LONGEST = 500  # characters of a message that are kept


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something failed: HTTP `status` (0: no answer), FHIR issue `code`, the server's `diagnostics`."""

    status: int
    code: str
    diagnostics: str


class Issue(msgspec.Struct):
    """An issue of an OperationOutcome, as far as it is shown."""

    severity: str = ""
    code: str = ""
    diagnostics: str | None = None
    details: dict[str, object] | None = None
    expression: list[str] = []

    @property
    def text(self) -> str:
        """The words of the server, cut to a length that can be shown."""
        return (self.diagnostics or str((self.details or {}).get("text", "")))[:_LONGEST]


class Outcome(msgspec.Struct):
    """An OperationOutcome, as far as it is shown."""

    issue: list[Issue] = []


def outcome_in(content: bytes) -> Outcome | None:
    """Returns the OperationOutcome that the bytes are; None: they are none."""
    try:
        return msgspec.json.decode(content, type=Outcome)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def cause_of(status: int, reason: str, content: bytes) -> Cause:
    """Returns the first error in an OperationOutcome; without one, the status alone."""
    return cause_in(outcome_in(content), status, reason)


def cause_in(outcome: Outcome | None, status: int, reason: str) -> Cause:
    """Returns the first error in `outcome`; without one, the status alone."""
    issues = [] if outcome is None else outcome.issue
    errors = [issue for issue in issues if issue.severity in {"error", "fatal"}] or issues
    if not errors:
        return Cause(status, "", reason)
    first = errors[0]
    places = [place for place in first.expression if place.startswith("Bundle.entry")]
    return Cause(status, first.code, f"{first.text}{f' ({places[0]})' if places else ''}")
