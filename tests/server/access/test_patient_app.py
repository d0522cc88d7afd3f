"""An app with a `patient/` token of an outside issuer sees its patient and no other, through every route."""

from __future__ import annotations

import asyncio
import html
import json
import re
import shutil
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from server.settings import Settings
from tests.server.access.signing import public, rsa_key, signed
from tests.server.access.test_every_route import PUBLIC, ROUTES, TICKETS, Things
from tests.server.serving import Served, serving

CLAIMS = {"scope": "openid fhirUser launch/patient patient/*.cruds", "patient": "p1", "fhirUser": "Patient/p1"}
APP = "growth-chart"
_PATIENCE = 20.0  # seconds
_UNIQUE = re.compile(r"p2|nobody|[0-9A-HJKMNP-TV-Z]{26}|\d{4}-\d\d-\d\dT[0-9:.]+Z|\d{13,}")


@asynccontextmanager
async def _own_issuer() -> AsyncIterator[tuple[str, str]]:
    """An issuer of ours on loopback: two documents over real HTTP. Returns its URL and a token."""
    key = rsa_key("outside")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(public(key) if self.path == "/keys" else {"issuer": url, "jwks_uri": f"{url}/keys"})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    now = int(time.time())
    claims = {**CLAIMS, "iss": url, "aud": APP, "sub": "ada", "azp": APP, "iat": now, "exp": now + 300}
    try:
        yield url, signed(key, claims, alg="RS256")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@asynccontextmanager
async def _provider(command: str) -> AsyncIterator[tuple[str, str]]:
    """oidc-provider-mock from PyPI, as it comes: the code flow of OpenID Connect, and the token that it ends with."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    user = json.dumps({"sub": "ada", **CLAIMS})
    process = await asyncio.create_subprocess_exec(
        command, "-p", str(port), "--user-claims", user,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient() as client, asyncio.timeout(_PATIENCE):
            while True:
                try:
                    found = (await client.get(f"{url}/.well-known/openid-configuration")).json()
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
            back = "http://127.0.0.1:9/back"
            asked = {"client_id": APP, "redirect_uri": back, "response_type": "code", "scope": "openid", "state": "s"}
            answer = await client.post(found["authorization_endpoint"], params=asked, data={"sub": "ada"})
            code = parse_qs(urlsplit(html.unescape(answer.headers["location"])).query)["code"][0]
            form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back}
            answer = await client.post(found["token_endpoint"], data=form, auth=(APP, "secret"))
            yield found["issuer"], answer.json()["id_token"]
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture(params=["our own", "oidc-provider-mock"])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    """The app's client of a server with two Patients; what it stores needs no token of another one."""
    beside = Path(sys.executable).with_name("oidc-provider-mock")
    command = str(beside) if beside.exists() else shutil.which("oidc-provider-mock")
    if request.param != "our own" and command is None:
        pytest.skip("pip install oidc-provider-mock")
    issuing = _own_issuer() if request.param == "our own" or command is None else _provider(command)
    async with issuing as (issuer, token):
        settings = Settings(auth="jwt", auth_issuers=(issuer,), auth_audience=(APP,), enable_purge=True)
        async with serving(settings) as served:
            tenant = served.store.tenant("default")
            for id_ in ("p1", "p2"):
                subject = {"reference": f"Patient/{id_}"}
                await tenant.update({"resourceType": "Patient", "id": id_, "active": True})
                await tenant.update({"resourceType": "Patient", "id": id_, "active": False})
                await tenant.update({"resourceType": "Condition", "id": f"c-{id_}", "subject": subject})
            await tenant.update({"resourceType": "Organization", "id": "o", "name": "secret"})
            served.client.headers["Authorization"] = f"Bearer {token}"
            yield served


async def test_it_sees_its_patient(served: Served) -> None:
    """Reads, searches, histories and Bundles have what is in the compartment; writes go there."""
    app = served.client
    assert (await app.get("/fhir/Patient/p1")).json()["id"] == "p1"
    assert (await app.get("/fhir/Patient/p1/_history/1")).status_code == 200
    for path, ids in (
        ("Patient", {"p1"}),
        ("Condition", {"c-p1"}),
        ("Patient/_history", {"p1"}),
        ("_history", {"p1", "c-p1"}),
    ):
        found = (await app.get(f"/fhir/{path}")).json()
        assert {entry["resource"]["id"] for entry in found["entry"]} == ids, path
        assert "p2" not in json.dumps(found)
    new = {"resourceType": "Condition", "subject": {"reference": "Patient/p1"}}
    assert (await app.post("/fhir/Condition", json=new)).status_code == 201
    foreign = {"resourceType": "Condition", "subject": {"reference": "Patient/p2"}}
    assert (await app.post("/fhir/Condition", json=foreign)).status_code == 403


async def test_no_route_tells_that_another_patient_is_there(served: Served) -> None:
    """Each route answers for the other Patient as for one that does not exist; what is no patient's is refused."""
    app = served.client
    for name, route in ROUTES.items():
        if route.path in PUBLIC | TICKETS:
            continue
        answers = [await Things(id=id_).ask(app, "/fhir", route, {}) for id_ in ("p2", "nobody")]
        shown = [
            (
                one.status_code,
                re.sub(r"p2|nobody|[0-9A-HJKMNP-TV-Z]{26}|\d{4}-\d\d-\d\dT[0-9:.]+Z|\d{13,}", "-", one.text),
            )
            for one in answers
        ]
        if "{id}" in route.path:
            assert shown[0] == shown[1], name
            # of what is not there FHIR lets a DELETE succeed; $validate looks at the body that was sent
            other = 204 if route.method == "DELETE" else 200 if name.startswith("POST") and "$validate" in name else 404
            if route.path.startswith("/{compartment}"):
                other = 200  # nothing is found in the compartment of what is not there
            assert answers[0].status_code in (403, 404, other), (name, answers[0].text)
        assert answers[0].status_code < 500, (name, answers[0].text)
    for path in ("Organization/o", "Organization", "$export", "Patient/$export", "$jobs"):
        assert (await app.get(f"/fhir/{path}", headers={"Prefer": "respond-async"})).status_code == 403, path
    tenant = served.store.tenant("default")
    assert (await tenant.read("Patient", "p2")).version_id == 2, "nothing has changed it"
    batch = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [{"request": {"method": "GET", "url": url}} for url in ("Patient/p2", "Patient/nobody", "Patient/p1")],
    }
    entries = (await app.post("/fhir", json=batch)).json()["entry"]
    assert [entry["response"]["status"][:3] for entry in entries] == ["404", "404", "200"]


async def test_the_configuration_leads_to_the_issuer(served: Served) -> None:
    """An app finds the issuer's endpoints in /.well-known/smart-configuration."""
    found = (await served.client.get("/fhir/.well-known/smart-configuration")).json()
    assert found["issuer"].startswith("http://127.0.0.1:")
    assert "permission-patient" in found["capabilities"]
