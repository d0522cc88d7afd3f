"""What proxies say about a request is believed of those that are named, and of nobody else."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from fhirstore import FhirStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.tenancy import PrefixTenancy
from server.access.forwarded import ForwardedRequests
from server.app import create_app
from server.settings import BadSetting, Settings, from_environment

_PROXY = "10.1.2.3"
_TRUSTED = Settings(trusted_proxies=("10.0.0.0/8", "::1"))
_X = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example.org", "X-Forwarded-Prefix": "/clinic"}
_FORWARDED = {"Forwarded": "for=192.0.2.60;proto=https;host=api.example.org"}
_DIRECT = "http://server:8000/fhir"


async def _base_of(headers: Mapping[str, str], *, peer: str = _PROXY, settings: Settings = _TRUSTED) -> str:
    """The base URL that a client who comes from `peer` with these headers finds in its answers."""
    store = FhirStore(PrefixTenancy(MemoryStore(), settings.tenants))
    transport = httpx.ASGITransport(create_app(store, settings), client=(peer, 1234))
    async with httpx.AsyncClient(transport=transport, base_url="http://server:8000") as client:
        made = await client.post("/fhir/Patient", json={"resourceType": "Patient"}, headers=headers)
        assert made.status_code == 201, made.text
        base = made.headers["location"].split("/Patient/")[0]
        found = (await client.get("/fhir/Patient?_id=x", headers=headers)).json()
        assert found["link"][0]["url"] == f"{base}/Patient?_id=x"
        statement = (await client.get("/fhir/metadata", headers=headers)).json()
        assert statement["implementation"]["url"] == base
        document = (await client.get("/openapi.json", headers=headers)).json()
        assert httpx.URL(base).join(document["servers"][0]["url"]) == base
    return str(base)


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        (_X, "https://api.example.org/clinic/fhir"),
        (_FORWARDED, "https://api.example.org/fhir"),
        (_X | _FORWARDED, "https://api.example.org/clinic/fhir"),
        ({"X-Forwarded-Proto": "https"}, "https://server:8000/fhir"),
        ({"X-Forwarded-Host": "[2001:db8::1]:8443"}, "http://[2001:db8::1]:8443/fhir"),
        ({"X-Forwarded-Prefix": "/a/b/"}, "http://server:8000/a/b/fhir"),
        ({"Forwarded": 'Proto=HTTPS;Host="api.example.org:8443"'}, "https://api.example.org:8443/fhir"),
        ({"Forwarded": 'for="[2001:db8::1]:4711";proto=https'}, "https://server:8000/fhir"),
    ],
)
async def test_links_are_those_of_the_trusted_proxy(headers: Mapping[str, str], base: str) -> None:
    """Location, the links of a page and the CapabilityStatement say what the client asked, not what the proxy did."""
    assert await _base_of(headers) == base


@pytest.mark.parametrize("headers", [_X, _FORWARDED])
@pytest.mark.parametrize("settings", [_TRUSTED, Settings()])
async def test_of_anybody_else_they_are_ignored(headers: Mapping[str, str], settings: Settings) -> None:
    """Where no proxy is named, nobody is one."""
    assert await _base_of(headers, peer="192.0.2.1", settings=settings) == _DIRECT
    assert await _base_of(headers, peer=_PROXY, settings=Settings()) == _DIRECT


async def test_a_configured_base_url_is_the_base_whatever_proxies_say() -> None:
    """FHIRSTORE_BASE_URL wins."""
    settings = Settings(base_url="https://fixed.example.org/r4", trusted_proxies=("*",))
    assert await _base_of(_X, settings=settings) == "https://fixed.example.org/r4"


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Host": "evil.example.org/path"},
        {"X-Forwarded-Host": 'a"b'},
        {"X-Forwarded-Host": "user@example.org"},
        {"X-Forwarded-Host": ""},
        {"X-Forwarded-Proto": "javascript"},
        {"X-Forwarded-Prefix": "//evil.example.org"},
        {"X-Forwarded-Prefix": "/a/../b"},
        {"X-Forwarded-Prefix": "clinic"},
        {"X-Forwarded-Prefix": "/a?b"},
        {"X-Forwarded-Host": "x" * 5000},
        {"Forwarded": "host=evil.example.org/path"},
        {"Forwarded": "proto=https;proto=http"},
        {"Forwarded": 'host="a'},
        {"Forwarded": ";;,,=,="},
        {"Forwarded": "host=a.example.org;" * 200},
    ],
)
async def test_what_is_malformed_is_ignored(headers: Mapping[str, str]) -> None:
    """The request is answered as if it had not been said."""
    assert await _base_of(headers) == _DIRECT


async def test_where_the_two_kinds_of_header_disagree_neither_is_heeded() -> None:
    """A proxy that speaks one kind passes on what its client says in the other."""
    assert await _base_of({"X-Forwarded-Host": "api.example.org", "Forwarded": "host=evil.example.org"}) == _DIRECT


@pytest.mark.parametrize(
    ("headers", "client", "host"),
    [
        ({"X-Forwarded-For": "192.0.2.60", "X-Forwarded-Host": "a.org"}, "192.0.2.60", "a.org"),
        (
            {"X-Forwarded-For": "6.6.6.6, 192.0.2.60, 10.9.9.9", "X-Forwarded-Host": "evil.org, a.org, b.org"},
            "192.0.2.60",
            "a.org",
        ),
        ({"X-Forwarded-For": "192.0.2.60:4711"}, "192.0.2.60", "server:8000"),
        ({"X-Forwarded-For": "2001:db8::1"}, "2001:db8::1", "server:8000"),
        ({"Forwarded": "for=6.6.6.6;host=evil.org, for=192.0.2.60;host=a.org, for=10.9.9.9"}, "192.0.2.60", "a.org"),
        ({"Forwarded": 'for="[2001:db8::1]:4711"'}, "2001:db8::1", "server:8000"),
        ({"Forwarded": "for=unknown"}, _PROXY, "server:8000"),
        ({"Forwarded": "for=_hidden"}, _PROXY, "server:8000"),
        ({"X-Forwarded-For": "nonsense"}, _PROXY, "server:8000"),
    ],
)
async def test_the_client_is_the_last_that_no_trusted_proxy_is(
    headers: Mapping[str, str], client: str, host: str
) -> None:
    """What a client wrote into the header before the first trusted proxy appended to it is not believed."""
    seen: list[Scope] = []

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        seen.append(scope)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    transport = httpx.ASGITransport(ForwardedRequests(app, ("10.0.0.0/8",)), client=(_PROXY, 1234))
    async with httpx.AsyncClient(transport=transport, base_url="http://server:8000") as asking:
        await asking.get("/", headers=headers)
    assert seen[0]["client"][0] == client
    assert [value.decode() for name, value in seen[0]["headers"] if name == b"host"] == [host]


def test_a_trusted_proxy_is_an_address_a_network_or_anybody() -> None:
    """Anything else stops the start."""
    assert from_environment({"FHIRSTORE_TRUSTED_PROXIES": "10.0.0.1, fd00::/8"}).trusted_proxies == (
        "10.0.0.1",
        "fd00::/8",
    )
    assert from_environment({"FHIRSTORE_TRUSTED_PROXIES": "*"}).trusted_proxies == ("*",)
    with pytest.raises(BadSetting, match=r"proxy\.example\.org"):
        from_environment({"FHIRSTORE_TRUSTED_PROXIES": "proxy.example.org"})
