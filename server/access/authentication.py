"""Who is let in, as FHIRSTORE_AUTH says: the verification of tokens, and the token endpoint where there is one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from starlette.responses import Response

from fhirstore import Client, Documents, FhirStore
from fhirstore.errors import SourceFailed
from server.access.smart.authorization import Authorization
from server.access.smart.clients import RegisteredClients, read_clients
from server.access.smart.configuration import outside_configuration, own_configuration
from server.access.smart.own_tokens import ISSUER, OwnTokens
from server.access.tokens.issuers import Issuer, Metadata, OutsideIssuer
from server.access.tokens.key_sets import KeySets, KeysUnavailable
from server.access.tokens.verification import Verification
from server.http.call import Call
from server.http.refusal import NO_ENDPOINT, Refused
from server.settings import Settings
from server.settings.loopback import is_loopback

_KEPT = 3_600.0  # seconds
_RETRY = 30.0


@dataclass(slots=True)
class Authentication:
    """The authentication of a server process. `authorization`: the token endpoint; None: tokens come from outside."""

    verification: Verification
    authorization: Authorization | None
    _outside: OutsideIssuer | None = None
    _metadata: Metadata | None = None
    _look_at: float = float("-inf")

    @classmethod
    def of(
        cls,
        store: FhirStore,
        settings: Settings,
        *,
        documents: Documents | None = None,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> Authentication:
        """Raises StoreMisconfigured where the file of clients cannot be used. `now`: epoch seconds."""
        fetched = documents or Documents()

        async def fetch(url: str, *, private: bool = True) -> bytes:
            return await fetched.get(url, plain_http=plain_http(url, settings), private=private)

        outside = [
            OutsideIssuer(issuer, settings, fetch=fetch, now=monotonic, release=store.release)
            for issuer in settings.auth_issuers
        ]
        issuers: dict[str, Issuer] = {one.issuer: one for one in outside}
        authorization = None
        if settings.auth == "smart":
            configured = configured_clients(settings, store.release)
            tokens = issuers[ISSUER] = OwnTokens(store, now=now, monotonic=monotonic)
            clients, key_sets = RegisteredClients(store, configured), KeySets(fetch, now=monotonic)
            authorization = Authorization(store, clients, key_sets, tokens, now=now)
        return cls(Verification(issuers, now=now), authorization, outside[0] if outside else None)

    async def token(self, call: Call) -> Response:
        """Returns the answer of the token endpoint. Raises Refused (404) where there is none."""
        if self.authorization is None:
            raise Refused(404, NO_ENDPOINT)
        return await self.authorization.answer(call)

    async def configuration(self, base_url: str) -> dict[str, object]:
        """Returns what `/.well-known/smart-configuration` says. Raises KeysUnavailable."""
        if self.authorization is not None:
            return own_configuration(base_url)
        now = time.monotonic()
        if self._outside is not None and now >= self._look_at:
            self._look_at = now + _RETRY
            with suppress(SourceFailed):
                self._metadata = await self._outside.metadata()
                self._look_at = now + _KEPT
        if self._metadata is None:
            raise KeysUnavailable
        return outside_configuration(self._metadata)


def configured_clients(settings: Settings, release: str) -> Mapping[str, Client]:
    """Returns the clients of FHIRSTORE_CLIENTS, by id. Raises StoreMisconfigured."""
    return {} if settings.clients is None else read_clients(Path(settings.clients), release=release)


def plain_http(url: str, settings: Settings) -> bool:
    """Whether a document may be fetched by http: from this machine itself, or where the settings say so."""
    return settings.auth_plain_http or is_loopback(urlsplit(url).hostname or "")
