"""One FHIR request on its way through the server: what an interaction needs, and how it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from fhirstore import TenantStore, Version
from server.outcome import FHIR_JSON
from server.settings import Settings

if TYPE_CHECKING:
    from server.route import Route


@dataclass(frozen=True, slots=True)
class Call:
    """A request, its tenant resolved. `base_url`: absolute, of this tenant's FHIR API, without a slash at the end.

    `parameters`: of the path; `headers`: names in lower case; `table`: the route table in force.
    """

    request: Request
    parameters: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    tenant: TenantStore
    base_url: str
    settings: Settings
    table: Sequence[Route]

    @property
    def type(self) -> str:
        """The `[type]` of the URL."""
        return self.parameters["type"]

    @property
    def id(self) -> str:
        """The `[id]` of the URL."""
        return self.parameters["id"]

    def header(self, name: bytes) -> str | None:
        """A header's value; `name` in lower case."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


def version_response(version: Version, *, status: int = 200, location: str | None = None) -> Response:
    """Answers with a version: its stored bytes, ETag and Last-Modified (https://hl7.org/fhir/R4/http.html#read)."""
    headers = {
        "ETag": f'W/"{version.version_id}"',
        "Last-Modified": formatdate(version.last_updated // 1000, usegmt=True),
    }
    if location is not None:
        headers["Location"] = location
    return Response(version.content, status, headers, FHIR_JSON)


def version_url(call: Call, version: Version) -> str:
    """The absolute URL of exactly this version."""
    return f"{call.base_url}/{version.type}/{version.id}/_history/{version.version_id}"
