"""create, read, vread, update and delete answer as https://hl7.org/fhir/R4/http.html says."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

from tests.server.serving import FHIR_JSON, Served

ULID = r"[0-9A-HJKMNP-TV-Z]{26}"


async def test_create_answers_201_with_a_location_that_can_be_read(served: Served) -> None:
    """The server assigns a ULID, ignores the client's id, and says where version 1 is."""
    answer = await served.client.post(
        "/fhir/Patient", content=b'{"resourceType":"Patient","id":"mine","active":true}', headers=FHIR_JSON
    )
    assert answer.status_code == 201
    assert re.fullmatch(rf"http://testserver/fhir/Patient/{ULID}/_history/1", answer.headers["location"])
    assert answer.headers["etag"] == 'W/"1"'
    assert answer.headers["content-type"] == "application/fhir+json; charset=utf-8"
    assert (await served.client.get(answer.headers["location"])).json() == answer.json()
    body = answer.json()
    assert body["id"] != "mine"
    assert body["meta"]["versionId"] == "1"
    changed = parsedate_to_datetime(answer.headers["last-modified"])
    assert body["meta"]["lastUpdated"].startswith(changed.strftime("%Y-%m-%dT%H:%M:%S"))


async def test_bodies_come_back_exactly(served: Served) -> None:
    """Decimals to the digit, long integers, key order and every character survive; id and meta are set."""
    numbers = ("1E2", "-0", "0.10", "123456789012345678901234567890", "1.000000000000000000000000000001")
    components = ",".join(f'{{"code":{{"text":"n"}},"valueQuantity":{{"value":{number}}}}}' for number in numbers)
    body = (
        '{"resourceType":"Observation","id":"o","status":"final","code":{"text":"\\u00e9\U0001f600\\u0009\\"\\\\\\/"},'
        f'"valueQuantity":{{"value":1.00}},"component":[{components}],"meta":{{"tag":[{{"code":"x"}}]}}}}'
    ).encode()
    await served.client.put("/fhir/Observation/o", content=body, headers=FHIR_JSON)
    answer = await served.client.get("/fhir/Observation/o")
    text = answer.text
    assert '"valueQuantity":{"value":1.00}' in text
    assert f'"component":[{components}]' in text
    assert answer.json()["code"]["text"] == 'é\U0001f600\t"\\/'
    members = ["resourceType", "id", "status", "code", "valueQuantity", "component", "meta"]
    assert list(answer.json()) == members
    assert answer.json()["meta"]["tag"] == [{"code": "x"}]


async def test_if_match_on_what_does_not_exist_is_412(served: Served) -> None:
    """A condition on a version cannot hold where there is none."""
    answer = await served.client.put(
        "/fhir/Patient/p",
        content=b'{"resourceType":"Patient","id":"p"}',
        headers={**FHIR_JSON, "If-Match": 'W/"1"'},
    )
    assert answer.status_code == 412
    assert (await served.client.get("/fhir/Patient/p")).status_code == 404


async def test_health_says_live_and_ready(served: Served) -> None:
    """Both probes answer 200 while the store is there."""
    assert (await served.client.get("/health/live")).status_code == 200
    assert (await served.client.get("/health/ready")).status_code == 200


async def test_escapes_come_back_as_they_were_written(served: Served) -> None:
    """What is read has the characters that were sent, escapes included, without the white space between tokens."""
    body = (
        rb'{"resourceType": "Patient", "name": [{"family": "\u00c9t\u00e9", "text": "a\/b"}],'
        rb' "meta": {"source": "urn:\u0061"}}'
    )
    created = await served.client.post("/fhir/Patient", content=body, headers=FHIR_JSON)
    assert created.status_code == 201
    read = await served.client.get(created.headers["Location"])
    assert rb'"name":[{"family":"\u00c9t\u00e9","text":"a\/b"}]' in read.content
    assert rb'"source":"urn:\u0061"' in read.content
