"""One resource that XML cannot say never makes a page of XML fail."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.xml import read
from server.settings import Settings
from tests.server.serving import FHIR_JSON, Served, serving

R4 = definitions("4.0")
AS_XML = {"Accept": "application/fhir+xml"}
DIV = '<div xmlns=\\"http://www.w3.org/1999/xhtml\\">a\uffff</div>'
UNSAYABLE = {
    "U+FFFE": '"name":[{"text":"a\\ufffe"}]',
    "U+FFFF": '"name":[{"text":"a\uffff"}]',
    "control character": '"name":[{"text":"a\\u0001"}]',
    "in a narrative": f'"text":{{"status":"generated","div":"{DIV}"}}',
    "unknown member": '"bogus":1',
    "another shape": '"name":"a"',
}


@pytest.fixture
async def lax() -> AsyncIterator[Served]:
    """A server that validates nothing, so that anything may be stored."""
    async with serving(Settings(validation="off")) as served:
        yield served


async def _store(served: Served, members: str) -> None:
    for id_, more in (("a", ""), ("b", f",{members}"), ("c", "")):
        body = f'{{"resourceType":"Patient","id":"{id_}"{more}}}'.encode()
        assert (await served.client.put(f"/fhir/Patient/{id_}", content=body, headers=FHIR_JSON)).status_code == 201


def _entries(body: bytes) -> list[json.JsonObject]:
    entries = read(body, R4)["entry"]
    assert isinstance(entries, list)
    return entries


@pytest.mark.parametrize("kind", UNSAYABLE)
@pytest.mark.parametrize("pretty", ["", "&_pretty=true"])
async def test_a_search_says_which_resource_is_missing(lax: Served, kind: str, pretty: str) -> None:
    """The others are there; an entry of mode outcome names the one, the place in it and what to do."""
    await _store(lax, UNSAYABLE[kind])
    page = await lax.client.get(f"/fhir/Patient?_id=a,b,c&_format=xml{pretty}")
    assert page.status_code == 200, page.text
    found = {}
    for entry in _entries(page.content):
        resource = entry["resource"]
        assert isinstance(resource, dict)
        found[str(resource["resourceType"]), str(resource.get("id"))] = resource, entry["search"]
    assert set(found) == {("Patient", "a"), ("Patient", "c"), ("OperationOutcome", "None")}
    outcome, search = found["OperationOutcome", "None"]
    assert search == {"mode": "outcome"}
    assert "Patient/b has no XML form" in str(outcome)
    assert "ask for JSON" in str(outcome)


@pytest.mark.parametrize("kind", UNSAYABLE)
async def test_a_history_tells_the_version_without_its_content(lax: Served, kind: str) -> None:
    """Its request and response are there, with an outcome."""
    await _store(lax, UNSAYABLE[kind])
    for url in ("/fhir/_history", "/fhir/Patient/_history", "/fhir/Patient/b/_history"):
        page = await lax.client.get(url, headers=AS_XML)
        assert page.status_code == 200, page.text
        entry = next(each for each in _entries(page.content) if str(each["fullUrl"]).endswith("/b"))
        assert "resource" not in entry
        assert isinstance(response := entry["response"], dict)
        assert (response["status"], response["etag"]) == ("201", 'W/"1"')
        assert "Patient/b has no XML form" in str(response["outcome"])


@pytest.mark.parametrize("kind", UNSAYABLE)
async def test_a_batch_answers_what_it_can_in_xml(lax: Served, kind: str) -> None:
    """A read of it, and a search inside of the batch that finds it."""
    await _store(lax, UNSAYABLE[kind])
    gets = ",".join(
        f'{{"request":{{"method":"GET","url":"{url}"}}}}' for url in ("Patient/a", "Patient/b", "Patient?_id=b,c")
    )
    batch = f'{{"resourceType":"Bundle","type":"batch","entry":[{gets}]}}'
    answer = await lax.client.post("/fhir", content=batch, headers=FHIR_JSON | AS_XML)
    assert answer.headers["content-type"].startswith("application/fhir+xml")
    one, two, three = _entries(answer.content)
    assert isinstance(resource := one["resource"], dict)
    assert resource["id"] == "a"
    assert "resource" not in two
    assert "Patient/b has no XML form" in str(two["response"])
    assert isinstance(searchset := three["resource"], dict)
    assert [entry["search"]["mode"] for entry in searchset["entry"]] == ["outcome", "match"]


@pytest.mark.parametrize("kind", UNSAYABLE)
async def test_the_resource_itself_is_not_changed_to_fit(lax: Served, kind: str) -> None:
    """406 with the reason, for a replaced character would be written back by whoever read it; JSON has it."""
    await _store(lax, UNSAYABLE[kind])
    refused = await lax.client.get("/fhir/Patient/b", headers=AS_XML)
    assert refused.status_code == 406
    assert b"ask for JSON" in refused.content
    assert (await lax.client.get("/fhir/Patient/b")).status_code == 200


async def test_a_stored_bundle_is_no_page(served: Served) -> None:
    """It has an id and is refused as any resource is."""
    entry = '{"resource":{"resourceType":"Patient","id":"b","name":[{"text":"a\\ufffe"}]}}'
    body = f'{{"resourceType":"Bundle","id":"x","type":"collection","entry":[{entry}]}}'
    assert (await served.client.put("/fhir/Bundle/x", content=body, headers=FHIR_JSON)).status_code == 201
    assert (await served.client.get("/fhir/Bundle/x", headers=AS_XML)).status_code == 406
    page = await served.client.get("/fhir/Bundle?_id=x", headers=AS_XML)
    assert "Bundle/x has no XML form" in str(_entries(page.content))


async def test_the_deepest_resource_is_on_a_page_of_xml(lax: Served) -> None:
    """As deep as a resource may be; the page around it is not counted."""
    depth = (json.MAX_DEPTH - 1) // 2
    body = b'{"resourceType":"Patient","id":"d"%s%s}' % (b',"extension":[{"url":"u"' * depth, b"}]" * depth)
    assert (await lax.client.put("/fhir/Patient/d", content=body, headers=FHIR_JSON)).status_code == 201
    page = await lax.client.get("/fhir/Patient?_id=d", headers=AS_XML)
    assert (page.status_code, page.content.count(b"<extension")) == (200, depth)
