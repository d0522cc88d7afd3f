"""Reads the results of the entries of a Bundle from a server's answer.

https://hl7.org/fhir/R4/http.html#transaction-response
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from server.commands.load.reading import Request
from server.commands.outcomes import Cause, Outcome, cause_in

Result: TypeAlias = Literal["created", "updated", "existing", "failed", "unknown"]
"""`existing`: a conditional create found its resource, or the entry was a read."""


class _Response(msgspec.Struct):
    status: str
    outcome: Outcome | None = None


class _Entry(msgspec.Struct):
    response: _Response


class _Bundle(msgspec.Struct):
    entry: list[_Entry] = []


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
        return "failed", cause_in(response.outcome, status, response.status.partition(" ")[2])
    if status == 201:
        return "created", None
    return ("updated" if request.method in ("PUT", "PATCH", "DELETE") else "existing"), None
