"""XML over HTTP: what goes in as XML is stored as JSON and comes out as either, equal; errors and lists are XML too."""

from __future__ import annotations

import asyncio

import pytest

from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.xml import read, write
from tests.fhir.xml.examples import DATA, canonical
from tests.server.serving import FHIR_JSON, Served

R4 = definitions("4.0")
FHIR_XML = {"Content-Type": "application/fhir+xml"}
AS_XML = {"Accept": "application/fhir+xml"}
AS_JSON = {"Accept": "application/fhir+json"}


def as_sent(resource: json.JsonObject) -> bytes:
    """Without what the server sets, members sorted, every number as it was written."""
    meta = resource.get("meta", {})
    assert isinstance(meta, dict)
    rest = {name: value for name, value in meta.items() if name not in ("versionId", "lastUpdated")}
    return canonical({**resource, "meta": rest})


async def test_every_example_goes_in_as_xml_and_comes_out_as_both(served: Served) -> None:
    """PUT XML, GET JSON, GET XML: equal to the example but for versionId and lastUpdated."""
    for line in DATA.read_bytes().splitlines():
        resource = json.parse(line)
        url = f"/fhir/{resource['resourceType']}/{resource['id']}"
        put = await served.client.put(url, content=write(resource, R4), headers=FHIR_XML | AS_XML)
        assert put.status_code == 201, put.text
        in_json = await served.client.get(url, headers=AS_JSON)
        in_xml = await served.client.get(url, headers=AS_XML)
        assert in_xml.headers["content-type"] == "application/fhir+xml; charset=utf-8"
        assert put.content == in_xml.content
        assert as_sent(json.parse(in_json.content)) == as_sent(resource)
        assert as_sent(read(in_xml.content, R4)) == as_sent(resource)


async def test_lists_errors_and_the_capability_statement_are_xml(served: Served) -> None:
    """Whatever answers, answers in the form that is asked for."""
    await served.client.put("/fhir/Patient/p", content=b'{"resourceType":"Patient","id":"p"}', headers=FHIR_JSON)
    for url, type_, status in (
        ("/fhir/_history", "Bundle", 200),
        ("/fhir/Patient/p/_history", "Bundle", 200),
        ("/fhir/metadata", "CapabilityStatement", 200),
        ("/fhir/Patient/none", "OperationOutcome", 404),
        ("/fhir/Nonsense/x", "OperationOutcome", 404),
    ):
        answer = await served.client.get(url, headers=AS_XML)
        assert answer.status_code == status
        assert read(answer.content, R4)["resourceType"] == type_
        indented = await served.client.get(f"{url}?_format=xml&_pretty=true")
        assert indented.content.count(b"\n  <") > 1


async def test_a_bundle_is_processed_from_xml(served: Served) -> None:
    """A batch in XML gets its answer in XML."""
    batch = b"""<Bundle xmlns="http://hl7.org/fhir"><type value="batch"/><entry>
      <resource><Patient><id value="x"/><active value="true"/></Patient></resource>
      <request><method value="PUT"/><url value="Patient/x"/></request></entry></Bundle>"""
    answer = await served.client.post("/fhir", content=batch, headers=FHIR_XML | AS_XML)
    assert answer.status_code == 200, answer.text
    bundle = read(answer.content, R4)
    assert bundle["type"] == "batch-response"
    assert (await served.client.get("/fhir/Patient/x", headers=AS_JSON)).json()["active"] is True


@pytest.mark.parametrize(
    ("body", "statuses", "said"),
    [
        (b"<Patient", (400,), b"well-formed"),
        (b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><Patient/>', (400,), b"document type"),
        (b'<Patient xmlns="http://hl7.org/fhir"><bogus/></Patient>', (400, 422), b"Patient.bogus"),
        (b"<Patient/>", (400, 422), b"namespace"),
        (b'{"resourceType":"Patient"}', (400,), b"well-formed"),
    ],
)
async def test_bad_xml_is_the_clients_fault(
    served: Served, body: bytes, statuses: tuple[int, ...], said: bytes
) -> None:
    """400 or 422 with an OperationOutcome that names the place."""
    answer = await served.client.put("/fhir/Patient/p", content=body, headers=FHIR_XML | AS_JSON)
    assert answer.status_code in statuses
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert said in answer.content


async def test_json_is_given_untouched(served: Served) -> None:
    """A plain read gives the stored bytes; with `_pretty` there is white space between the same tokens."""
    body = (
        b'{"resourceType":"Observation","id":"o","valueQuantity":{"value":1.00},"status":"final","code":{"text":"x"}}'
    )
    await served.client.put("/fhir/Observation/o", content=body, headers=FHIR_JSON)
    plain = await served.client.get("/fhir/Observation/o")
    pretty = await served.client.get("/fhir/Observation/o?_pretty=true")
    assert b'"value":1.00' in plain.content
    assert b'\n    "value": 1.00\n' in pretty.content
    assert canonical(json.parse(plain.content)) == canonical(json.parse(pretty.content))


async def test_subsets_come_in_both_forms(served: Served) -> None:
    """`_summary` and `_elements` on a read, in JSON and XML, marked."""
    body = b'{"resourceType":"Patient","id":"p","birthDate":"1974","gender":"male","name":[{"family":"F"}]}'
    await served.client.put("/fhir/Patient/p", content=body, headers=FHIR_JSON)
    for query in ("_elements=birthDate", "_elements=birthDate&_format=xml"):
        answer = await served.client.get(f"/fhir/Patient/p?{query}")
        assert b"1974" in answer.content
        assert b"SUBSETTED" in answer.content
        assert b"male" not in answer.content
    assert (await served.client.get("/fhir/Patient/p?_summary=maybe")).status_code == 400


async def test_large_xml_is_read_and_written_beside_the_event_loop(served: Served) -> None:
    """Others are answered meanwhile, and what comes out is what went in."""
    names = b"".join(b'<name><family value="%d"/></name>' % n for n in range(20_000))
    body = b'<Patient xmlns="http://hl7.org/fhir"><id value="p"/>%s</Patient>' % names
    put = asyncio.create_task(served.client.put("/fhir/Patient/p", content=body, headers=FHIR_XML))
    others = 0
    while not put.done():
        assert (await served.client.get("/health/live")).status_code == 200
        await asyncio.sleep(0)  # in one process nothing waits by itself
        others += 1
    assert (put.result().status_code, others > 1) == (201, True)
    page = await served.client.get("/fhir/Patient/_history?_format=xml")
    assert names in page.content
