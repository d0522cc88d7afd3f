"""The access log: a line for each request, as text or JSON, without data of patients.

A line has what the log of failures has, in the same order, and then figures. Never in it: bodies, headers (but the
request's own id), the path and the query as they are. The resource's id and the criteria, which may be data of a
patient, are hashed with a key or left out. Every value is made here, is one of a known set, or is quoted: a client can
neither end a line nor add a field to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from urllib.parse import quote

import msgspec

_HASH = 8  # bytes
_LONGEST = 1000  # characters of a plain value: a line is written at once
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{2,45}")
_METHOD = re.compile(r"[A-Z-]{1,20}")
_SAFE = "/:@!$&'()*+,;?-._~|"  # in a value of a text line; not "=", " " and "%"

Field = str | int | float


class Identities:
    """What lines say of resource ids and criteria. `how`: hashed, omitted or plain."""

    def __init__(self, how: str, key: bytes) -> None:
        self._how = how
        self._key = blake2b(key, digest_size=32).digest()

    def of(self, value: str) -> str:
        """Returns what a line says of a value; "" for nothing."""
        if not value or self._how == "omitted":
            return ""
        if self._how == "plain":
            return value[:_LONGEST].encode("utf-8", "replace").decode()
        return "~" + blake2b(value.encode("utf-8", "surrogatepass"), key=self._key, digest_size=_HASH).hexdigest()


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was answered. `status` 0: its client went away before. `type`: a type of the release, or "".

    `route`: a template of the route table. `trace`: the id of its trace, or "". Times in seconds, sizes in bytes.
    """

    interaction: str
    method: str
    request_id: str
    route: str
    status: int
    tenant: str
    type: str
    id: str
    criteria: str
    received: int
    sent: int
    seconds: float
    storage: int
    client: str
    trace: str = ""


class AccessLog:
    """Writes the lines. `form`: text or json. `write`: takes a line."""

    def __init__(
        self,
        form: str,
        identities: Identities,
        write: Callable[[str], None],
        *,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self._line = _as_json if form == "json" else _as_text
        self._identities = identities
        self._write = write
        self._now = now or _utc

    def note(self, request: Request) -> None:
        """Writes the line of a request."""
        identities = self._identities
        fields: dict[str, Field] = {
            "time": self._now().isoformat(timespec="milliseconds"),
            "status": request.status or "closed",
            "interaction": request.interaction,
            "method": request.method if _METHOD.fullmatch(request.method) else "-",
            "request_id": request.request_id or "-",
            "route": request.route,
            "tenant": request.tenant,
            "type": request.type,
            "id": identities.of(request.id and f"{request.type}/{request.id}"),
            "criteria": identities.of(request.criteria),
            "received": request.received,
            "sent": request.sent,
            "ms": round(request.seconds * 1000, 1),
            "storage": request.storage,
            "client": request.client if _ADDRESS.fullmatch(request.client) else "",
            "trace": request.trace,
        }
        self._write(self._line({name: value for name, value in fields.items() if value != ""}))


_LEADING = ("time", "status", "interaction", "method", "request_id", "route")


def _as_json(fields: Mapping[str, Field]) -> str:
    return msgspec.json.encode(fields).decode()  # control characters are escaped, and there is no line break


def _as_text(fields: Mapping[str, Field]) -> str:
    """Returns the leading fields alone, then those that have a name."""
    leading = [_route(fields[name]) if name == "route" else _quoted(fields[name]) for name in _LEADING]
    named = [f"{name}={_quoted(value)}" for name, value in fields.items() if name not in _LEADING]
    return " ".join([*leading, *named])


def _route(value: Field) -> str:
    return str(value)  # of the route table, with braces


def _quoted(value: Field) -> str:
    return quote(value, safe=_SAFE) if isinstance(value, str) else str(value)


def _utc() -> datetime:
    return datetime.now(UTC)
