"""Sends one resource: PUT where it has an id, POST where it has none, and again where that is safe.

Again: on 429, 502, 503 and 504, and when the connection fails. A PUT may be repeated whatever happened to it. A POST
is repeated only if it certainly did nothing (no connection came about, or 429, or 503); else its outcome is unknown,
and repeating it might create the resource twice.

https://hl7.org/fhir/R4/http.html#update · https://hl7.org/fhir/R4/http.html#create
· https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal, TypeAlias
from urllib.parse import quote

import httpx
import msgspec

from fhirstore.clock import Clock, Ids
from server.load.reading import Resource

Result: TypeAlias = Literal["created", "updated", "failed", "unknown"]

_BUSY = frozenset({429, 502, 503, 504})
_DID_NOTHING = frozenset({429, 503})
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout)


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a request is sent at most, and the seconds between: doubled from `first` to `longest`, jittered.

    A Retry-After of the server counts if it is longer, up to `patience`.
    """

    attempts: int = 8
    first: float = 0.25
    longest: float = 10.0
    patience: float = 60.0


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a resource is not there: HTTP `status` (0: no answer), FHIR issue `code`, the server's `diagnostics`."""

    status: int
    code: str
    diagnostics: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a resource, after `retries` further requests. `cause` is None when it is stored."""

    source: str
    type: str
    result: Result
    size: int
    retries: int
    cause: Cause | None = None


class Sender:
    """Sends resources below `base`. `lost` once no connection came about for all the attempts of a request."""

    def __init__(self, client: httpx.AsyncClient, base: str, *, retries: Retries, clock: Clock, ids: Ids) -> None:
        self.lost = False
        self._client = client
        self._base = base
        self._retries = retries
        self._clock = clock
        self._ids = ids

    async def send(self, resource: Resource) -> Outcome:
        """Send until there is a final answer; never raises for what a server or a network does."""
        url, method = f"{self._base}/{resource.type}", "POST"
        if resource.id is not None:
            url, method = f"{url}/{quote(resource.id, safe='')}", "PUT"
        for attempt in range(1, self._retries.attempts + 1):
            asked = 0.0
            try:
                response = await self._client.request(method, url, content=resource.body)
            except httpx.RequestError as error:
                cause = Cause(0, "transient", f"No answer: {type(error).__name__}")
                harmless = isinstance(error, _NEVER_SENT)
                unknown = not harmless
                if attempt == self._retries.attempts and harmless:
                    self.lost = True
            else:
                if response.is_success:
                    result: Result = "created" if response.status_code == 201 else "updated"
                    return Outcome(resource.source, resource.type, result, len(resource.body), attempt - 1)
                cause = _cause(response)
                unknown = response.status_code in _BUSY - _DID_NOTHING
                harmless = response.status_code in _DID_NOTHING
                asked = self._retry_after(response)
            again = harmless or (unknown and method == "PUT")
            if not again or attempt == self._retries.attempts:
                break
            await asyncio.sleep(self._pause(attempt, asked))
        return Outcome(
            resource.source, resource.type, "unknown" if unknown else "failed", len(resource.body), attempt - 1, cause
        )

    def _pause(self, attempt: int, asked: float) -> float:
        ours = min(self._retries.longest, self._retries.first * 2 ** (attempt - 1))
        least = min(max(asked, ours / 2), self._retries.patience)
        return self._ids.jitter(least, max(least * 1.25, ours))

    def _retry_after(self, response: httpx.Response) -> float:
        value = response.headers.get("Retry-After", "").strip()
        if value.isascii() and value.isdigit():
            return float(value)
        try:
            date = parsedate_to_datetime(value)
        except ValueError:
            return 0.0
        aware = date if date.tzinfo else date.replace(tzinfo=UTC)
        return max(0.0, aware.timestamp() - self._clock.now() / 1000)


class _Issue(msgspec.Struct):
    severity: str = ""
    code: str = ""
    diagnostics: str | None = None
    details: dict[str, object] | None = None


class _Outcome(msgspec.Struct):
    issue: list[_Issue] = []


def _cause(response: httpx.Response) -> Cause:
    """The first error in an OperationOutcome; without one, the status alone."""
    try:
        issues = msgspec.json.decode(response.content, type=_Outcome).issue
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        issues = []
    errors = [issue for issue in issues if issue.severity in {"error", "fatal"}] or issues
    if not errors:
        return Cause(response.status_code, "", response.reason_phrase)
    text = errors[0].diagnostics or str((errors[0].details or {}).get("text", ""))
    return Cause(response.status_code, errors[0].code, text[:500])
