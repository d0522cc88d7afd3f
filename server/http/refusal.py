"""A request refused for HTTP's own reasons, before any interaction: 405, 406, 415, 501 …"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.exceptions import HTTPException

from fhirstore.errors import InvalidResource

NO_ENDPOINT = "No such endpoint; the FHIR API is below /fhir, see /fhir/metadata"


class Refused(HTTPException):
    """A request refused, with what to do instead. `code`: the issue code, where the status does not say it."""

    def __init__(
        self, status: int, diagnostics: str, *, headers: Mapping[str, str] | None = None, code: str | None = None
    ) -> None:
        super().__init__(status, diagnostics, dict(headers or {}))
        self.code = code


class RefusedEntry(InvalidResource):
    """An entry of a Bundle refused as the request that it stands for is refused: with this `status`."""

    def __init__(self, diagnostics: str, *, status: int, code: str, expression: tuple[str, ...]) -> None:
        super().__init__(diagnostics, code=code, expression=expression)
        self.status = status
