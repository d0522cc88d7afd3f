"""Whatever is sent, the answer is a clear OperationOutcome with the right status, and nothing is stored."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from server.settings import Settings
from tests.server.serving import FHIR_JSON, Served, serving

GOOD = b'{"resourceType":"Patient","id":"p"}'
DEEP = b'{"resourceType":"Patient","id":"p","x":' + b"[" * 10_000 + b"]" * 10_000 + b"}"


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        (b"", 400, "required", "no body"),
        (b"{", 400, "structure", ""),
        (b"not json", 400, "structure", ""),
        (b"[]", 400, "structure", "object"),
        (b'{"resourceType":"Patient","id":"p","x":NaN}', 400, "structure", ""),
        (b'{"resourceType":"Patient","id":"p","x":1,"x":2}', 400, "structure", "x"),
        (b'{"resourceType":"Patient","id":"p","x":"\xff"}', 400, "structure", "UTF-8"),
        (b'{"resourceType":"Patient","id":"p","x":"\\ud800"}', 400, "structure", "surrogate"),
        (DEEP, 400, "structure", "64"),
        (b'{"id":"p"}', 400, "required", "resourceType"),
        (b'{"resourceType":"Patent","id":"p"}', 400, "value", "resourceType"),
        (b'{"resourceType":7,"id":"p"}', 400, "required", "resourceType"),
        (b'{"resourceType":"Observation","id":"p"}', 400, "invalid", "Observation"),
        (b'{"resourceType":"Patient","id":"q"}', 400, "invalid", "id"),
        (b'{"resourceType":"Patient"}', 400, "required", "id"),
        (b'{"resourceType":"Patient","id":7}', 400, "required", "id"),
        (b'{"resourceType":"Patient","id":"p","meta":"x"}', 422, "", "meta"),
    ],
)
async def test_a_bad_body_is_refused(served: Served, body: bytes, status: int, code: str, says: str) -> None:
    """Broken JSON, the wrong resource, a mismatched id: 400, and the text says what is wrong."""
    answer = await served.client.put("/fhir/Patient/p", content=body, headers=FHIR_JSON)
    assert answer.status_code == status
    issue = outcome_of(answer.json())
    assert not code or issue["code"] == code
    assert says in issue["diagnostics"]
    assert (await served.client.get("/fhir/Patient/p")).status_code == 404


@pytest.mark.slow
async def test_depth_is_refused_before_it_costs(served: Served) -> None:
    """Ten million brackets are answered without recursion; the bound is generous, the point is that it returns."""
    body = b'{"resourceType":"Patient","id":"p","x":' + b"[" * 10_000_000
    begun = time.monotonic()
    answer = await served.client.put("/fhir/Patient/p", content=body, headers=FHIR_JSON)
    assert answer.status_code == 413  # too many values, before too deep
    assert time.monotonic() - begun < 30


async def test_a_body_over_the_limit_is_413_and_the_limit_is_named(served: Served) -> None:
    """20 MB against the default of 16 MiB, with and without a Content-Length."""
    body = b'{"resourceType":"Patient","id":"p","x":"' + b"x" * 20_000_000 + b'"}'

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1 << 20):
            yield body[start : start + (1 << 20)]

    for content in (body, chunks()):
        answer = await served.client.put("/fhir/Patient/p", content=content, headers=FHIR_JSON)
        assert answer.status_code == 413
        issue = outcome_of(answer.json())
        assert issue["code"] == "too-long"
        assert "16,777,216" in issue["diagnostics"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("id_", ["x" * 65, "a_b", "a%20b", "%2e%2e", "%C3%A9", "a%0Ab", "%00"])
async def test_a_malformed_id_is_400(served: Served, method: str, id_: str) -> None:
    """65 characters, dots only, characters FHIR does not allow."""
    content = GOOD if method == "PUT" else None
    with served.meter.measure() as cost:
        answer = await served.client.request(method, f"/fhir/Patient/{id_}", content=content, headers=FHIR_JSON)
    assert answer.status_code == 400
    assert "id" in outcome_of(answer.json())["diagnostics"]
    assert cost.requests == {}


@pytest.mark.parametrize("type_", ["Patent", "patient", "Resource", "DomainResource", "_x", "Patient%00"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_an_unknown_type_is_404(served: Served, method: str, type_: str) -> None:
    """A type that R4 does not have, or that is abstract."""
    content = b'{"resourceType":"%s","id":"p"}' % type_.encode() if method == "PUT" else None
    answer = await served.client.request(method, f"/fhir/{type_}/p", content=content, headers=FHIR_JSON)
    assert answer.status_code == 404
    assert outcome_of(answer.json())["code"] == "not-supported"


@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "text/turtle", "application/json; charset=latin-1", "application/fhir+json; fhirVersion=3.0"],
)
async def test_a_wrong_content_type_is_415(served: Served, content_type: str | None) -> None:
    """Only FHIR's own forms, in UTF-8 and of this server's release, are read."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = await served.client.put("/fhir/Patient/p", content=GOOD, headers=headers)
    assert answer.status_code == 415
    outcome_of(answer.json())


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/fhir+json; charset=UTF-8", 'application/fhir+json;charset="utf-8"', "text/json"],
)
async def test_the_usual_content_types_are_read(served: Served, content_type: str) -> None:
    """JSON by any of its names."""
    answer = await served.client.put("/fhir/Patient/p", content=GOOD, headers={"Content-Type": content_type})
    assert answer.status_code == 201


async def test_a_method_that_is_not_possible_is_405_with_allow(served: Served) -> None:
    """Allow lists what is."""
    answer = await served.client.post("/fhir/Patient/p", content=GOOD, headers=FHIR_JSON)
    assert answer.status_code == 405
    assert {"GET", "PUT", "DELETE"} <= set(answer.headers["allow"].split(", "))
    assert outcome_of(answer.json())["code"] == "not-supported"
    assert (await served.client.delete("/fhir/metadata")).status_code == 405


@pytest.mark.parametrize("path", ["/", "/fhir//", "/fhir/Patient/p/x", "/nowhere", "/fhir/Patient/p/_history/1/2"])
async def test_an_unknown_path_is_404(served: Served, path: str) -> None:
    """And the answer says where the API is."""
    answer = await served.client.get(path)
    assert answer.status_code == 404
    assert "/fhir" in outcome_of(answer.json())["diagnostics"]


@pytest.mark.parametrize("path", ["Patient/p%2F_history", "Patient%2fp", "Patient/p%2f", "%2FPatient"])
async def test_an_escaped_slash_parts_no_segments(served: Served, path: str) -> None:
    """404: who guards paths before this server reads them as they are written, and so must it."""
    await served.client.put("/fhir/Patient/p", content=b'{"resourceType":"Patient","id":"p"}', headers=FHIR_JSON)
    assert (await served.client.get(f"/fhir/{path}")).status_code == 404
    assert (await served.client.get("/fhir/%50atient/%70")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/Patient/p"),
        ("GET", "/Patient/p/_history/1"),
        ("GET", "/Patient/p/_history"),
        ("GET", "/metadata"),
        ("PUT", "/Patient/p"),
        ("PATCH", "/Patient/p"),
        ("DELETE", "/Patient/p"),
        ("POST", ""),
        ("POST", "/Patient/$validate"),
    ],
)
async def test_a_parameter_that_is_not_known_is_named(served: Served, method: str, path: str) -> None:
    """400, and nothing is written, unless the client is lenient; `_elments` would be passed over otherwise."""
    await served.client.put("/fhir/Patient/p", content=b'{"resourceType":"Patient","id":"p"}', headers=FHIR_JSON)
    headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else FHIR_JSON
    body = b'{"resourceType":"Bundle","type":"batch"}' if path == "" else b'{"resourceType":"Patient","id":"p"}'
    for prefer, refused in ({}, True), ({"Prefer": "handling=lenient"}, False):
        with served.meter.measure() as cost:
            answer = await served.client.request(
                method, f"/fhir{path}?_elments=id", content=None if method == "GET" else body, headers=headers | prefer
            )
        assert (answer.status_code == 400) is refused, answer.text
        if refused:
            assert cost.requests == {}
            assert "_elments" in answer.json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize("query", ["identifier=%zz", "identifier=100%", "identifier=%ff", "_id=p&_id=%C3"])
async def test_a_query_that_cannot_be_read_is_400(served: Served, query: str) -> None:
    """Everywhere: it is never searched for as something else, nor made into a condition."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = b'{"resourceType":"Patient"}'
    client = served.client
    answers = [
        await client.get(f"/fhir/Patient?{query}"),
        await client.post("/fhir/Patient/_search", content=query, headers=form),
        await client.get(f"/fhir/_history?{query}"),
        await client.put(f"/fhir/Patient?{query}", content=body, headers=FHIR_JSON),
        await client.delete(f"/fhir/Patient?{query}"),
        await client.post("/fhir/Patient", content=body, headers=FHIR_JSON | {"If-None-Exist": query}),
    ]
    assert [answer.status_code for answer in answers] == [400] * 6
    assert (await client.get("/fhir/Patient")).json()["total"] == 0


@pytest.mark.parametrize("host", ["", "a b", 'a"b', "a,b", "a/b", "user@a", "[::1", "a:b", "\xe4"])
async def test_a_host_that_cannot_be_is_400(served: Served, host: str) -> None:
    """It would be part of every link."""
    answer = await served.client.get("/fhir/Patient", headers={b"Host": host.encode("latin-1")})
    assert answer.status_code == 400
    for good in ("a", "a:", "a.b-c:80", "[::1]:8000", "127.0.0.1"):
        link = (await served.client.get("/fhir/Patient", headers={"Host": good})).json()["link"][0]["url"]
        assert link == f"http://{good}/fhir/Patient"


async def test_one_host_only(served: Served) -> None:
    """400 where several are named."""
    assert (await served.client.get("/fhir/Patient", headers=[("Host", "a"), ("Host", "b")])).status_code == 400


@pytest.mark.parametrize("vid", ["0", "2", "01", "x", "-1", "9" * 30])
async def test_a_version_that_does_not_exist_is_404(served: Served, vid: str) -> None:
    """Neither too high nor malformed version ids find anything."""
    await served.client.put("/fhir/Patient/p", content=GOOD, headers=FHIR_JSON)
    answer = await served.client.get(f"/fhir/Patient/p/_history/{vid}")
    assert answer.status_code == 404
    assert outcome_of(answer.json())["code"] == "not-found"


@pytest.mark.parametrize(
    ("tenant", "status"), [(None, 400), ("", 400), ("Not Well Formed", 400), ("unknown", 404), ("clinic-a", 200)]
)
async def test_by_header_the_tenant_must_be_named_well_formed_and_known(tenant: str | None, status: int) -> None:
    """An unknown or malformed tenant is an error, never a default."""
    settings = Settings(tenant_source="header", tenants=frozenset({"clinic-a", "clinic-b"}))
    async with serving(settings) as served:
        named = {"X-Tenant-ID": "clinic-a"}
        await served.client.put("/fhir/Patient/p", content=GOOD, headers=FHIR_JSON | named)
        answer = await served.client.get("/fhir/Patient/p", headers={} if tenant is None else {"X-Tenant-ID": tenant})
        assert answer.status_code == status
        if status != 200:
            outcome_of(answer.json())
        assert (await served.client.get("/fhir/Patient/p", headers={"X-Tenant-ID": "clinic-b"})).status_code == 404


async def test_by_path_the_tenant_is_part_of_every_url() -> None:
    """Locations carry the tenant, and another tenant's path finds nothing."""
    settings = Settings(tenant_source="path", tenants=frozenset({"clinic-a", "clinic-b"}))
    async with serving(settings) as served:
        made = await served.client.post("/fhir/clinic-a/Patient", content=GOOD, headers=FHIR_JSON)
        assert made.headers["location"].startswith("http://testserver/fhir/clinic-a/Patient/")
        assert (await served.client.get(made.headers["location"])).status_code == 200
        elsewhere = made.headers["location"].replace("clinic-a", "clinic-b")
        assert (await served.client.get(elsewhere)).status_code == 404
        assert (await served.client.get("/fhir/Clinic-A/Patient/p")).status_code == 400
        assert (await served.client.get("/fhir/unknown/metadata")).status_code == 404


async def test_a_header_does_not_contradict_the_path() -> None:
    """400 where the two name different tenants: one of them is not meant."""
    async with serving(Settings(tenant_source="path", tenants=frozenset({"a", "b"}))) as served:
        for tenant, status in (("a", 200), ("b", 400)):
            answer = await served.client.get("/fhir/a/metadata", headers={"X-Tenant-ID": tenant})
            assert answer.status_code == status


async def test_a_tenant_header_is_not_ignored_where_tenants_are_off(served: Served) -> None:
    """A client that names a tenant must not find its data in another's place."""
    answer = await served.client.put("/fhir/Patient/p", content=GOOD, headers=FHIR_JSON | {"X-Tenant-ID": "clinic-a"})
    assert answer.status_code == 404
    assert "X-Tenant-ID" in outcome_of(answer.json())["diagnostics"]


def outcome_of(resource: dict[str, object]) -> dict[str, str]:
    """The first issue of an OperationOutcome with an error in it."""
    assert resource["resourceType"] == "OperationOutcome"
    issues = resource["issue"]
    assert isinstance(issues, list)
    first: dict[str, str] = issues[0]
    assert first["severity"] in ("error", "fatal")
    assert first["diagnostics"]
    return first
