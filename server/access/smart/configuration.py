"""`GET [base]/.well-known/smart-configuration`: where tokens are had, and what can be done with them.

https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html#using-well-known
"""

from __future__ import annotations

from server.access.smart.assertions import ALGORITHMS
from server.access.smart.authorization import TOKEN_PATH
from server.access.tokens.issuers import Metadata

CONFIGURATION_PATH = "/.well-known/smart-configuration"
_SCOPES = ("system/*.rs", "system/*.cruds", "system/bulk-submit", "system/fhirstore.admin")
_USERS = ("openid", "fhirUser", "launch/patient", "patient/*.rs", "user/*.rs")


def own_configuration(base_url: str) -> dict[str, object]:
    """Returns the configuration of a server that issues tokens itself. `base_url`: of the tenant's API."""
    return {
        "token_endpoint": f"{base_url}{TOKEN_PATH}",
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": sorted(ALGORITHMS, reverse=True),
        "grant_types_supported": ["client_credentials"],
        "scopes_supported": list(_SCOPES),
        "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
    }


def outside_configuration(issuer: Metadata) -> dict[str, object]:
    """Returns the configuration of a server whose tokens are of an outside issuer."""
    endpoints = {
        "issuer": issuer.issuer,
        "jwks_uri": issuer.jwks_uri,
        "authorization_endpoint": issuer.authorization_endpoint,
        "token_endpoint": issuer.token_endpoint,
        "introspection_endpoint": issuer.introspection_endpoint,
        "revocation_endpoint": issuer.revocation_endpoint,
    }
    return {name: value for name, value in endpoints.items() if value is not None} | {
        "grant_types_supported": list(issuer.grant_types_supported),
        "code_challenge_methods_supported": list(issuer.code_challenge_methods_supported),
        "scopes_supported": [*_SCOPES, *_USERS],
        "capabilities": ["permission-v1", "permission-v2", "permission-patient", "permission-user"],
    }
