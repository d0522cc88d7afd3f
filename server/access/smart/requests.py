"""The form of a token request, read strictly, and the errors that RFC 6749 has for it.

https://www.rfc-editor.org/rfc/rfc6749#section-5.2 · https://www.rfc-editor.org/rfc/rfc7523#section-2.2
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

import msgspec
from starlette.responses import Response

LONGEST = 64 * 1024  # bytes of a form
FORM = "application/x-www-form-urlencoded"
_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_MOST_MEMBERS = 20


class TokenRefused(Exception):
    """The request is refused with this `error` of RFC 6749. `wait`: seconds after which it may be sent again."""

    def __init__(self, error: str, description: str, *, status: int = 400, wait: float = 0.0) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status
        self.wait = wait

    def answer(self) -> Response:
        """Returns the answer."""
        body = msgspec.json.encode({"error": self.error, "error_description": self.description})
        headers = {**_NO_STORE, "Retry-After": str(math.ceil(self.wait))} if self.wait else _NO_STORE
        return Response(body, self.status, headers, "application/json")


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request for a token by client credentials. `scope`: as it was sent, "" if it was not."""

    assertion: str = field(repr=False)
    scope: str


def read_request(content_type: str, body: bytes, *, authorization: bool) -> TokenRequest:
    """Returns what a form asks for. Raises TokenRefused. `authorization`: there was such a header."""
    if content_type.partition(";")[0].strip().lower() != FORM:
        raise TokenRefused("invalid_request", f"Send the parameters as {FORM}")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MOST_MEMBERS,
        )
    except ValueError:
        raise TokenRefused("invalid_request", "The body is no form, or has too many parameters") from None
    form = dict(pairs)
    if len(form) < len(pairs):
        raise TokenRefused("invalid_request", "A parameter was sent twice")
    if not all(value.isprintable() for value in form.values()):
        raise TokenRefused("invalid_request", "A parameter has characters that it cannot have")
    grant = form.get("grant_type", "")
    if not grant:
        raise TokenRefused("invalid_request", "grant_type is missing")
    if grant != "client_credentials":
        raise TokenRefused("unsupported_grant_type", "Only client_credentials is supported")
    if authorization or "client_secret" in form:
        raise TokenRefused("invalid_client", "Clients authenticate by private_key_jwt alone, not by a secret")
    if form.get("client_assertion_type") != _BEARER or not form.get("client_assertion"):
        raise TokenRefused("invalid_request", f"client_assertion, and client_assertion_type={_BEARER}, are needed")
    return TokenRequest(form["client_assertion"], form.get("scope", ""))


def token_answer(token: str, *, expires_in: int, scope: str) -> Response:
    """Returns the answer with a token."""
    body = msgspec.json.encode(
        {"access_token": token, "token_type": "bearer", "expires_in": expires_in, "scope": scope}
    )
    return Response(body, 200, _NO_STORE, "application/json")
