"""Reads the result of a resource, or of the entries of a Bundle, from a server's answer.

https://hl7.org/fhir/R4/operationoutcome.html · https://hl7.org/fhir/R4/http.html#transaction-response
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from server.commands.load.reading import Request

Result: TypeAlias = Literal["created", "updated", "existing", "failed", "unknown"]
"""`existing`: a conditional create found its resource, or the entry was a read."""

_LONGEST = 500  # characters of a message that are kept


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a resource is not stored: HTTP `status` (0: no answer), FHIR issue `code`, the server's `diagnostics`."""

    status: int
    code: str
    diagnostics: str


class _Issue(msgspec.Struct):
    severity: str = ""
    code: str = ""
    diagnostics: str | None = None
    details: dict[str, object] | None = None
    expression: list[str] = []


class _Outcome(msgspec.Struct):
    issue: list[_Issue] = []


class _Response(msgspec.Struct):
    status: str
    outcome: _Outcome | None = None


class _Entry(msgspec.Struct):
    response: _Response


class _Bundle(msgspec.Struct):
    entry: list[_Entry] = []


def cause_of(status: int, reason: str, content: bytes) -> Cause:
    """Returns the first error in an OperationOutcome; without one, the status alone."""
    try:
        found = msgspec.json.decode(content, type=_Outcome)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    return _cause(status, reason, found)


def fates(content: bytes, requests: Sequence[Request]) -> list[tuple[Result, Cause | None]] | None:
    """Returns the results of the entries of a Bundle that was processed; None: the answer does not say them."""
    try:
        entries = msgspec.json.decode(content, type=_Bundle).entry
        statuses = [int(entry.response.status.partition(" ")[0]) for entry in entries]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    if len(entries) != len(requests):
        return None
    return [
        _fate(status, entry.response, request)
        for status, entry, request in zip(statuses, entries, requests, strict=True)
    ]


def _fate(status: int, response: _Response, request: Request) -> tuple[Result, Cause | None]:
    if not 200 <= status < 400:
        return "failed", _cause(status, response.status.partition(" ")[2], response.outcome)
    if status == 201:
        return "created", None
    return ("updated" if request.method in ("PUT", "PATCH", "DELETE") else "existing"), None


def _cause(status: int, reason: str, outcome: _Outcome | None) -> Cause:
    issues = [] if outcome is None else outcome.issue
    errors = [issue for issue in issues if issue.severity in {"error", "fatal"}] or issues
    if not errors:
        return Cause(status, "", reason)
    first = errors[0]
    text = first.diagnostics or str((first.details or {}).get("text", ""))
    places = [place for place in first.expression if place.startswith("Bundle.entry")]
    return Cause(status, first.code, f"{text[:_LONGEST]}{f' ({places[0]})' if places else ''}")
