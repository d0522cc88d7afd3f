"""With FHIRSTORE_EXTERNALIZE_ATTACHMENTS, long data of attachments lies in Binaries, and comes back on demand."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from server.settings import Settings
from tests.server.serving import FHIR_JSON, Served, serving

CONTENT = bytes(range(256)) * 20
DATA = base64.b64encode(CONTENT).decode()
SHORT = base64.b64encode(b"short").decode()
SETTINGS = Settings(inline_bytes=1000, externalize_attachments=True)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(SETTINGS) as value:
        yield value


def document(id: str | None = None, *, data: str = DATA) -> dict[str, object]:
    long = {"attachment": {"contentType": "application/pdf", "data": data, "title": "t"}}
    short = {"attachment": {"contentType": "text/plain", "data": SHORT}}
    named = {} if id is None else {"id": id}
    return {"resourceType": "DocumentReference", **named, "status": "current", "content": [long, short]}


def attachment(answer: httpx.Response, n: int = 0) -> dict[str, object]:
    assert answer.is_success, answer.text
    found: dict[str, object] = answer.json()["content"][n]["attachment"]
    return found


async def binaries(served: Served) -> list[str]:
    found = (await served.client.get("/fhir/Binary")).json().get("entry", [])
    return [f"Binary/{entry['resource']['id']}" for entry in found]


async def test_long_data_becomes_a_binary(served: Served) -> None:
    """With the same transaction; short data stays. The Binary is the content, and belongs to the resource."""
    made = await served.client.post("/fhir/DocumentReference", json=document())
    shown = attachment(made)
    assert shown.keys() == {"contentType", "title", "url", "size", "hash"}
    assert shown["size"] == len(CONTENT)
    assert attachment(made, 1)["data"] == SHORT
    assert await binaries(served) == [shown["url"]]
    binary = await served.client.get(f"/fhir/{shown['url']}")
    assert (binary.content, binary.headers["content-type"]) == (CONTENT, "application/pdf")
    assert binary.headers["x-security-context"] == f"DocumentReference/{made.json()['id']}"
    page = await served.meter.list("default/binary/payload/")
    assert len(page.objects) == 1


async def test_it_is_put_back_on_demand(served: Served) -> None:
    """`_attachments=inline` on read and vread; anything else is refused, and too much is 413."""
    made = await served.client.post("/fhir/DocumentReference", json=document())
    path = f"/fhir/DocumentReference/{made.json()['id']}"
    for url in (path, f"{path}/_history/1"):
        answer = await served.client.get(f"{url}?_attachments=inline")
        assert attachment(answer)["data"] == DATA
        assert attachment(answer)["url"] == attachment(made)["url"]
        assert answer.headers["etag"] == 'W/"1"'
    assert "data" not in attachment(await served.client.get(f"{path}?_attachments=url"))
    assert (await served.client.get(f"{path}?_attachments=yes")).status_code == 400
    xml = await served.client.get(f"{path}?_attachments=inline&_format=xml")
    assert DATA in xml.text
    binary = f"/fhir/{attachment(made)['url']}"
    await served.client.put(binary, content=b"other", headers={"Content-Type": "application/pdf"})
    assert "data" not in attachment(await served.client.get(f"{path}?_attachments=inline"))
    await served.client.delete(binary)
    assert "data" not in attachment(await served.client.get(f"{path}?_attachments=inline"))


async def test_more_than_one_answer_holds_is_413() -> None:
    """The data that is put back together has the limit of a body."""
    settings = Settings(inline_bytes=1000, externalize_attachments=True, max_body=20_000)
    async with serving(settings) as served:
        for n in range(3):
            await served.client.put(
                f"/fhir/Binary/{n}", content=CONTENT * 2 + bytes([n]), headers={"Content-Type": "a/b"}
            )
        content = [{"attachment": {"url": f"Binary/{n}"}} for n in range(3)]
        resource = {"resourceType": "DocumentReference", "id": "d", "status": "current", "content": content}
        assert (await served.client.put("/fhir/DocumentReference/d", json=resource)).status_code == 201
        answer = await served.client.get("/fhir/DocumentReference/d?_attachments=inline")
        assert answer.status_code == 413
        assert answer.json()["issue"][0]["code"] == "too-costly"


async def test_an_update_in_any_form_keeps_it(served: Served) -> None:
    """With the URL; with the data again, put back or from the source: each refers to the one Binary, unchanged."""
    first = await served.client.put("/fhir/DocumentReference/d", json=document("d"))
    with_url = first.json()
    with_both = (await served.client.get("/fhir/DocumentReference/d?_attachments=inline")).json()
    for resource in (with_url, with_both, document("d")):
        answer = await served.client.put("/fhir/DocumentReference/d", json=resource)
        assert attachment(answer) == attachment(first)
    url = attachment(first)["url"]
    assert (await served.client.get(f"/fhir/{url}")).headers["etag"] == '"1"'
    other = await served.client.put("/fhir/DocumentReference/d", json=document("d", data=DATA[4:]))
    assert attachment(other)["url"] != url
    stale = await served.client.put("/fhir/DocumentReference/d", json=document("d"), headers={"If-Match": '"1"'})
    assert stale.status_code == 412


async def test_both_or_neither_are_written(served: Served) -> None:
    """A write that is refused leaves no Binary: a stale precondition, an invalid resource, a failed transaction."""
    refused = await served.client.put("/fhir/DocumentReference/d", json=document("d"), headers={"If-Match": '"7"'})
    assert refused.status_code == 412
    invalid = document("d") | {"status": 1}
    assert (await served.client.put("/fhir/DocumentReference/d", json=invalid)).status_code in (400, 422)
    entries = [
        {"resource": document(), "request": {"method": "POST", "url": "DocumentReference"}},
        {"request": {"method": "DELETE", "url": "Patient/none", "ifMatch": 'W/"1"'}},
    ]
    failed = await served.client.post("/fhir", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert failed.status_code == 412
    assert await binaries(served) == []


@pytest.mark.parametrize("kind", ["transaction", "batch"])
async def test_entries_of_a_bundle_are_written_like_requests(served: Served, kind: str) -> None:
    """A create and an update; the Binaries are not among the entries of the answer."""
    entries = [
        {"resource": document(), "request": {"method": "POST", "url": "DocumentReference"}},
        {"resource": document("d"), "request": {"method": "PUT", "url": "DocumentReference/d"}},
    ]
    bundle = {"resourceType": "Bundle", "type": kind, "entry": entries}
    headers = {**FHIR_JSON, "Prefer": "return=representation"}
    answer = (await served.client.post("/fhir", content=json.dumps(bundle), headers=headers)).json()
    assert [entry["response"]["status"] for entry in answer["entry"]] == ["201 Created", "201 Created"]
    for entry in answer["entry"]:
        shown = entry["resource"]["content"][0]["attachment"]
        assert (await served.client.get(f"/fhir/{shown['url']}")).content == CONTENT
    assert len(await binaries(served)) == 2


async def test_a_repeated_key_makes_one_binary(served: Served) -> None:
    """Idempotency-Key: the same resource again creates nothing, another one is refused and leaves nothing."""
    headers = {"Idempotency-Key": "k"}
    answers = [
        await served.client.post("/fhir/DocumentReference", json=document(data=data), headers=headers)
        for data in (DATA, DATA, DATA[4:])
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 422]
    assert answers[0].json() == answers[1].json()
    assert len(await binaries(served)) == 1


async def test_the_same_data_again_brings_a_deleted_binary_back() -> None:
    """Also where the resource itself is unchanged and gets no version: alone and in a transaction."""
    async with serving(replace(SETTINGS, skip_unchanged=True)) as served:
        made = await served.client.put("/fhir/DocumentReference/a", json=document("a"))
        url = f"/fhir/{attachment(made)['url']}"
        entry = {"resource": document("a"), "request": {"method": "PUT", "url": "DocumentReference/a"}}
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
        for _ in range(2):
            again = await served.client.put("/fhir/DocumentReference/a", json=document("a"))
            assert again.headers["etag"] == 'W/"1"'
            assert (await served.client.get(url)).headers["etag"] == '"1"'
        await served.client.delete(url)
        again = await served.client.put("/fhir/DocumentReference/a", json=document("a"))
        assert again.headers["etag"] == 'W/"1"'
        assert (await served.client.get(url)).content == CONTENT
        await served.client.delete(url)
        assert (await served.client.post("/fhir", json=bundle)).is_success
        assert (await served.client.get(url)).content == CONTENT


async def test_by_default_data_stays_where_it_is() -> None:
    """Nothing is moved unless the setting says so."""
    async with serving(Settings(inline_bytes=1000)) as served:
        made = await served.client.post("/fhir/DocumentReference", json=document())
        assert attachment(made)["data"] == DATA
        assert await binaries(served) == []
