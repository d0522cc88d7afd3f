"""From the `Authorization` header of a request to an access.

A token that was verified is kept for half a minute, so that an authorised read costs a lookup, and a key that is no
longer its issuer's stops to count. The header is the only place that is looked at: tokens in URLs and forms end up in
logs (https://www.rfc-editor.org/rfc/rfc6750#section-5.3).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fhirstore import Access, TenantStore
from server.access.tokens.bad_token import BadToken, Unauthorized
from server.access.tokens.claims import SKEW
from server.access.tokens.issuers import Issuer
from server.access.tokens.jws import check_algorithm, read
from server.access.tokens.keys import verify

MOST_KEPT = 4_096
KEPT = 30.0
"""Seconds for which a token counts without a look at the keys."""

_BEARER = re.compile(rb"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)")


@dataclass(slots=True)
class Verified:
    """A token that was verified. `until`: epoch seconds, when it is verified anew, or has expired.

    `acting`: kept here by whoever has made it.
    """

    access: Access
    until: float
    acting: TenantStore | None = None


class Verification:
    """Verifies bearer tokens. `issuers`: those that are accepted, by their `iss`. `now`: epoch seconds."""

    def __init__(self, issuers: Mapping[str, Issuer], *, now: Callable[[], float] = time.time) -> None:
        self._issuers = dict(issuers)
        self._now = now
        self._kept: dict[bytes, Verified] = {}

    def kept(self, headers: Mapping[bytes, bytes]) -> Verified | None:
        """Returns the token of a request if it was verified lately and is still valid. `headers`: by name."""
        value = headers.get(b"authorization")
        found = None if value is None else self._kept.get(value)
        return found if found is not None and self._now() < found.until else None

    async def verified(self, headers: Mapping[bytes, bytes]) -> Verified:
        """Returns the token of a request, verified. `headers`: by name, lines of one name joined.

        Raises Unauthorized, KeysUnavailable.
        """
        kept = self.kept(headers)
        if kept is not None:
            return kept
        value = headers.get(b"authorization", b"")
        found = _BEARER.fullmatch(value)
        if found is None:
            raise Unauthorized
        self._kept.pop(value, None)
        try:
            access, until = await self._verified(found[1].decode("ascii"))
        except BadToken as bad:
            raise Unauthorized(bad.reason, code=bad.code) from None
        while len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        verified = self._kept[value] = Verified(access, min(until, self._now() + KEPT))
        return verified

    async def _verified(self, text: str) -> tuple[Access, float]:
        token = read(text)
        named = token.claims.get("iss")  # it says whose keys to look at; nothing counts before they have verified it
        issuer = self._issuers.get(named) if isinstance(named, str) else None
        if issuer is None:
            raise BadToken("The token is of an issuer that is not accepted here")
        check_algorithm(token, issuer.algorithms)
        verify(token, await issuer.keys_for(token))
        access, expires = issuer.access(token, self._now())
        return access, expires + SKEW
