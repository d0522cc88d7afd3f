"""PATCH over HTTP: https://hl7.org/fhir/R4/http.html#patch."""

from __future__ import annotations

import json
from collections.abc import Mapping

import httpx
import pytest

from fhirstore.objects.memory import MemoryStore
from server.settings import Settings
from tests.server.serving import FHIR_JSON, Served, serving

PATIENT = (
    b'{"resourceType":"Patient","id":"p","active":true,"name":[{"family":"A"}],"extension":[{"url":"http://e",'
    b'"valueDecimal":1.00}],"identifier":[{"system":"http://s","value":"1"}]}'
)
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
FHIR_XML = {"Content-Type": "application/fhir+xml"}

DEACTIVATE_JSON = b'[{"op":"test","path":"/active","value":true},{"op":"replace","path":"/active","value":false}]'
DEACTIVATE_MERGE = b'{"active":false}'
DEACTIVATE_FHIR = (
    b'{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"replace"},'
    b'{"name":"path","valueString":"Patient.active"},{"name":"value","valueBoolean":false}]}]}'
)
DEACTIVATE_XML = (
    b'<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="operation"/><part><name value="type"/>'
    b'<valueCode value="replace"/></part><part><name value="path"/><valueString value="Patient.active"/></part>'
    b'<part><name value="value"/><valueBoolean value="false"/></part></parameter></Parameters>'
)


@pytest.fixture
async def patient(served: Served) -> Served:
    """A server with one patient, `p`."""
    await served.client.put("/fhir/Patient/p", content=PATIENT, headers=FHIR_JSON)
    return served


async def patch(
    served: Served, content: bytes, headers: Mapping[str, str] = JSON_PATCH, path: str = "/fhir/Patient/p"
) -> httpx.Response:
    """PATCH it."""
    return await served.client.patch(path, content=content, headers=dict(headers))


def diagnostics(answer: httpx.Response) -> str:
    """What the OperationOutcome says."""
    assert answer.json()["resourceType"] == "OperationOutcome"
    return str(answer.json()["issue"][0]["diagnostics"])


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        (JSON_PATCH, DEACTIVATE_JSON),
        ({"Content-Type": "application/json-patch+json; charset=utf-8"}, DEACTIVATE_JSON),
        (MERGE_PATCH, DEACTIVATE_MERGE),
        (FHIR_JSON, DEACTIVATE_FHIR),
        ({"Content-Type": "application/json"}, DEACTIVATE_FHIR),
        ({"Content-Type": "application/json"}, DEACTIVATE_MERGE),
        ({"Content-Type": "application/json; charset=utf-8"}, b" " + DEACTIVATE_JSON),
        (FHIR_XML, DEACTIVATE_XML),
    ],
)
async def test_each_kind_of_patch_makes_the_next_version(
    patient: Served, headers: Mapping[str, str], content: bytes
) -> None:
    """200 with the patched resource, its ETag and location; the rest is as it was, to the digit."""
    answer = await patch(patient, content, headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["etag"] == 'W/"2"'
    assert answer.headers["location"] == "http://testserver/fhir/Patient/p/_history/2"
    stored = await patient.client.get("/fhir/Patient/p")
    assert stored.content == answer.content
    assert stored.json()["active"] is False
    assert b'"valueDecimal":1.00' in stored.content
    assert stored.json()["meta"]["versionId"] == "2"
    history = await patient.client.get("/fhir/Patient/p/_history")
    assert [entry["request"]["method"] for entry in history.json()["entry"]] == ["PATCH", "PUT"]


@pytest.mark.parametrize(
    ("headers", "content", "says"),
    [
        (JSON_PATCH, b"[", "Not JSON"),
        (JSON_PATCH, b"{}", "not an array"),
        (JSON_PATCH, b'[{"op":"spam","path":"/active"}]', "op must be one of"),
        (MERGE_PATCH, b"[]", "not an object"),
        (FHIR_JSON, PATIENT, "is a Parameters resource"),
        (FHIR_JSON, b'{"resourceType":"Parameters","parameter":[{"name":"operation"}]}', "is an operation with parts"),
        (FHIR_XML, b"<Parameters", ""),
    ],
)
async def test_what_is_no_patch_is_400(patient: Served, headers: Mapping[str, str], content: bytes, says: str) -> None:
    """ "Malformed patch document … 400" (RFC 5789, section 2.2); nothing is read from the store."""
    with patient.meter.measure() as cost:
        answer = await patch(patient, content, headers)
    assert answer.status_code == 400
    assert says in diagnostics(answer)
    assert cost.requests == {}


@pytest.mark.parametrize(
    ("headers", "content", "says"),
    [
        (JSON_PATCH, b'[{"op":"test","path":"/active","value":false}]', "Operation 1 (test)"),
        (JSON_PATCH, b'[{"op":"remove","path":"/gender"}]', "Operation 1 (remove): nothing is at the path"),
        (JSON_PATCH, b'[{"op":"replace","path":"/id","value":"q"}]', "cannot change the id"),
        (JSON_PATCH, b'[{"op":"remove","path":"/id"}]', "cannot change the id"),
        (JSON_PATCH, b'[{"op":"replace","path":"/resourceType","value":"Group"}]', "cannot change the resourceType"),
        (MERGE_PATCH, b'{"id":"q"}', "cannot change the id"),
        (MERGE_PATCH, b'{"active":"yes"}', ""),
        (MERGE_PATCH, b'{"gender":"unheard"}', ""),
        (JSON_PATCH, b'[{"op":"add","path":"/bogus","value":1}]', ""),
        (FHIR_JSON, DEACTIVATE_FHIR.replace(b"Patient.active", b"Patient.gender"), "Operation 1 (replace): the path"),
        (FHIR_JSON, DEACTIVATE_FHIR.replace(b"Patient.active", b"Patient.trace('x')"), "not supported in a patch"),
    ],
)
async def test_a_patch_that_does_not_fit_is_422_and_changes_nothing(
    patient: Served, headers: Mapping[str, str], content: bytes, says: str
) -> None:
    """Also a failed `test`, and a result that breaks a rule, whose place is told."""
    answer = await patch(patient, content, headers)
    assert answer.status_code == 422, answer.text
    assert says in diagnostics(answer)
    assert (await patient.client.get("/fhir/Patient/p")).headers["etag"] == 'W/"1"'


async def test_other_kinds_of_patch_are_415_and_say_which_are_read(patient: Served) -> None:
    """With Accept-Patch (RFC 5789, section 2.2)."""
    for content_type in ("application/xml-patch+xml", "text/plain", ""):
        answer = await patch(patient, b"x", {"Content-Type": content_type})
        assert answer.status_code == 415
        assert "application/json-patch+json" in answer.headers["accept-patch"]


async def test_where_nothing_is_there_is_nothing_to_patch(patient: Served) -> None:
    """404; 410 once it is deleted, 404 for an unknown type; a patch never creates."""
    assert (await patch(patient, DEACTIVATE_MERGE, MERGE_PATCH, "/fhir/Patient/q")).status_code == 404
    assert (await patch(patient, DEACTIVATE_MERGE, MERGE_PATCH, "/fhir/Nonsense/q")).status_code == 404
    await patient.client.delete("/fhir/Patient/p")
    assert (await patch(patient, DEACTIVATE_MERGE, MERGE_PATCH)).status_code == 410


async def test_if_match_guards_a_patch(patient: Served) -> None:
    """ "Servers SHALL support conditional PATCH": 412 with the version that is current."""
    stale = await patch(patient, DEACTIVATE_MERGE, MERGE_PATCH | {"If-Match": 'W/"7"'})
    assert (stale.status_code, stale.headers["etag"]) == (412, 'W/"1"')
    fresh = await patch(patient, DEACTIVATE_MERGE, MERGE_PATCH | {"If-Match": 'W/"1"'})
    assert (fresh.status_code, fresh.headers["etag"]) == (200, 'W/"2"')


async def test_prefer_is_honoured(patient: Served) -> None:
    """ "The server processes the resulting document as an Update … as does the Prefer Header"."""
    answer = await patch(patient, DEACTIVATE_MERGE, MERGE_PATCH | {"Prefer": "return=minimal"})
    assert (answer.status_code, answer.content) == (200, b"")


async def test_what_changes_nothing_makes_no_version_if_the_server_is_told_so() -> None:
    """FHIRSTORE_SKIP_UNCHANGED: a patch that only tests, 1 GET."""
    async with serving(Settings(skip_unchanged=True)) as served:
        await served.client.put("/fhir/Patient/p", content=PATIENT, headers=FHIR_JSON)
        with served.meter.measure() as cost:
            answer = await patch(served, b'[{"op":"test","path":"/active","value":true}]')
        assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"1"')
    assert cost.requests == {"GET": 1}


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        (JSON_PATCH, b"[]"),
        (MERGE_PATCH, b"{}"),
        ({"Content-Type": "application/json"}, b"[]"),
        ({"Content-Type": "application/json"}, b"{}"),
        (FHIR_JSON, b'{"resourceType":"Parameters"}'),
        (FHIR_XML, b'<Parameters xmlns="http://hl7.org/fhir"/>'),
    ],
)
async def test_a_patch_without_operations_changes_nothing(
    patient: Served, headers: Mapping[str, str], content: bytes
) -> None:
    """200 with the version that is there, for 1 GET; what guards a patch, guards this one, too."""
    with patient.meter.measure() as cost:
        answer = await patch(patient, content, headers)
    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"1"'), answer.text
    assert answer.content == (await patient.client.get("/fhir/Patient/p")).content
    assert cost.requests == {"GET": 1}
    assert (await patch(patient, content, {**headers, "If-Match": 'W/"7"'})).status_code == 412
    assert (await patch(patient, content, headers, "/fhir/Patient/missing")).status_code == 404
    conditional = await patch(patient, content, headers, "/fhir/Patient?identifier=http://s|1")
    assert (conditional.status_code, conditional.headers["etag"]) == (200, 'W/"1"')
    assert (await patient.client.get("/fhir/Patient/p/_history")).json()["total"] == 1


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_an_entry_that_patches_without_operations_changes_nothing(patient: Served, kind: str) -> None:
    """200 and the ETag of the version that is there, alone or beside entries that write."""
    binary = {"resourceType": "Binary", "contentType": "application/json-patch+json", "data": "W10="}
    none = [{"request": {"method": "PATCH", "url": "Patient/p"}, "resource": binary}]
    other = {"resourceType": "Patient"}
    for more in ([], [{"request": {"method": "POST", "url": "Patient"}, "resource": other}]):
        body = json.dumps({"resourceType": "Bundle", "type": kind, "entry": none + more}).encode()
        answer = await patient.client.post("/fhir", content=body, headers=FHIR_JSON)
        response = answer.json()["entry"][0]["response"]
        assert (response["status"], response["etag"]) == ("200 OK", 'W/"1"')


async def test_what_is_appended_to_an_absent_element_creates_it(patient: Served) -> None:
    """The stored patient has neither a telecom nor a given name."""
    content = b"""[{"op":"add","path":"/telecom/-","value":{"system":"phone","value":"1"}},
        {"op":"add","path":"/name/0/given/-","value":"B"},{"op":"add","path":"/contact/-","value":{"gender":"other"}},
        {"op":"add","path":"/contact/0/telecom/-","value":{"value":"2"}}]"""
    answer = await patch(patient, content)
    assert answer.status_code == 200, answer.text
    assert answer.json()["telecom"] == [{"system": "phone", "value": "1"}]
    assert answer.json()["name"] == [{"family": "A", "given": ["B"]}]
    assert answer.json()["contact"] == [{"gender": "other", "telecom": [{"value": "2"}]}]


@pytest.mark.parametrize("first", [True, False])
async def test_a_patch_costs_one_get_and_four_puts(first: bool) -> None:
    """As an update, in 3 round trips; the GET also where this process knows the ETag, as it needs the content."""
    objects = MemoryStore()
    async with serving(objects=objects) as earlier:
        await earlier.client.put("/fhir/Patient/p", content=PATIENT, headers=FHIR_JSON)
    async with serving(objects=objects) as served:
        if not first:
            await served.client.get("/fhir/Patient/p")
        with served.meter.measure() as cost:
            assert (await patch(served, DEACTIVATE_JSON)).status_code == 200
    assert (cost.requests, cost.round_trips) == ({"GET": 1, "PUT": 4}, 3)


@pytest.mark.parametrize(
    ("text", "status", "kept"),
    [
        ({"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">active</div>'}, 200, False),
        ({"status": "additional", "div": '<div xmlns="http://www.w3.org/1999/xhtml">more</div>'}, 422, True),
        ({"status": "empty", "div": '<div xmlns="http://www.w3.org/1999/xhtml">-</div>'}, 200, True),
    ],
)
async def test_no_narrative_is_left_behind_that_tells_what_was(
    served: Served, text: Mapping[str, str], status: int, kept: bool
) -> None:
    """ "Servers SHALL ensure that narratives are not clinically unsafe after the PATCH operation is performed"."""
    body = json.dumps({**json.loads(PATIENT), "text": text}).encode()
    await served.client.put("/fhir/Patient/p", content=body, headers=FHIR_JSON)
    tagged = await patch(served, b'[{"op":"add","path":"/meta/tag","value":[{"code":"x"}]}]')
    assert tagged.json()["text"] == text
    answer = await patch(served, DEACTIVATE_JSON)
    assert answer.status_code == status
    assert ("text" in (await served.client.get("/fhir/Patient/p")).json()) is kept
    told = {"op": "add", "path": "/text", "value": {**text, "status": "extensions"}}
    both = await patch(served, json.dumps([{"op": "add", "path": "/gender", "value": "male"}, told]).encode())
    assert both.json()["text"] == told["value"]
