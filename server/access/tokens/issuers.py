"""Outside issuers: their keys by OpenID Connect Discovery, and the access that the claims of their tokens give.

https://openid.net/specs/openid-connect-discovery-1_0.html ·
https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

import msgspec

from fhirstore import Access, parse_scopes
from fhirstore.errors import SourceFailed
from server.access.tokens.bad_token import BadToken
from server.access.tokens.claims import check_claims, text_of
from server.access.tokens.jws import SignedToken
from server.access.tokens.key_sets import Fetch, KeySet
from server.access.tokens.keys import PublicKey
from server.settings import Settings

_DISCOVERY = "/.well-known/openid-configuration"
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_USER = re.compile(r"(?P<type>Patient|Practitioner|PractitionerRole|RelatedPerson|Person)/[A-Za-z0-9.-]{1,64}")
_CLINICAL = ("system/", "user/", "patient/")


class Issuer(Protocol):
    """Who may have issued a token."""

    @property
    def algorithms(self) -> Collection[str]:
        """The algorithms that its signatures may have."""
        ...

    async def keys_for(self, token: SignedToken) -> Sequence[PublicKey]:
        """Returns the keys that it may have signed this token with. Raises BadToken, KeysUnavailable."""
        ...

    def access(self, token: SignedToken, now: float) -> tuple[Access, float]:
        """Returns what a token with a good signature allows, and when it expires. Raises BadToken."""
        ...


class Metadata(msgspec.Struct, frozen=True):
    """What is read of an issuer's OpenID configuration."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    introspection_endpoint: str | None = None
    revocation_endpoint: str | None = None
    grant_types_supported: tuple[str, ...] = ("authorization_code",)
    code_challenge_methods_supported: tuple[str, ...] = ()


_read_metadata = msgspec.json.Decoder(Metadata).decode


class OutsideIssuer:
    """An issuer that the settings name. `fetch`: gets a document. `now`: seconds that only go forward."""

    def __init__(
        self, issuer: str, settings: Settings, *, fetch: Fetch, now: Callable[[], float], release: str
    ) -> None:
        self.issuer = issuer
        self._audiences = frozenset(settings.auth_audience or (settings.base_url or "",))
        self._algorithms = settings.auth_algorithms
        self._tenant_claim = settings.auth_tenant_claim
        self._base_url = settings.base_url
        self._users_reach_tenant = settings.user_scopes == "tenant"
        self._release = release
        self._fetch = fetch
        self._keys = KeySet(self._fetched_keys, now=now)

    @property
    def algorithms(self) -> Collection[str]:
        return self._algorithms

    async def keys_for(self, token: SignedToken) -> Sequence[PublicKey]:
        return await self._keys.keys_for(token)

    async def metadata(self) -> Metadata:
        """Returns what the issuer says of itself. Raises SourceFailed."""
        body = await self._fetch(self.issuer.rstrip("/") + _DISCOVERY)
        try:
            found = _read_metadata(body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise SourceFailed("The issuer's configuration cannot be read", code="invalid") from None
        if found.issuer != self.issuer:
            raise SourceFailed("The issuer's configuration is of another issuer", code="security")
        return found

    async def _fetched_keys(self) -> bytes:
        url = (await self.metadata()).jwks_uri
        # the operator has named the issuer's host; another one, which the issuer names, has to be a public one
        return await self._fetch(url, private=urlsplit(url).hostname == urlsplit(self.issuer).hostname)

    def access(self, token: SignedToken, now: float) -> tuple[Access, float]:
        claims = token.claims
        expires = check_claims(claims, issuer=self.issuer, audiences=self._audiences, now=now)
        subject = text_of(claims, "sub")
        client = text_of(claims, "client_id") or text_of(claims, "azp") or text_of(claims, "appid") or subject
        if subject is None or client is None:
            raise BadToken("The token does not say whose it is (sub)")
        patient = text_of(claims, "patient", most=64)
        if patient is not None and not _ID.fullmatch(patient):
            raise BadToken("The token's patient is no id of a Patient")
        submitter = text_of(claims, "submitter")
        scopes, others, refused = parse_scopes(_scopes(claims), release=self._release)
        unenforced = [word for word in refused if word.startswith(_CLINICAL) or " " in word]
        if unenforced:  # scopes of other services (profile, email, …) grant nothing here
            raise BadToken(f"The token has scopes that cannot be enforced: {_shown(unenforced)}")
        return (
            Access(
                subject=subject,
                client=f"{client}@{self.issuer}",
                tenant=text_of(claims, self._tenant_claim, most=63),
                scopes=scopes,
                patient=patient,
                others=others,
                user=self._user(claims),
                users_reach_tenant=self._users_reach_tenant,
                submitters=None if submitter is None else frozenset((submitter,)),
            ),
            expires,
        )

    def _user(self, claims: Mapping[str, object]) -> str | None:
        """Returns the `fhirUser` as a relative reference. A user of another FHIR server is unknown here."""
        found = text_of(claims, "fhirUser")
        if found is None:
            return None
        if self._base_url is not None:
            found = found.removeprefix(f"{self._base_url}/")
            tenant = claims.get(self._tenant_claim)
            found = found.removeprefix(f"{tenant}/") if isinstance(tenant, str) else found
        return found if _USER.fullmatch(found) else "Person/-"


def _scopes(claims: Mapping[str, object]) -> str:
    """Returns the scopes, from `scope` (RFC 9068), or from `scp`, which some issuers have instead; either is a text or
    a list."""
    found = claims.get("scope", claims.get("scp", ""))
    if isinstance(found, list) and all(isinstance(one, str) for one in found):
        return " ".join(found)
    if not isinstance(found, str):
        raise BadToken("The token's scope is neither a text nor a list of texts")
    return found


def _shown(words: Sequence[str]) -> str:
    """Returns some of the words, as they can stand in a header."""
    told = ", ".join(word[:100] for word in words[:5])
    return re.sub(r"[^ !#-\[\]-~]", "?", told)
