"""One FHIR request on its way through the server: what an interaction needs, and how it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import gmtime
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from fhirstore import TenantStore, Version
from server.outcome import FHIR_JSON
from server.settings import Settings

if TYPE_CHECKING:
    from server.route import Route

FHIR_PATH = "/fhir"
_FHIR_JSON = FHIR_JSON.encode("ascii")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Call:
    """A request, its tenant resolved.

    `parameters`: of the path; `headers`: names in lower case; `table`: the route table in force.
    """

    scope: Scope
    receive: Receive
    parameters: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    tenant: TenantStore
    settings: Settings
    table: Sequence[Route]

    @property
    def request(self) -> Request:
        """Starlette's view of the request, for what is not needed on every one."""
        return Request(self.scope, self.receive)

    @property
    def type(self) -> str:
        """The `[type]` of the URL."""
        return self.parameters["type"]

    @property
    def id(self) -> str:
        """The `[id]` of the URL."""
        return self.parameters["id"]

    @property
    def base_url(self) -> str:
        """The absolute URL of this tenant's FHIR API, as the client sees it, without a slash at the end."""
        root = self.settings.base_url
        if root is None:
            authority = self.header(b"host") or "{}:{}".format(*self.scope["server"])
            root = f"{self.scope['scheme']}://{authority}{FHIR_PATH}"
        return f"{root}/{self.parameters['tenant']}" if self.settings.tenant_source == "path" else root

    def header(self, name: bytes) -> str | None:
        """A header's value; `name` in lower case."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


class VersionResponse(Response):
    """A version as an answer: its stored bytes, ETag and Last-Modified (https://hl7.org/fhir/R4/http.html#read).

    The headers are made here, and not by Response, since this is the answer to nearly every request.
    """

    def __init__(self, version: Version, *, status: int = 200, location: str | None = None) -> None:
        self.status_code = status
        self.body = version.content
        self.background = None
        self.raw_headers = [
            (b"etag", b'W/"%d"' % version.version_id),
            (b"last-modified", http_date(version.last_updated).encode("ascii")),
            (b"content-type", _FHIR_JSON),
            (b"content-length", b"%d" % len(version.content)),
        ]
        if location is not None:
            self.raw_headers.append((b"location", location.encode("latin-1", "replace")))


def version_url(call: Call, version: Version) -> str:
    """The absolute URL of exactly this version."""
    return f"{call.base_url}/{version.type}/{version.id}/_history/{version.version_id}"


def http_date(ms: int) -> str:
    """Epoch ms as an HTTP date, in whole seconds (https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7)."""
    year, month, day, hour, minute, second, weekday, _, _ = gmtime(ms // 1000)
    return f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year} {hour:02}:{minute:02}:{second:02} GMT"
