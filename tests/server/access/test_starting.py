"""Who is let in has to be said where other machines can reach the server, and has to be said without contradictions."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.commands.serve import CannotStart, serve
from server.settings import BadSetting, Settings, from_environment


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (Settings(store="memory:", host="0.0.0.0"), "FHIRSTORE_AUTH=none"),  # noqa: S104 - nothing is bound
        (Settings(store="memory:", host="::", auth="smart"), "FHIRSTORE_BASE_URL"),
        (Settings(store="memory:", auth="smart", trusted_proxies=("10.0.0.1",)), "FHIRSTORE_BASE_URL"),
        (Settings(store="memory:", auth="smart", allowed_hosts=("*",)), "FHIRSTORE_BASE_URL"),
        (Settings(store="memory:", auth="smart", clients="/nowhere/clients.json"), "/nowhere/clients.json"),
    ],
)
def test_a_server_that_would_be_open_or_ambiguous_does_not_start(settings: Settings, told: str) -> None:
    """One line that says what to set."""
    with pytest.raises(CannotStart, match=told):
        serve(settings, host=settings.host, port=0, workers=1)


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"FHIRSTORE_AUTH": "basic"}, "must be one of none, jwt, smart"),
        ({"FHIRSTORE_AUTH": "jwt"}, "FHIRSTORE_AUTH_ISSUERS"),
        ({"FHIRSTORE_AUTH": "jwt", "FHIRSTORE_AUTH_ISSUERS": "login.example.org"}, "http or https URL"),
        ({"FHIRSTORE_AUTH": "jwt", "FHIRSTORE_AUTH_ISSUERS": "https://a.example"}, "FHIRSTORE_AUTH_AUDIENCE"),
        ({"FHIRSTORE_AUTH_ISSUERS": "https://a.example", "FHIRSTORE_AUTH_AUDIENCE": "x"}, "FHIRSTORE_AUTH=jwt"),
        (
            {"FHIRSTORE_AUTH": "jwt", "FHIRSTORE_AUTH_ISSUERS": "http://a.example", "FHIRSTORE_AUTH_AUDIENCE": "x"},
            "https only",
        ),
        ({"FHIRSTORE_CLIENTS": "clients.json"}, "FHIRSTORE_AUTH=smart"),
        ({"FHIRSTORE_AUTH_ALGORITHMS": "HS256"}, "HS256"),
        ({"FHIRSTORE_AUTH_ALGORITHMS": "none"}, "without a signature"),
        ({"FHIRSTORE_USER_SCOPES": "all"}, "patient, tenant"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(env: dict[str, str], told: str) -> None:
    """With the name of the variable."""
    with pytest.raises(BadSetting, match=told):
        from_environment(env)


@pytest.mark.parametrize(
    ("client", "told"),
    [
        ('"scopes": []', "no scopes"),
        (
            '"scopes": ["system/Nothing.rs"], "jwks_uri": "https://a.example"',
            "unknown",
        ),
        (
            '"scopes": ["patient/*.rs"], "jwks_uri": "https://a.example"',
            "only system",
        ),
        ('"scopes": ["system/*.rs"]', "either jwks or jwks_uri"),
        ('"scopes": ["system/*.rs"], "jwks_uri": "file:///etc/passwd"', "https URL"),
        (
            '"scopes": ["system/*.rs"], "jwks": {"keys": [{"kty": "oct"}]}',
            "RSA or EC",
        ),
        (
            '"scopes": ["system/*.rs"], "jwks": {"keys": [{"kty": "EC", "d": "1"}]}',
            "private key",
        ),
        ('"scopes": ["system/*.rs"], "secret": "x"', "secret"),
    ],
)
def test_a_client_that_is_configured_wrongly_stops_the_start(tmp_path: Path, client: str, told: str) -> None:
    """One line that says which client, and what to correct."""
    path = tmp_path / "clients.json"
    path.write_text(f'{{"clients": [{{"id": "x", "tenant": "default", {client}}}]}}')
    settings = Settings(store="memory:", auth="smart", clients=str(path))
    with pytest.raises(CannotStart, match=told):
        serve(settings, host=settings.host, port=0, workers=1)
