"""No path is open that should not be: the route table, and every other path of the app, is walked."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest

from server.access.tenant import HEADER
from server.app import create_app
from server.http.api import FhirApi
from server.http.response_headers import Completed
from server.http.route import Route
from server.routes import TABLE
from server.settings import Settings
from tests.server.access.smart_clients import Program, Smart, form, smart

PATHS = Settings(auth="smart", tenant_source="path", tenants=frozenset({"a", "b"}), enable_purge=True)
PUBLIC = {"/metadata", "/.well-known/smart-configuration", "/auth/token"}
TICKETS = {"/_upload/{upload}/content"}
OUTSIDE = {"/health/live", "/health/ready", "/openapi.json"}
ULID = "01J8Z6Q0000000000000000000"
ROUTES = {f"{route.method} {route.path or '/'}": route for route in TABLE if route.served(PATHS)}
JSON = {"Content-Type": "application/fhir+json"}
EVERYTHING = ("system/*.cruds", "system/fhirstore.admin", "system/bulk-submit")
UPLOAD: dict[str, object] = {
    "resourceType": "Parameters",
    "parameter": [
        {"name": "contentType", "valueCode": "text/plain"},
        {"name": "method", "valueCode": "parts"},
        {"name": "size", "valueDecimal": 10},
    ],
}
SUBMITTED: list[dict[str, object]] = [
    {"name": "submitter", "valueIdentifier": {"system": "urn:x", "value": "y"}},
    {"name": "submissionId", "valueString": "s"},
    {"name": "submissionStatus", "valueCoding": {"code": "complete"}},
]
EXPORTS = {"Prefer": "respond-async"}
NEEDED = {"/Observation/$lastn": "?patient=p"}


@dataclass
class Things:
    """What a path names. `type` stays as it is."""

    id: str = "nothing"
    vid: str = "1"
    job: str = ULID
    file: str = "Patient.000001.ndjson"
    upload: str = ULID
    watch: str = ULID
    submission: str = "x"
    type: str = "Patient"
    compartment: str = "Patient"
    others: dict[str, str] = field(default_factory=dict)

    def path(self, route: Route) -> str:
        """The path of a route, with a query where the route needs one."""
        path = re.sub(r"\{(\w+)\}", lambda match: str(getattr(self, match[1])), route.path)
        return path + self.others.get(route.path, NEEDED.get(route.path, ""))

    def body(self, route: Route) -> object:
        """A body that a route takes."""
        if route.method == "PATCH":
            return [{"op": "test", "path": "/resourceType", "value": "Patient"}]
        if route.method not in ("POST", "PUT", "PATCH"):
            return None
        if route.path == "/Binary/$presign-upload":
            return UPLOAD
        if route.path.startswith("/$bulk-submit"):
            said = SUBMITTED if route.path == "/$bulk-submit" else SUBMITTED[:2]
            return {"resourceType": "Parameters", "parameter": said}
        if "$" in route.path and "$validate" not in route.path:
            named = [{"name": "uploadId", "valueString": self.upload}]
            return {"resourceType": "Parameters", "parameter": named if "upload" in route.path else []}
        if route.path == "":
            entry = {"request": {"method": "GET", "url": f"Patient/{self.id}"}}
            return {"resourceType": "Bundle", "type": "batch", "entry": [entry]}
        return {"resourceType": "Patient", "id": self.id, "active": True}

    async def ask(self, client: httpx.AsyncClient, base: str, route: Route, headers: dict[str, str]) -> httpx.Response:
        """The answer to a request of this route."""
        prefer = EXPORTS if "$export" in route.path else {}
        if route.path.endswith("_search"):
            return await client.post(f"{base}{self.path(route)}", data={"_count": "1"}, headers=headers)
        if route.path == "/_upload/{upload}" and route.method == "PUT":
            part = {"Content-Range": "bytes 0-9/10", **headers}
            return await client.put(f"{base}{self.path(route)}", content=b"0123456789", headers=part)
        kind = {"Content-Type": "application/json-patch+json"} if route.method == "PATCH" else JSON
        return await client.request(
            route.method, f"{base}{self.path(route)}", json=self.body(route), headers={**kind, **prefer, **headers}
        )


@pytest.fixture
async def served() -> AsyncIterator[Smart]:
    """A server with two tenants, and a client of each that may do everything, and one that may do nothing."""
    async with smart(PATHS) as value:
        for tenant in ("a", "b"):
            program = await value.register("all", *EVERYTHING, tenant=tenant)
            program.token_url = f"http://testserver/fhir/{tenant}/auth/token"
            value.programs[tenant] = program
        nothing = await value.register("nothing", "system/fhirstore.metrics", tenant="a")
        value.programs["nothing"] = Program(nothing.id, nothing.key, value.programs["a"].token_url)
        yield value


async def test_every_route_is_public_by_name_or_refused_without_a_token(served: Smart) -> None:
    """401 with a challenge and an OperationOutcome, in the same words for tenants that exist and that do not."""
    for name, route in ROUTES.items():
        told = set()
        for tenant in ("a", "nowhere"):
            answer = await Things().ask(served.client, f"/fhir/{tenant}", route, {})
            told.add((answer.status_code, answer.text.replace(f"/fhir/{tenant}", "")))
            if route.path in PUBLIC:
                assert answer.status_code in (200, 400), name
            elif route.path in TICKETS:
                assert answer.status_code in (400, 403, 415), name
            else:
                assert answer.status_code == 401, name
                assert answer.headers["WWW-Authenticate"] == 'Bearer realm="fhirstore"'
                assert answer.json()["issue"][0]["code"] == "login"
        assert len(told) == 1, (name, told)


async def test_head_and_options_open_nothing(served: Smart) -> None:
    """HEAD is as GET; OPTIONS tells methods, which the route table tells everybody."""
    for route in ROUTES.values():
        path = f"/fhir/a{Things().path(route)}"
        if route.method == "GET" and route.safe and route.path not in PUBLIC:
            assert (await served.client.head(path)).status_code == 401
        assert (await served.client.options(path)).status_code == 204


def test_the_paths_outside_of_fhir_are_these(served: Smart) -> None:
    """Whoever adds one has to say here that it may be open. Metrics are at an address of their own."""
    app = create_app(served.store, PATHS)
    assert isinstance(app, FhirApi)
    assert isinstance(app._app, Completed)
    assert {route.path for route in app._app._app.routes} == OUTSIDE  # type: ignore[attr-defined]


def test_what_is_open_is_what_this_page_says() -> None:
    """A route without a word on it needs a token."""
    assert {route.path for route in TABLE if route.access == "public"} == PUBLIC
    assert {route.path for route in TABLE if route.access == "ticket"} == TICKETS


async def test_a_token_without_scopes_opens_nothing(served: Smart) -> None:
    """403 or 404 on every route; each entry of a batch has its own."""
    headers = dict(await served.headers(served.programs["nothing"]))
    for name, route in ROUTES.items():
        if route.path in PUBLIC | TICKETS:
            continue
        answer = await Things().ask(served.client, "/fhir/a", route, headers)
        if route.path == "" and route.method == "POST":
            assert answer.json()["entry"][0]["response"]["status"].startswith("403")
            continue
        assert answer.status_code in (403, 404), (name, answer.status_code, answer.text)
        if answer.status_code == 403:
            assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"], name


async def things_of(served: Smart, tenant: str) -> Things:
    """Makes a Patient, an export and an upload in a tenant; returns their names."""
    client, base = served.client, f"/fhir/{tenant}"
    headers = {**JSON, **(await served.headers(served.programs[tenant]))}
    patient = (await client.post(f"{base}/Patient", json={"resourceType": "Patient"}, headers=headers)).json()
    export = await client.get(f"{base}/$export", headers={**headers, **EXPORTS})
    assert export.status_code == 202, export.text
    upload = await client.post(
        f"{base}/Binary/$presign-upload",
        json=UPLOAD,
        headers=headers,
    )
    uploaded = upload.headers["Location"].rpartition("/")[2] if upload.status_code == 200 else ULID
    assert upload.status_code == 200, upload.text
    job = export.headers["Content-Location"].rpartition("/")[2]
    others = {"/$job": f"?id=export_{job}", "/$job-file": f"?id=export_{job}&name=x"}
    return Things(id=patient["id"], job=job, upload=uploaded, others=others)


async def test_a_foreign_tenant_shows_nothing(served: Smart) -> None:
    """Every route by a foreign tenant: as for a tenant that does not exist, whatever the request names there."""
    things = await things_of(served, "b")
    headers = dict(await served.headers(served.programs["a"]))
    for name, route in ROUTES.items():
        if route.path in PUBLIC:
            continue
        told = set()
        for tenant, named in (("b", things), ("b", Things()), ("nowhere", things)):
            answer = await named.ask(served.client, f"/fhir/{tenant}", route, headers)
            expected = (400, 403, 415) if route.path in TICKETS else (403,)
            assert answer.status_code in expected, (name, answer.text)
            told.add((answer.status_code, answer.text))
        assert len(told) == 1, (name, told)


async def test_the_names_of_another_tenant_mean_nothing_in_ones_own(served: Smart) -> None:
    """Every route by ids, jobs, files and uploads of another tenant: as for names that were never given."""
    things = await things_of(served, "b")
    stranger = "01J8Z6Q0000000000000000009"
    nothing = Things(
        id=stranger, job=stranger, upload=stranger,
        others={"/$job": f"?id=export_{stranger}", "/$job-file": f"?id=export_{stranger}&name=x"},
    )  # fmt: skip
    headers = dict(await served.headers(served.programs["a"]))
    for name, route in ROUTES.items():
        if not set(re.findall(r"\{(\w+)\}", route.path)) - {"type"} and route.path not in things.others:
            continue
        answers = [await named.ask(served.client, "/fhir/a", route, headers) for named in (things, nothing)]
        shown = [
            (one.status_code, re.sub(r"[0-9A-HJKMNP-TV-Z]{26}|\d{4}-\d\d-\d\dT[0-9:.]+Z|\d{13,}", "-", one.text))
            for one in answers
        ]
        assert shown[0] == shown[1], name
        assert answers[0].status_code < 500, name


async def test_idempotency_keys_and_cursors_of_another_tenant_mean_nothing(served: Smart) -> None:
    """The key makes a resource of one's own; the cursor shows what is there, in one's own tenant."""
    client = served.client
    header = {tenant: {**JSON, **(await served.headers(served.programs[tenant]))} for tenant in ("a", "b")}
    made = {}
    for tenant in ("a", "b"):
        for n in range(3):
            key = {"Idempotency-Key": f"key-{n}"}
            answer = await client.post(
                f"/fhir/{tenant}/Basic",
                json={"resourceType": "Basic", "code": {"text": tenant}},
                headers={**header[tenant], **key},
            )
            assert answer.status_code == 201, answer.text
            made[tenant, n] = answer.json()["id"]
    assert not {made["a", n] for n in range(3)} & {made["b", n] for n in range(3)}
    page = (await client.get("/fhir/b/Basic?_count=1", headers=header["b"])).json()
    (following,) = [link["url"] for link in page["link"] if link["relation"] == "next"]
    answer = await client.get(following.replace("/fhir/b/", "/fhir/a/"), headers=header["a"])
    assert {entry["resource"]["code"]["text"] for entry in answer.json().get("entry", [])} <= {"a"}


async def test_with_one_tenant_or_headers_a_claim_that_differs_is_refused() -> None:
    """The header, the path and the settings have to agree with the token."""
    for settings, header in (
        (Settings(auth="smart", tenant_source="header", tenants=frozenset({"a", "b"})), "b"),
        (Settings(auth="smart"), "other"),
    ):
        async with smart(settings) as served:
            tenant = settings.only_tenant or "a"
            program = await served.register("all", *EVERYTHING, tenant=tenant)
            headers = dict(await served.headers(program))
            assert (await served.client.get("/fhir/Patient", headers=headers)).status_code == 200
            same = await served.client.get("/fhir/Patient", headers={**headers, HEADER: tenant})
            assert same.status_code == 200
            foreign = await served.client.get("/fhir/Patient", headers={**headers, HEADER: header})
            assert foreign.status_code == 403


async def test_a_page_of_another_origin_may_ask_before_it_has_a_token() -> None:
    """A preflight has no token, and needs none; the request that follows does."""
    async with smart(Settings(auth="smart", cors_origins=("https://app.example",))) as served:
        asked = {
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "authorization",
        }
        answer = await served.client.options("/fhir/Patient", headers=asked)
        assert answer.status_code == 200
        assert "authorization" in answer.headers["access-control-allow-headers"].lower()
        answer = await served.client.get("/fhir/Patient", headers={"Origin": "https://app.example"})
        assert answer.status_code == 401
        assert answer.headers["access-control-allow-origin"] == "https://app.example"


async def test_both_documents_say_that_a_token_is_needed(served: Smart) -> None:
    """The CapabilityStatement as SMART has it, OpenAPI by its security schemes."""
    (rest,) = (await served.client.get("/fhir/a/metadata")).json()["rest"]
    assert rest["security"]["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
    (uris,) = rest["security"]["extension"]
    assert uris["extension"] == [{"url": "token", "valueUri": "http://testserver/fhir/a/auth/token"}]
    document = (await served.client.get("/openapi.json")).json()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert document["security"] == [{"bearer": []}]
    assert document["paths"]["/metadata"]["get"]["security"] == []
    assert "401" in document["paths"]["/{type}/{id}"]["get"]["responses"]


async def test_a_token_in_a_url_or_form_is_no_token(served: Smart) -> None:
    """They end up in logs and histories."""
    program = served.programs["a"]
    token = (await served.client.post(program.token_url, data=form(program.assertion()))).json()["access_token"]
    assert (await served.client.get("/fhir/a/Patient", params={"access_token": token})).status_code == 401
    answer = await served.client.post("/fhir/a/Patient/_search", data={"access_token": token})
    assert answer.status_code == 401
