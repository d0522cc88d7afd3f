"""Direct transfer over HTTP: forms, PUTs and parts become Binaries, on every kind of store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.server.serving import Served
from tests.server.uploads.asking import JSON, Told, begun, completed, parameters, serving_on

PART = 5 * 1024 * 1024
CONTENT = os.urandom(1_500_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(params=["memory", "embedded", "ministack", "seaweedfs", "minio"])
async def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    """The app on an empty store of each kind."""
    async with serving_on(request.param, request, monkeypatch) as value:
        yield value


@pytest.fixture
async def anybody() -> AsyncIterator[httpx.AsyncClient]:
    """A client of the store, which knows no server."""
    async with httpx.AsyncClient(trust_env=False) as client:
        yield client


def sender(served: Served, anybody: httpx.AsyncClient, url: str) -> httpx.AsyncClient:
    """Who sends to this URL: in this process the app is not reached over the network."""
    return served.client if url.startswith("http://testserver") else anybody


async def binaries(client: httpx.AsyncClient) -> int:
    """Returns how many Binaries there are."""
    return len((await client.get("/fhir/Binary/_history")).json().get("entry", []))


async def test_a_put_becomes_a_binary(served: Served, anybody: httpx.AsyncClient) -> None:
    """The URL and headers of the answer take the content; the Binary has it, its type and its securityContext."""
    client = served.client
    told = await begun(
        client,
        "put",
        CONTENT,
        sha256={"valueString": SHA256},
        securityContext={"valueReference": {"reference": "Patient/1"}},
    )
    sent = await sender(served, anybody, told["url"]).put(told["url"], headers=told.pairs("header"), content=CONTENT)
    assert sent.is_success, sent.text
    done = await completed(client, told["uploadId"])
    assert done.status_code == 201, done.text
    assert done.json()["contentType"] == "application/pdf"
    assert done.json()["securityContext"] == {"reference": "Patient/1"}
    again = await completed(client, told["uploadId"])
    assert (again.status_code, again.json(), again.headers["location"]) == (200, done.json(), done.headers["location"])
    read = await client.get(f"/fhir/Binary/{done.json()['id']}")
    assert (read.content, read.headers["content-type"]) == (CONTENT, "application/pdf")
    assert await binaries(client) == 1


async def test_a_form_becomes_a_binary(served: Served, anybody: httpx.AsyncClient) -> None:
    """A plain form with the fields of the answer takes the content, at most maxSize bytes of it."""
    client = served.client
    told = await begun(client, "post", CONTENT)
    files = {"file": ("a.pdf", CONTENT, "application/pdf")}
    sent = await sender(served, anybody, told["url"]).post(told["url"], data=told.pairs("field"), files=files)
    assert sent.status_code == 204, sent.text
    done = await completed(
        client, told["uploadId"], sha256={"valueString": SHA256}, size={"valueInteger": len(CONTENT)}
    )
    assert done.status_code == 201, done.text
    assert (await client.get(f"/fhir/Binary/{done.json()['id']}")).content == CONTENT


async def test_parts_resume_after_a_cut(served: Served) -> None:
    """The status says what is there, so that the client sends the rest; parts may be sent again."""
    client, content = served.client, os.urandom(PART + 100)
    told = await begun(client, "parts", content, partSize={"valueInteger": PART})
    url, total = told["url"], len(content)
    assert told["partSize"] == PART

    async def send(start: int, end: int) -> int:
        headers = {"Content-Range": f"bytes {start}-{end - 1}/{total}"}
        return (await client.put(url, headers=headers, content=content[start:end])).status_code

    assert await send(PART, total) == 204
    status = Told(await client.get(url))
    assert (status["status"], status["received"], status.gaps()) == ("open", 100, [(0, PART)])
    head = await client.head(url)
    assert (head.headers["upload-offset"], head.headers["upload-length"]) == ("0", str(total))
    early = await completed(client, told["uploadId"])
    assert (early.status_code, early.json()["issue"][0]["code"]) == (409, "conflict")
    assert await send(0, PART - 1) == 400
    short = await client.put(url, headers={"Content-Range": f"bytes 0-{PART - 1}/{total}"}, content=b"x")
    assert short.status_code == 400
    assert await send(0, PART) == await send(0, PART) == 204
    assert (await client.head(url)).headers["upload-offset"] == str(total)
    done = await completed(client, told["uploadId"])
    assert done.status_code == 201, done.text
    assert (await client.get(f"/fhir/Binary/{done.json()['id']}")).content == content
    assert await send(0, PART) == 409
    assert Told(await client.get(url))["binary"] == {"reference": f"Binary/{done.json()['id']}"}


async def test_other_content_than_promised_is_refused(served: Served, anybody: httpx.AsyncClient) -> None:
    """The completion answers 422, each time, and there is no Binary."""
    client = served.client
    told = await begun(client, "put", CONTENT)
    await sender(served, anybody, told["url"]).put(told["url"], headers=told.pairs("header"), content=CONTENT)
    malformed = await completed(client, told["uploadId"], sha256={"valueString": SHA256[:-1]})
    assert malformed.status_code == 400
    assert Told(await client.get(f"/fhir/_upload/{told['uploadId']}"))["status"] in ("open", "received")
    for _ in range(2):
        done = await completed(client, told["uploadId"], sha256={"valueString": "0" * 64})
        assert done.status_code == 422, done.text
        assert "SHA-256" in done.json()["issue"][0]["diagnostics"]
    status = Told(await client.get(f"/fhir/_upload/{told['uploadId']}"))
    assert status["status"] == "refused"
    assert await binaries(client) == 0


async def test_an_upload_can_be_given_up(served: Served) -> None:
    """After DELETE it is gone for sending and for completing."""
    client = served.client
    told = await begun(client, "parts", CONTENT)
    assert (await client.delete(told["url"])).status_code == 200
    assert (await completed(client, told["uploadId"])).status_code == 410
    headers = {"Content-Range": f"bytes 0-{len(CONTENT) - 1}/*"}
    assert (await client.put(told["url"], headers=headers, content=CONTENT)).status_code == 410
    assert (await client.delete(told["url"])).status_code == 200
    for unknown in ("01ARZ3NDEKTSV4RRFFQ69G5FAV", "x"):
        assert (await client.get(f"/fhir/_upload/{unknown}")).status_code == 404
        assert (await client.delete(f"/fhir/_upload/{unknown}")).status_code == 404
        assert (await completed(client, unknown)).status_code == 404


async def test_bad_requests_say_what_is_wrong(served: Served) -> None:
    """Each names the parameter, and nothing is begun."""
    client = served.client
    size, type_ = {"valueInteger": 5}, {"valueCode": "text/plain"}
    for given, word in (
        ({"size": size}, "contentType"),
        ({"contentType": type_}, "size"),
        ({"contentType": type_, "size": {"valueInteger": 0}}, "size"),
        ({"contentType": type_, "size": size, "maxSize": size}, "maxSize"),
        ({"contentType": type_, "size": {"valueDecimal": 1.5}}, "size"),
        ({"contentType": type_, "size": {"valueInteger": 10**15}}, "size"),
        ({"contentType": type_, "size": size, "method": {"valueCode": "ftp"}}, "method"),
        ({"contentType": type_, "size": size, "sha256": {"valueString": "abc"}}, "sha256"),
        ({"contentType": type_, "size": size, "expiresIn": {"valueInteger": 3601}}, "expiresIn"),
        ({"contentType": type_, "size": size, "expires": {"valueInteger": 3601}}, "expiresIn"),
        ({"contentType": {"valueBoolean": True}, "size": size}, "contentType"),
    ):
        answer = await client.post("/fhir/Binary/$presign-upload", json=parameters(**given), headers=JSON)
        assert answer.status_code == 400, answer.text
        assert word in answer.json()["issue"][0]["diagnostics"]
    twice = {"resourceType": "Parameters", "parameter": [{"name": "size", **size}, {"name": "size", **size}]}
    assert (await client.post("/fhir/Binary/$presign-upload", json=twice, headers=JSON)).status_code == 400
    assert (await client.post("/fhir/Binary/$complete-upload", json=parameters(), headers=JSON)).status_code == 400
    patient = {"resourceType": "Patient"}
    assert (await client.post("/fhir/Binary/$presign-upload", json=patient, headers=JSON)).status_code == 400
