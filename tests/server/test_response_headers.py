"""The headers that every answer carries, and those that web pages of other origins need."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

import pytest

from fhirstore.clock import SystemClock
from fhirstore.objects.memory import MemoryStore
from server.settings import BadSetting, Settings, from_environment
from tests.server.serving import FHIR_JSON, Served, serving

BODY = b'{"resourceType":"Patient","id":"p"}'
ORIGIN = {"Origin": "https://app.example.org"}


@pytest.mark.parametrize("path", ["/fhir/Patient/p", "/fhir/Patient/q", "/fhir/metadata", "/fhir/x/y/z/a/b", "/fhir"])
async def test_every_answer_has_a_request_id_and_is_kept_from_others(served: Served, path: str) -> None:
    """Success or not."""
    await served.client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON)
    answers = [await served.client.request(method, path) for method in ("GET", "HEAD", "OPTIONS", "TRACE")]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == len(answers)
    assert all(re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}-\d+", id_) for id_ in ids)
    for answer in answers:
        assert answer.headers["cache-control"] == "private, no-cache"
        assert answer.headers["vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    ["/fhir/Patient/p", "/fhir/Patient/q", "/fhir/metadata", "/fhir/x/y/z/a/b", "/health/live", "/openapi.json", "/"],
)
async def test_no_answer_is_of_use_to_a_hostile_page(served: Served, path: str) -> None:
    """No guessed type, no script, frame or foreign page, no address passed on; and nothing says what is served with."""
    await served.client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON)
    for method in ("GET", "OPTIONS", "TRACE"):
        answer = await served.client.request(method, path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in answer.headers
        assert "strict-transport-security" not in answer.headers


@pytest.mark.parametrize(
    ("settings", "seconds"), [(Settings(hsts=60), 60), (Settings(tls_cert="c", tls_key="k", hsts=0), 0)]
)
async def test_hsts_is_as_the_setting_says(settings: Settings, seconds: int) -> None:
    """Behind a proxy that speaks TLS it is switched on; with an own certificate it can be switched off."""
    async with serving(settings) as served:
        answer = await served.client.get("/fhir/Patient/q")
        assert answer.headers.get("strict-transport-security") == (f"max-age={seconds}" if seconds else None)


async def test_ids_of_the_client_come_back(served: Served) -> None:
    """Request id and correlation id, as they were sent."""
    ids = {"X-Request-Id": "7b1e-42", "X-Correlation-Id": "a~!b"}
    for path in ("/fhir/metadata", "/fhir/Patient/none"):
        answer = await served.client.get(path, headers=ids)
        assert {name: answer.headers[name] for name in ids} == ids


@pytest.mark.parametrize("id_", ["", "x" * 129, "with blank", "tab\there", "é"])
async def test_ids_that_may_do_harm_do_not(served: Served, id_: str) -> None:
    """Too long or not printable: the request gets an id of its own."""
    answer = await served.client.get(
        "/fhir/metadata", headers=[(b"X-Request-Id", id_.encode()), (b"X-Correlation-Id", id_.encode())]
    )
    assert answer.headers["x-request-id"] != id_
    assert "x-correlation-id" not in answer.headers


async def test_a_tenant_by_header_varies_the_answer() -> None:
    """A cache must not show one tenant's resource to another."""
    async with serving(Settings(tenant_source="header", tenants=frozenset({"a", "b"}))) as served:
        answer = await served.client.get("/fhir/Patient/p", headers={"X-Tenant-ID": "a"})
        assert answer.headers["vary"] == "Accept, Accept-Encoding, X-Tenant-ID"


async def test_options_says_what_is_possible(served: Served) -> None:
    """204 with Allow, for every path of the table; 404 elsewhere."""
    answer = await served.client.options("/fhir/Patient/p")
    assert (answer.status_code, answer.content) == (204, b"")
    assert {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"} <= set(answer.headers["allow"].split(", "))
    assert (await served.client.options("/fhir/a/b/c/d/e")).status_code == 404


async def test_by_default_pages_of_other_origins_get_nothing(served: Served) -> None:
    """No Access-Control header, whatever is asked."""
    preflight = ORIGIN | {"Access-Control-Request-Method": "PUT"}
    for answer in (
        await served.client.get("/fhir/metadata", headers=ORIGIN),
        await served.client.options("/fhir/Patient/p", headers=preflight),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("origins", [("*",), ("https://app.example.org", "http://localhost:3000")])
async def test_pages_of_admitted_origins_may_use_the_api(origins: tuple[str, ...]) -> None:
    """Preflights are answered, and the headers that matter can be read; other origins get nothing."""
    async with serving(Settings(cors_origins=origins)) as served:
        preflight = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "if-match,content-type"}
        answer = await served.client.options("/fhir/Patient/p", headers=ORIGIN | preflight)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] in ("*", ORIGIN["Origin"])
        assert "PUT" in answer.headers["access-control-allow-methods"]
        made = await served.client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON | ORIGIN)
        exposed = made.headers["access-control-expose-headers"]
        assert {"ETag", "Location", "X-Request-Id"} <= set(exposed.split(", "))
        missing = await served.client.get("/fhir/Patient/none", headers=ORIGIN)
        assert "access-control-allow-origin" in missing.headers
        stranger = await served.client.get("/fhir/Patient/p", headers={"Origin": "https://evil.example"})
        assert ("access-control-allow-origin" in stranger.headers) == (origins == ("*",))


def test_origins_come_from_the_environment() -> None:
    """A list or *; what is no origin is refused."""
    assert from_environment({}).cors_origins == ()
    given = from_environment({"FHIRSTORE_CORS_ORIGINS": "https://a.example/, http://b"}).cors_origins
    assert given == ("https://a.example", "http://b")
    with pytest.raises(BadSetting, match=r"a\.example"):
        from_environment({"FHIRSTORE_CORS_ORIGINS": "a.example"})


class _Ahead(SystemClock):
    """A clock that is an hour ahead of the server's."""

    def now(self) -> int:
        return super().now() + 3_600_000


async def test_no_last_modified_is_later_than_the_date_of_the_answer() -> None:
    """The store's clock may be ahead of the server's (RFC 9110, 8.8.2.1): in every answer that shows a version."""
    async with serving(objects=MemoryStore(_Ahead())) as served:
        client, native = served.client, {"Accept": "text/plain"}
        binary = await client.post("/fhir/Binary", content=b"x", headers={"Content-Type": "text/plain"})
        answers = [
            await client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON),
            await client.put("/fhir/Patient/p", content=BODY, headers={**FHIR_JSON, "Prefer": "return=minimal"}),
            await client.get("/fhir/Patient/p"),
            await client.get("/fhir/Patient/p/_history/1"),
            await client.get("/fhir/Patient/p", headers={"If-None-Match": 'W/"2"'}),
            await client.get(binary.headers["location"].partition("/_history")[0], headers=native),
        ]
    assert [answer.status_code for answer in answers] == [201, 200, 200, 200, 304, 200]
    for answer in answers:
        date, modified = (parsedate_to_datetime(answer.headers[name]) for name in ("date", "last-modified"))
        assert modified <= date


@pytest.mark.parametrize("path", ["/fhir/metadata", "/fhir/Patient/none", "/health/live", "/openapi.json", "/nothing"])
async def test_every_answer_has_one_date(path: str) -> None:
    """That of the answer itself, also where a web page of another origin asks what it may do."""
    async with serving(Settings(cors_origins=("*",))) as served:
        asks = {**ORIGIN, "Access-Control-Request-Method": "GET"}
        for answer in (await served.client.get(path), await served.client.options(path, headers=asks)):
            assert len(answer.headers.get_list("date")) == 1
