"""Why a token is not accepted: 401 with a `WWW-Authenticate` as RFC 6750 has it, and an OperationOutcome."""

from __future__ import annotations

from server.http.refusal import Refused

REALM = "fhirstore"


class BadToken(Exception):
    """The token, or assertion, is not accepted. `reason`: for its sender; it holds nothing of the token itself.

    `code`: the issue code.
    """

    def __init__(self, reason: str, *, code: str = "security") -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class Unauthorized(Refused):
    """401: the request has no token, or one that is not accepted (`reason`)."""

    def __init__(self, reason: str | None = None, *, code: str = "login") -> None:
        challenge = f'Bearer realm="{REALM}"'
        if reason is not None:
            challenge += f', error="invalid_token", error_description="{reason}"'
        text = "This request needs an access token, as Authorization: Bearer …" if reason is None else reason
        super().__init__(401, text, headers={"WWW-Authenticate": challenge}, code=code)
