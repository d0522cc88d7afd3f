"""Where the store has no URLs, content comes through the server with a ticket: what it does not permit is refused."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from fhirstore.objects.memory import MemoryStore
from server.settings import Settings
from tests.server.serving import Served, serving
from tests.server.uploads.asking import Told, begun, completed, serving_on

CONTENT = os.urandom(100_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(params=["memory", "embedded"])
async def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    """The app on an empty store without URLs."""
    async with serving_on(request.param, request, monkeypatch) as value:
        yield value


def changed(url: str, name: str, value: str) -> str:
    """Returns the URL with another value of a parameter."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True)) | {name: value}
    return parts._replace(query=urlencode(query)).geturl()


async def posted(client: httpx.AsyncClient, told: Told, content: bytes, **other: str) -> httpx.Response:
    """Sends the form of an answer, with changed fields."""
    fields = {**told.pairs("field"), **other}
    return await client.post(told["url"], data=fields, files={"file": ("a", content)})


async def test_a_changed_url_is_refused(served: Served) -> None:
    """Everything that the ticket says is signed; and it is good for its own upload alone."""
    client = served.client
    told = await begun(client, "put", CONTENT, sha256={"valueString": SHA256})
    headers = told.pairs("header")
    other = await begun(client, "put", CONTENT, sha256={"valueString": SHA256})
    urls = [
        changed(told["url"], "most", "200000"),
        changed(told["url"], "least", "1"),
        changed(told["url"], "expires", "9999999999999"),
        changed(told["url"], "type", "text/html"),
        changed(told["url"], "sha256", "0" * 64),
        changed(told["url"], "method", "post"),
        changed(told["url"], "signature", "0" * 64),
        told["url"].partition("?")[0],
        told["url"].replace(told["uploadId"], other["uploadId"]),
    ]
    for url in urls:
        sent = await client.put(url, headers=headers, content=CONTENT)
        assert (sent.status_code, sent.json()["issue"][0]["code"]) == (403, "forbidden"), url
    assert Told(await client.get(f"/fhir/_upload/{told['uploadId']}"))["status"] == "open"
    assert (await client.put(told["url"], headers=headers, content=CONTENT)).status_code == 204


async def test_a_changed_form_is_refused(served: Served) -> None:
    """The fields are the ticket."""
    client = served.client
    told = await begun(client, "post", CONTENT)
    for name in ("most", "expires", "type", "signature", "method"):
        assert (await posted(client, told, CONTENT, **{name: "1"})).status_code == 403, name
    assert (await client.post(told["url"], data=told.pairs("field"))).status_code == 415
    assert (await client.post(told["url"], files={"file": ("a", CONTENT)})).status_code == 403
    no_file = await client.post(told["url"], data=told.pairs("field"), files={"other": ("a", CONTENT)})
    assert no_file.status_code in (400, 413)
    assert (await posted(client, told, CONTENT)).status_code == 204


async def test_other_content_than_promised_is_not_taken(served: Served) -> None:
    """Type, size and hash: refused while it is sent, and the right content can still be sent."""
    client = served.client
    told = await begun(client, "put", CONTENT, sha256={"valueString": SHA256})
    headers, url = told.pairs("header"), told["url"]
    assert (await client.put(url, headers={"content-type": "text/html"}, content=CONTENT)).status_code == 415
    assert (await client.put(url, headers=headers, content=CONTENT + b"x")).status_code == 413
    assert (await client.put(url, headers=headers, content=CONTENT[1:])).status_code == 400
    assert (await client.put(url, headers=headers, content=bytes(len(CONTENT)))).status_code == 400
    assert (await client.put(url, headers=headers, content=CONTENT)).status_code == 204
    assert (await client.put(url, headers=headers, content=CONTENT)).status_code == 409
    form = await begun(client, "post", CONTENT)
    assert (await posted(client, form, CONTENT + b"x")).status_code in (400, 413)
    assert (await posted(client, form, CONTENT[1:])).status_code == 400
    assert (await client.put(form["url"], content=CONTENT)).status_code == 403


async def test_an_expired_ticket_is_refused() -> None:
    """After its time nothing is taken, and the upload cannot be completed an hour later."""
    objects = MemoryStore()
    async with serving(objects=objects) as served:
        told = await begun(served.client, "put", CONTENT, expiresIn={"valueInteger": 60})
        later = objects.now() + 61_000
        objects.now = lambda: later  # type: ignore[method-assign]
        sent = await served.client.put(told["url"], headers=told.pairs("header"), content=CONTENT)
        assert sent.status_code == 403
        assert "is over" in sent.json()["issue"][0]["diagnostics"]


async def test_processes_share_the_key_and_tenants_do_not() -> None:
    """Another process on the same store takes the ticket; another tenant of it does not."""
    objects = MemoryStore()
    settings = Settings(tenant_source="path", tenants=frozenset({"a", "b"}))
    async with serving(settings, objects) as first, serving(settings, objects) as second:
        body = {
            "resourceType": "Parameters",
            "parameter": [
                {"name": "contentType", "valueCode": "text/plain"},
                {"name": "size", "valueInteger": len(CONTENT)},
            ],
        }
        told = Told(await first.client.post("/fhir/a/Binary/$presign-upload", json=body))
        url, headers = told["url"], told.pairs("header")
        assert (await second.client.put(url.replace("/fhir/a/", "/fhir/b/"), headers=headers, content=b"")).is_error
        assert (await second.client.put(url, headers=headers, content=CONTENT)).status_code == 204
        asked = {
            "resourceType": "Parameters",
            "parameter": [{"name": "uploadId", "valueString": told["uploadId"]}],
        }
        done = await first.client.post("/fhir/a/Binary/$complete-upload", json=asked)
        assert done.status_code == 201


async def test_xml_in_and_out(served: Served) -> None:
    """Both operations speak XML as well."""
    xml = (
        '<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="contentType"/><valueCode value="text/plain"/>'
        '</parameter><parameter><name value="size"/><valueInteger value="3"/></parameter></Parameters>'
    )
    headers = {"Content-Type": "application/fhir+xml", "Accept": "application/fhir+xml"}
    answer = await served.client.post("/fhir/Binary/$presign-upload", content=xml, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/fhir+xml")
    assert '<name value="uploadId"/>' in answer.text
    id_ = answer.headers["location"].rpartition("/")[2]
    early = (await completed(served.client, id_)).json()
    assert early["issue"][0]["code"] == "conflict"
