"""Access tokens: found by RFC 9728 and by SMART, asked for with a signed assertion, kept, and sent to one origin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import pytest
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, Key, RSAKey

from fhirstore.clock import SystemClock
from fhirstore.submit.fetching.oauth import scopes
from fhirstore.submit.fetching.sources import NetworkSources
from fhirstore.submit.source import Access, Wanted
from tests.submit.fetching.serving import QUICK, Provider, fetched, refusal, said, serving, submitter

EC = ECKey.generate_key("P-384", parameters={"kid": "ec-1"})
RSA = RSAKey.generate_key(2048)


@dataclass(slots=True)
class Later:
    """A clock that can be set forward."""

    ahead: int = 0

    def now(self) -> int:
        return SystemClock().now() + self.ahead


@dataclass(slots=True)
class Protected:
    """A provider with an authorization server. `metadata`: documents by path. `forms`: token requests."""

    key: Key = field(default_factory=lambda: EC)
    smart: dict[str, object] = field(default_factory=dict)
    resource: dict[str, object] | None = None
    life: object = 300
    issued: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    forms: list[Mapping[str, str]] = field(default_factory=list)
    answer: web.Response | None = None
    base: str = ""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.base = f"http://{request.headers['Host']}"
        path = request.path
        if path == "/fhir/.well-known/smart-configuration":
            return web.json_response({"token_endpoint": f"{self.base}/token", **self.smart})
        if path == "/.well-known/oauth-protected-resource/fhir":
            found = {"resource": f"{self.base}/fhir", "authorization_servers": [f"{self.base}/as"]}
            return web.json_response({**found, **(self.resource or {})})
        if path == "/.well-known/oauth-authorization-server/as":
            found = {"issuer": f"{self.base}/as", "token_endpoint": f"{self.base}/token"}
            return web.json_response({**found, **self.smart})
        if path == "/token":
            return await self._token(request)
        if path.startswith("/fhir/"):
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            if scheme != "Bearer" or token not in self.issued or token in self.refused:
                return web.Response(status=401)
            return web.Response(body=b"protected")
        return web.Response(status=404)

    async def _token(self, request: web.BaseRequest) -> web.StreamResponse:
        form = cast("Mapping[str, str]", await request.post())
        self.forms.append(form)
        if self.answer is not None:
            return self.answer
        verified = jwt.decode(form["client_assertion"], self.key, algorithms=["ES384", "RS384"])
        claims = verified.claims
        jwt.JWTClaimsRegistry(
            now=lambda: int(claims["iat"]),
            aud={"essential": True, "value": f"{self.base}/token"},
            iss={"essential": True, "value": "client-1"},
            sub={"essential": True, "value": "client-1"},
            exp={"essential": True},
            jti={"essential": True},
        ).validate(claims)
        assert claims["exp"] - claims["iat"] <= 300
        assert form["grant_type"] == "client_credentials"
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        token = f"token-{len(self.issued)}"
        self.issued.append(token)
        return web.json_response({"access_token": token, "token_type": "Bearer", "expires_in": self.life})


def sources_with(key: Key = EC, *, clock: Later | None = None, text: str | None = None) -> NetworkSources:
    secrets = {"CLIENT_KEY": text or json.dumps(key.as_dict(private=True))}
    return NetworkSources(limits=QUICK, secrets=secrets.get, clock=clock or Later())


def smart_access(provider: Provider, *others: Provider | str, headers: tuple[tuple[str, str], ...] = ()) -> Access:
    url = provider.url("/fhir/.well-known/smart-configuration")
    return Access(submitter(provider, *others, keys=True), headers, oauth=(url,))


def file_of(provider: Provider, *types: str) -> Wanted:
    return Wanted(provider.url("/fhir/file"), token=True, types=types)


@pytest.mark.parametrize(
    "found_by", ["/fhir/.well-known/smart-configuration", "/.well-known/oauth-protected-resource/fhir"]
)
@pytest.mark.parametrize("key", [EC, RSA], ids=["ES384", "RS384"])
async def test_a_token_is_found_and_sent(found_by: str, key: Key) -> None:
    """By SMART's document, and from the protected resource's over the authorization server's."""
    protected = Protected(key)
    async with serving(protected) as provider:
        access = Access(submitter(provider, keys=True), (("X-Key", "k"),), oauth=(provider.url(found_by),))
        found, _ = await fetched(access, file_of(provider, "Patient"), sources=sources_with(key))
        assert found == b"protected"
        assert protected.forms[0]["scope"] == "system/Patient.rs"
        header = json.loads(_part(protected.forms[0]["client_assertion"]))
        assert header["alg"] == ("ES384" if key is EC else "RS384")
        assert header["kid"] == ("ec-1" if key is EC else key.thumbprint())
        sent = {one.path: one.headers.get("X-Key") for one in provider.seen}
        assert sent.pop("/fhir/file") == "k"
        assert set(sent.values()) == {None}


async def test_a_token_is_kept_until_it_expires() -> None:
    """One for each scope; over all manifests of the submitter."""
    protected, clock = Protected(), Later()
    async with serving(protected) as provider:
        sources = sources_with(clock=clock)
        for _ in range(2):
            await fetched(smart_access(provider), file_of(provider, "Patient"), sources=sources)
        assert len(protected.forms) == 1
        await fetched(smart_access(provider), file_of(provider), sources=sources)
        assert [form["scope"] for form in protected.forms] == ["system/Patient.rs", "system/*.rs"]
        clock.ahead = 280_000
        await fetched(smart_access(provider), file_of(provider), sources=sources)
        assert len(protected.forms) == 3


async def test_a_token_that_is_refused_is_replaced_once() -> None:
    """The provider may have revoked it; a second refusal is told."""
    protected = Protected()
    async with serving(protected) as provider:
        sources = sources_with()
        await fetched(smart_access(provider), file_of(provider), sources=sources)
        protected.refused.add("token-0")
        found, _ = await fetched(smart_access(provider), file_of(provider), sources=sources)
        assert found == b"protected" and protected.issued == ["token-0", "token-1"]
        protected.refused |= {"token-1", "token-2"}
        error = await refusal(smart_access(provider), file_of(provider), sources=sources)
        assert error.issues[0].code == "security" and len(protected.issued) == 3


async def test_a_token_is_never_sent_to_another_origin() -> None:
    """Neither to a file of another host on the list, nor by a redirect; nor is it asked for in vain."""
    protected = Protected()

    async def elsewhere(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b"elsewhere")

    async with serving(elsewhere) as other:

        async def redirecting(request: web.BaseRequest) -> web.StreamResponse:
            if request.path == "/fhir/away":
                return web.Response(status=302, headers={"Location": other.url()})
            return await protected(request)

        async with serving(redirecting) as provider:
            access = smart_access(provider, other)
            error = await refusal(access, Wanted(other.url(), token=True), sources=sources_with())
            assert error.issues[0].code == "security" and other.seen == [] and protected.forms == []
            away = Wanted(provider.url("/fhir/away"), token=True)
            assert (await fetched(access, away, sources=sources_with()))[0] == b"elsewhere"
            assert protected.issued and "Authorization" not in other.seen[0].headers


async def test_each_place_has_its_own_metadata() -> None:
    """`oauthMetadataUrl` is repeated where files are in several."""
    one, two = Protected(), Protected()
    async with serving(one) as first, serving(two) as second:
        urls = tuple(each.url("/fhir/.well-known/smart-configuration") for each in (first, second))
        access = Access(submitter(first, second, keys=True), oauth=urls)
        for provider in (first, second):
            assert (await fetched(access, file_of(provider), sources=sources_with()))[0] == b"protected"
        assert len(one.forms) == len(two.forms) == 1


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"token_endpoint": "https://evil.example/token"}, "forbidden"),
        ({"token_endpoint": "http://169.254.169.254/token"}, "forbidden"),
        ({"token_endpoint": "http://user:secret@127.0.0.1/token"}, "value"),
        ({"token_endpoint": None}, "invalid"),
        ({"token_endpoint": 5}, "invalid"),
        ({"grant_types_supported": ["authorization_code"]}, "not-supported"),
        ({"token_endpoint_auth_methods_supported": ["client_secret_basic"]}, "not-supported"),
        ({"token_endpoint_auth_signing_alg_values_supported": ["HS256"]}, "security"),
    ],
)
async def test_an_authorization_server_that_cannot_be_used_is_told(changed: dict[str, object], code: str) -> None:
    """Above all one whose endpoint is off the list of hosts: the assertion is not sent there."""
    async with serving(Protected(smart=changed)) as provider:
        error = await refusal(smart_access(provider), file_of(provider), sources=sources_with())
        assert error.issues[0].code == code
        assert all(one.path != "/token" for one in provider.seen)
        assert "secret" not in said(error)


@pytest.mark.parametrize(
    ("resource", "issuer", "code"),
    [
        ({"resource": "https://other.example/fhir"}, {}, "security"),
        ({"resource": None}, {}, "security"),
        ({"authorization_servers": ["https://evil.example"]}, {}, "forbidden"),
        ({"authorization_servers": []}, {}, "invalid"),
        ({}, {"issuer": "https://evil.example"}, "security"),
        ({}, {"issuer": None}, "security"),
    ],
)
async def test_metadata_of_another_resource_or_issuer_are_refused(
    resource: dict[str, object], issuer: dict[str, object], code: str
) -> None:
    """RFC 9728 section 3.3, RFC 8414 section 3.3: they could be somebody else's, to get a token for the wrong place."""
    async with serving(Protected(resource=resource, smart=issuer)) as provider:
        url = provider.url("/.well-known/oauth-protected-resource/fhir")
        access = Access(submitter(provider, keys=True), oauth=(url,))
        assert (await refusal(access, file_of(provider), sources=sources_with())).issues[0].code == code
        assert all(one.path != "/token" for one in provider.seen)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (web.json_response({"error": "invalid_client", "error_description": "secret"}, status=401), "invalid_client"),
        (web.json_response({"error": "secret"}, status=400), "refuses"),
        (web.Response(status=302, headers={"Location": "/elsewhere"}), "302"),
        (web.Response(body=b"x" * 2_000_000), "more than"),
        (web.json_response({"access_token": "a\r\nX-B: c", "token_type": "Bearer"}), "no bearer"),
        (web.json_response({"access_token": "secret", "token_type": "mac"}), "no bearer"),
        (web.json_response({"access_token": "", "token_type": "Bearer"}), "no bearer"),
        (web.json_response({"access_token": 1, "token_type": "Bearer"}), "cannot be read"),
        (web.json_response({"access_token": "a", "token_type": "Bearer", "expires_in": "soon"}), "cannot be read"),
        (web.Response(text="<html>"), "cannot be read"),
    ],
)
async def test_a_token_that_is_not_issued_or_no_token_is_told(answer: web.Response, told: str) -> None:
    """In our words: what the server says beyond its code is not repeated."""
    async with serving(Protected(answer=answer)) as provider:
        error = await refusal(smart_access(provider), file_of(provider), sources=sources_with())
        assert told in said(error) and "secret" not in said(error)
        assert all(one.path not in ("/elsewhere", "/fhir/file") for one in provider.seen)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"kty":"EC"}',
        '{"keys":[]}',
        '{"keys":5}',
        json.dumps(EC.as_dict(private=False)),
        '{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}',
    ],
)
async def test_a_key_that_is_missing_or_no_private_key_is_the_operators_to_correct(text: str) -> None:
    """The error says so, and nothing of the key."""
    async with serving(Protected()) as provider:
        for sources in (sources_with(text=text), NetworkSources(limits=QUICK, secrets=lambda _: None)):
            error = await refusal(smart_access(provider), file_of(provider), sources=sources)
            assert "key" in said(error) and "c2Vj" not in said(error)
            assert all(one.path != "/token" for one in provider.seen)


async def test_of_a_set_of_keys_the_one_that_the_server_supports_signs() -> None:
    """So keys can be changed without a gap."""
    protected = Protected(RSA, smart={"token_endpoint_auth_signing_alg_values_supported": ["RS384"]})
    keys = json.dumps({"keys": [EC.as_dict(private=True), RSA.as_dict(private=True)]})
    async with serving(protected) as provider:
        found, _ = await fetched(smart_access(provider), file_of(provider), sources=sources_with(text=keys))
        assert found == b"protected"


@pytest.mark.parametrize(
    ("types", "supported", "capabilities", "expected"),
    [
        ((), None, None, "system/*.rs"),
        (("Patient", "Encounter"), None, None, "system/Patient.rs system/Encounter.rs"),
        (("Patient",), ["system/*.read"], None, "system/Patient.read"),
        ((), ["system/*.read", "system/*.write"], None, "system/*.read"),
        (("Patient",), ["system/*.read", "system/*.rs"], None, "system/Patient.rs"),
        (("Patient",), None, ["permission-v1"], "system/Patient.read"),
        (("Patient",), None, ["permission-v1", "permission-v2"], "system/Patient.rs"),
        ((), ["system/Patient.rs", "system/Patient.cud", "openid"], None, "system/Patient.rs"),
    ],
)
def test_the_scope_is_what_the_server_understands(
    types: tuple[str, ...], supported: list[str] | None, capabilities: list[str] | None, expected: str
) -> None:
    """Version 2 of SMART's scopes, unless the server has version 1 alone."""
    assert scopes(types, supported, capabilities) == expected


def _part(token: str) -> bytes:
    import base64

    head = token.partition(".")[0]
    return base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))
