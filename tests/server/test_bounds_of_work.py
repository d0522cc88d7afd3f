"""What a request may make the server do is bounded, in values and bytes; the refusal says the bound. No clocks here."""

from __future__ import annotations

import base64
import json

import pytest

from conformance.abuse import bodies
from fhirstore.fhir.validation import operation
from tests.server.serving import FHIR_JSON, Served

pytestmark = pytest.mark.slow

FHIR_XML = {"Content-Type": "application/fhir+xml"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
PATIENT = b'{"resourceType":"Patient","id":"p","active":true}'


async def test_a_patch_that_copies_a_value_into_itself_is_refused(served: Served) -> None:
    """413 with the bound in bytes; the resource stays as it was."""
    await served.client.put("/fhir/Patient/p", content=PATIENT, headers=FHIR_JSON)
    answer = await served.client.patch("/fhir/Patient/p", content=bodies.doubling_json_patch(), headers=JSON_PATCH)
    assert answer.status_code == 413
    assert "copies more than 16,000,000 bytes (64 for each value)" in answer.json()["issue"][0]["diagnostics"]
    assert (await served.client.get("/fhir/Patient/p")).json()["meta"]["versionId"] == "1"


async def test_a_carried_patch_that_copies_a_value_into_itself_is_refused(served: Served) -> None:
    """In a transaction and in a batch as on its own."""
    await served.client.put("/fhir/Patient/p", content=PATIENT, headers=FHIR_JSON)
    data = base64.b64encode(bodies.doubling_json_patch()).decode()
    binary = f'{{"resourceType":"Binary","contentType":"application/json-patch+json","data":"{data}"}}'
    entry = f'{{"resource":{binary},"request":{{"method":"PATCH","url":"Patient/p"}}}}'
    for kind in ("transaction", "batch"):
        body = bodies.bundle(kind, iter([entry]))
        answer = await served.client.post("/fhir", content=body, headers=FHIR_JSON)
        assert "copies more than 16,000,000 bytes" in answer.text
    assert (await served.client.get("/fhir/Patient/p")).json()["meta"]["versionId"] == "1"


async def test_a_patch_may_copy_what_a_resource_has(served: Served) -> None:
    """Ten thousand values are copied as ever."""
    names = [{"family": "a", "given": ["b"]}] * 2_000
    body = json.dumps({"resourceType": "Patient", "id": "p", "name": names}).encode()
    await served.client.put("/fhir/Patient/p", content=body, headers=FHIR_JSON)
    patch = json.dumps([{"op": "copy", "from": "/name/0", "path": "/name/-"}] * 100).encode()
    answer = await served.client.patch("/fhir/Patient/p", content=patch, headers=JSON_PATCH)
    assert answer.status_code == 200
    assert len(answer.json()["name"]) == 2_100


async def test_a_form_of_a_search_is_small(served: Served) -> None:
    """413 beyond 64 KiB, whatever is in it, packed or not."""
    for body in (b"identifier=" + b"1," * 40_000 + b"1", b"identifier=" + b"\\" * 70_000):
        answer = await served.client.post("/fhir/Patient/_search", content=body, headers=FORM)
        assert answer.status_code == 413
        assert "65,536 bytes" in answer.json()["issue"][0]["diagnostics"]
    packed = {**FORM, "Content-Encoding": "gzip"}
    answer = await served.client.post("/fhir/Patient/_search", content=bodies.zipped(100_000), headers=packed)
    assert answer.status_code == 413


async def test_a_search_has_a_thousand_values_at_most(served: Served) -> None:
    """In the URL and in a form, in one parameter or in several, as in the criteria of a conditional interaction."""
    many = ",".join(map(str, range(1_001)))
    half = ",".join(map(str, range(501)))
    times = "&".join([f"_lastUpdated={'gt2020,' * 10}gt2020"] * 91)
    for query in (f"identifier={many}", f"identifier={half}&_id={half}", times):
        for answer in (
            await served.client.get(f"/fhir/Patient?{query}"),
            await served.client.post("/fhir/Patient/_search", content=query.encode(), headers=FORM),
        ):
            assert answer.status_code == 400, query
            assert answer.json()["issue"][0]["code"] == "too-costly"
            assert "1,000 values" in answer.json()["issue"][0]["diagnostics"]
    condition = {**FHIR_JSON, "If-None-Exist": f"identifier={many}"}
    assert (await served.client.post("/fhir/Patient", content=PATIENT, headers=condition)).status_code == 400


async def test_a_search_for_hundreds_of_ids_is_answered(served: Served) -> None:
    """As many as fit into the bound."""
    await served.client.put("/fhir/Patient/p", content=PATIENT, headers=FHIR_JSON)
    ids = ",".join([*(f"x{n}" for n in range(500)), "p"])
    answer = await served.client.post("/fhir/Patient/_search", content=f"_id={ids}".encode(), headers=FORM)
    assert answer.status_code == 200
    assert answer.json()["total"] == 1


async def test_an_object_of_a_flood_of_members_is_too_large(served: Served) -> None:
    """413: it could only be read in one go; FHIR's objects have some dozens."""
    body = bodies.patient(bodies.numbered(100_000, '"a#":1'))
    answer = await served.client.post("/fhir/Patient", content=body, headers=FHIR_JSON)
    assert answer.status_code == 413
    assert "more than 1,000 members" in answer.json()["issue"][0]["diagnostics"]


async def test_xml_has_a_budget_of_values_as_json_has(served: Served) -> None:
    """413 for a million elements and attributes, and for more than 256 attributes of one element."""
    flood = bodies.repeated(b"<name>", b'<given value="a"/>', b"</name>", separator=b"")
    answer = await served.client.post("/fhir/Patient", content=bodies.xml_patient(flood), headers=FHIR_XML)
    assert answer.status_code == 413
    assert "more than 1,000,000 elements and attributes" in answer.json()["issue"][0]["diagnostics"]
    attributes = bodies.numbered(20_000, 'a#="1"', " ")
    crowded = f"<active {attributes}/>".encode()
    answer = await served.client.post("/fhir/Patient", content=bodies.xml_patient(crowded), headers=FHIR_XML)
    assert answer.status_code == 413
    assert "more than 256 attributes" in answer.json()["issue"][0]["diagnostics"]


async def test_a_narrative_has_no_crowded_elements(served: Served) -> None:
    """An element with thousands of attributes is refused in JSON's narratives, too."""
    attributes = bodies.numbered(20_000, 'a#="1"', " ")
    crowded = f"<p {attributes}/>"
    answer = await served.client.post("/fhir/Patient", content=bodies.narrative(crowded), headers=FHIR_JSON)
    assert answer.status_code == 422
    assert "more than 256 attributes" in answer.json()["issue"][0]["diagnostics"]


async def test_a_flood_of_errors_is_counted_up_to_a_bound(served: Served) -> None:
    """A hundred are listed; of the rest no more than ten thousand are looked for."""
    body = bodies.patient('"name":[' + ",".join(['{"x":1}'] * 100_000) + "]")
    answer = await served.client.post("/fhir/Patient/$validate", content=body, headers=FHIR_JSON)
    assert answer.status_code == 200
    assert len(answer.json()["issue"]) <= 101
    assert len(answer.content) < 100_000


async def test_patches_do_not_let_a_resource_grow_without_end(served: Served) -> None:
    """413 beyond 32 MiB, however many patches it takes."""
    data = "QUJD" * 3_500_000
    await served.client.put(
        "/fhir/Binary/b", content=b'{"resourceType":"Binary","id":"b","contentType":"a/b"}', headers=FHIR_JSON
    )
    merge = {"Content-Type": "application/merge-patch+json"}
    statuses = []
    for name in ("data", "language", "implicitRules"):
        patch = json.dumps({name: data}).encode()
        answer = await served.client.patch("/fhir/Binary/b", content=patch, headers=merge)
        statuses.append(answer.status_code)
    assert statuses[0] == 200
    assert set(statuses[1:]) <= {413, 422}


@pytest.mark.parametrize("accept", ["application/fhir+json", "application/fhir+xml"])
async def test_large_legal_resources_pass_as_ever(served: Served, accept: str) -> None:
    """A Bundle of 4 MB comes back whole, to the digit, in either form; and a part of it."""
    body = bodies.large_bundle(4_000_000)
    put = await served.client.put("/fhir/Bundle/abuse", content=body, headers={**FHIR_JSON, "Prefer": "return=minimal"})
    assert put.status_code == 201, put.text
    answer = await served.client.get("/fhir/Bundle/abuse", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.content.count(b"172.50") == body.count(b"172.50")
    part = await served.client.get("/fhir/Bundle/abuse?_summary=true", headers={"Accept": accept})
    assert part.content.count(b"8302-2") == body.count(b"8302-2")
    assert b"SUBSETTED" in part.content


async def test_a_binary_of_many_megabytes_goes_in_and_out(served: Served) -> None:
    """Byte by byte, as content, as JSON and as XML."""
    content = bytes(range(256)) * 24_000
    octets = {"Content-Type": "application/octet-stream"}
    assert (await served.client.put("/fhir/Binary/b", content=content, headers=octets)).status_code == 201
    assert (await served.client.get("/fhir/Binary/b")).content == content
    for form in (FHIR_JSON, FHIR_XML):
        kind = form["Content-Type"]
        resource = (await served.client.get("/fhir/Binary/b", headers={"Accept": kind})).content
        assert (await served.client.put("/fhir/Binary/b", content=resource, headers=form)).status_code == 200
        assert (await served.client.get("/fhir/Binary/b")).content == content


async def test_rules_that_take_too_long_are_not_evaluated_to_the_end(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound of calls, here a small one, a warning says that they were not checked."""
    monkeypatch.setattr(operation, "MOST_CALLS", 100_000)
    entries = bodies.numbered(200, '{"fullUrl":"http://example.org/Patient/#","resource":{"resourceType":"Patient"}}')
    body = f'{{"resourceType":"Bundle","type":"collection","entry":[{entries}]}}'.encode()
    answer = await served.client.post("/fhir/Bundle/$validate", content=body, headers=FHIR_JSON)
    assert answer.status_code == 200
    assert ("too-costly", "warning") in {(issue["code"], issue["severity"]) for issue in answer.json()["issue"]}
