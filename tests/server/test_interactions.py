"""create, read, vread, update and delete answer as https://hl7.org/fhir/R4/http.html says."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

import pytest

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


async def test_update_creates_then_updates(served: Served) -> None:
    """201 for the first version under a client's id, 200 for the next; both versions stay readable."""
    for version, status in ((1, 201), (2, 200)):
        content = b'{"resourceType":"Patient","id":"p","multipleBirthInteger":%d}' % version
        answer = await served.client.put("/fhir/Patient/p", content=content, headers=FHIR_JSON)
        assert answer.status_code == status
        assert answer.headers["etag"] == f'W/"{version}"'
        assert answer.headers["location"] == f"http://testserver/fhir/Patient/p/_history/{version}"
    for version in (1, 2):
        answer = await served.client.get(f"/fhir/Patient/p/_history/{version}")
        assert answer.json()["multipleBirthInteger"] == version
    assert (await served.client.get("/fhir/Patient/p")).json()["multipleBirthInteger"] == 2


async def test_delete_leaves_a_tombstone_and_the_id_can_come_back(served: Served) -> None:
    """Deleted: read 410, vread of old versions 200, of the deletion 410; deleting again 204; PUT brings it back."""
    client = served.client
    put = {"content": b'{"resourceType":"Patient","id":"p"}', "headers": FHIR_JSON}
    await client.put("/fhir/Patient/p", **put)  # type: ignore[arg-type]
    for _ in range(2):
        answer = await client.delete("/fhir/Patient/p")
        assert (answer.status_code, answer.headers["etag"], answer.content) == (204, 'W/"2"', b"")
    assert (await client.get("/fhir/Patient/p")).status_code == 410
    assert (await client.get("/fhir/Patient/p/_history/2")).status_code == 410
    assert (await client.get("/fhir/Patient/p/_history/1")).status_code == 200
    back = await client.put("/fhir/Patient/p", **put)  # type: ignore[arg-type]
    assert (back.status_code, back.headers["etag"]) == (201, 'W/"3"')


async def test_deleting_what_never_was_is_no_error(served: Served) -> None:
    """204, and nothing is written."""
    with served.meter.measure() as cost:
        assert (await served.client.delete("/fhir/Patient/never")).status_code == 204
    assert cost.requests == {"GET": 1}


@pytest.mark.parametrize("tag", ['W/"1"', '"1"', '"foreign"'])
async def test_a_stale_if_match_is_412_and_changes_nothing(served: Served, tag: str) -> None:
    """PUT and DELETE with another version's ETag are refused; the answer names the current version."""
    content = b'{"resourceType":"Patient","id":"p"}'
    for _ in range(2):
        await served.client.put("/fhir/Patient/p", content=content, headers=FHIR_JSON)
    for answer in (
        await served.client.put("/fhir/Patient/p", content=content, headers={**FHIR_JSON, "If-Match": tag}),
        await served.client.delete("/fhir/Patient/p", headers={"If-Match": tag}),
    ):
        assert answer.status_code == 412
        assert answer.headers["etag"] == 'W/"2"'
        assert answer.json()["issue"][0]["code"] == "conflict"
    assert (await served.client.get("/fhir/Patient/p")).headers["etag"] == 'W/"2"'


async def test_a_fresh_if_match_lets_the_write_through(served: Served) -> None:
    """PUT then DELETE with the ETag just received."""
    content = b'{"resourceType":"Patient","id":"p"}'
    one = await served.client.put("/fhir/Patient/p", content=content, headers=FHIR_JSON)
    match = {"If-Match": one.headers["etag"]}
    two = await served.client.put("/fhir/Patient/p", content=content, headers=FHIR_JSON | match)
    assert two.status_code == 200
    gone = await served.client.delete("/fhir/Patient/p", headers={"If-Match": two.headers["etag"]})
    assert gone.status_code == 204


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


async def test_head_answers_like_get(served: Served) -> None:
    """HEAD on a read has its status and headers."""
    one = await served.client.post("/fhir/Patient", content=b'{"resourceType":"Patient"}', headers=FHIR_JSON)
    answer = await served.client.head(one.headers["location"])
    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"1"')


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
