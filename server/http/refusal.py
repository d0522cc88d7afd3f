"""Refusals that HTTP defines and FHIR's interactions do not: 405, 406, 415, 501 …"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.exceptions import HTTPException

from fhirstore.errors import InvalidResource

NO_ENDPOINT = "No such endpoint; the FHIR API is below /fhir, see /fhir/metadata"


class Refused(HTTPException):
    """The request is refused; the message says what to do. `code`: the issue code; None: that of the status."""

    def __init__(
        self, status: int, diagnostics: str, *, headers: Mapping[str, str] | None = None, code: str | None = None
    ) -> None:
        super().__init__(status, diagnostics, dict(headers or {}))
        self.code = code


class RefusedEntry(InvalidResource):
    """An entry of a Bundle is refused with the `status` that it would have as a request of its own."""

    def __init__(self, diagnostics: str, *, status: int, code: str, expression: tuple[str, ...]) -> None:
        super().__init__(diagnostics, code=code, expression=expression)
        self.status = status
