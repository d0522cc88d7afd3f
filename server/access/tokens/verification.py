"""From the `Authorization` header of a request to an access.

A token that was verified is kept until it expires, so that an authorised read costs a lookup. The header is the only
place that is looked at: tokens in URLs and forms end up in logs (https://www.rfc-editor.org/rfc/rfc6750#section-5.3).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping

from fhirstore import Access
from server.access.tokens.bad_token import BadToken, Unauthorized
from server.access.tokens.claims import SKEW
from server.access.tokens.issuers import Issuer
from server.access.tokens.jws import check_algorithm, read
from server.access.tokens.keys import verify

MOST_KEPT = 4_096
_BEARER = re.compile(rb"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)")


class Verification:
    """Verifies bearer tokens. `issuers`: those that are accepted, by their `iss`. `now`: epoch seconds."""

    def __init__(self, issuers: Mapping[str, Issuer], *, now: Callable[[], float] = time.time) -> None:
        self._issuers = dict(issuers)
        self._now = now
        self._kept: dict[bytes, tuple[Access, float]] = {}

    async def access(self, headers: Mapping[bytes, bytes]) -> Access:
        """Returns what the token of a request allows. `headers`: by name, lines of one name joined.

        Raises Unauthorized, KeysUnavailable.
        """
        value = headers.get(b"authorization")
        if value is None:
            raise Unauthorized
        kept = self._kept.get(value)
        if kept is not None:
            if self._now() < kept[1]:
                return kept[0]
            del self._kept[value]
        found = _BEARER.fullmatch(value)
        if found is None:
            raise Unauthorized
        try:
            access, until = await self._verified(found[1].decode("ascii"))
        except BadToken as bad:
            raise Unauthorized(bad.reason, code=bad.code) from None
        while len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[value] = access, until
        return access

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
