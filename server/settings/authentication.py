"""Settings: who is let in, and by which tokens."""

from __future__ import annotations

from dataclasses import dataclass

from server.settings import values
from server.settings.setting import setting

MODES = ("none", "jwt", "smart")
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_DEFAULT_ALGORITHMS = frozenset(ALGORITHMS) - {"EdDSA"}


@dataclass(frozen=True)
class Authentication:
    """Who is let in, and by which tokens."""

    auth: str | None = setting(
        "FHIRSTORE_AUTH",
        values.choice(*MODES),
        None,
        "`none`: whoever reaches the server may do everything; `jwt`: bearer tokens of `FHIRSTORE_AUTH_ISSUERS`; "
        "`smart`: the server issues tokens to registered clients itself (SMART Backend Services), and takes those of "
        "`FHIRSTORE_AUTH_ISSUERS` too.",
        unset="`none` when listening on a loopback address; on any other one, it must be said",
    )
    auth_issuers: tuple[str, ...] = setting(
        "FHIRSTORE_AUTH_ISSUERS",
        values.issuers,
        (),
        "The issuers whose tokens are accepted, as in their claim `iss`, separated by commas; their keys are found by "
        "OpenID Connect Discovery.",
    )
    auth_audience: tuple[str, ...] = setting(
        "FHIRSTORE_AUTH_AUDIENCE",
        values.words,
        (),
        "What a token of these issuers must name as its audience (`aud`), separated by commas: one of them.",
        unset="`FHIRSTORE_BASE_URL`",
    )
    auth_algorithms: frozenset[str] = setting(
        "FHIRSTORE_AUTH_ALGORITHMS",
        values.some_of(*ALGORITHMS),
        _DEFAULT_ALGORITHMS,
        "The algorithms of signatures that tokens of these issuers may have, separated by commas.",
    )
    auth_tenant_claim: str = setting(
        "FHIRSTORE_AUTH_TENANT_CLAIM",
        values.claim,
        "tenant",
        "The claim that names the tenant; where there is only one tenant, a token may leave it out.",
    )
    auth_plain_http: bool = setting(
        "FHIRSTORE_AUTH_PLAIN_HTTP",
        values.flag,
        False,
        "Fetch the keys of issuers and clients by http, too, from hosts that are not this machine: only in a network "
        "that nobody else is in.",
    )
    user_scopes: str = setting(
        "FHIRSTORE_USER_SCOPES",
        values.choice("patient", "tenant"),
        "patient",
        "What `user/` scopes reach where the user (`fhirUser`) is no Patient: `patient`, nothing; `tenant`, all of "
        "the tenant for a Practitioner or PractitionerRole.",
    )
    clients: str | None = setting(
        "FHIRSTORE_CLIENTS",
        values.text,
        None,
        "The file with clients of the token endpoint (JSON, or TOML as `.toml`), read at the start; `fhirstore client` "
        "registers others in the store.",
        unset="none",
    )

    @property
    def authenticates(self) -> bool:
        """Whether requests need a token."""
        return self.auth in ("jwt", "smart")
