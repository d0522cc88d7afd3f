"""The cost of each interaction in storage requests and sequential round trips, exactly."""

from __future__ import annotations

import pytest

from fhirstore.objects.memory import MemoryStore
from server.settings import Settings
from tests.server.serving import FHIR_JSON, Served, serving

BODY = b'{"resourceType":"Patient","id":"p"}'
IDENTIFIED = b'{"resourceType":"Patient","id":"i","active":true,"identifier":[{"system":"http://s","value":"1"}]}'
OTHER = IDENTIFIED.replace(b'"id":"i",', b"").replace(b'"1"', b'"2"')
MATCH, NONE = "?identifier=http://s|1", "?identifier=http://s|2"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TEXT = {"Content-Type": "text/plain"}
JSON_PATCH = ({"Content-Type": "application/json-patch+json"}, b'[{"op":"add","path":"/active","value":false}]')
MERGE_PATCH = ({"Content-Type": "application/merge-patch+json"}, b'{"active":false}')
FHIRPATH_PATCH = (
    FHIR_JSON,
    b'{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"delete"},'
    b'{"name":"path","valueString":"Patient.active"}]}]}',
)
BATCH = b'{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Patient/p"}}]}'
PROFILE = b'{"resourceType":"Patient","meta":{"profile":["http://example.org/StructureDefinition/none"]}}'
UPDATE = {"GET": 1, "PUT": 4}
CHANGE_OF_A_MATCH = {"LIST": 1, "GET": 1, "PUT": 4}
CREATE_ON_A_CONDITION = {"LIST": 2, "PUT": 7}

Case = tuple[str, str, dict[str, str], bytes | None, int, dict[str, int], int]
# method, path below /fhir, headers, body -> status, requests, round trips
CASES: tuple[Case, ...] = (
    ("GET", "/Patient/p", {}, None, 200, {"GET": 1}, 1),
    ("HEAD", "/Patient/p", {}, None, 200, {"GET": 1}, 1),
    ("GET", "/Patient/p", {"If-None-Match": 'W/"1"'}, None, 304, {"GET": 1}, 1),
    ("GET", "/Patient/p", {"If-Modified-Since": "Sun, 01 Jan 2090 00:00:00 GMT"}, None, 304, {"GET": 1}, 1),
    ("GET", "/Patient/p", {"If-Match": 'W/"2"'}, None, 412, {"GET": 1}, 1),
    ("GET", "/Patient/p?_format=xml&_summary=true", {}, None, 200, {"GET": 1}, 1),
    ("GET", "/Patient/missing", {}, None, 404, {"GET": 1}, 1),
    ("GET", "/Patient/p/_history/1", {}, None, 200, {"GET": 2}, 1),
    ("HEAD", "/Patient/p/_history/1", {}, None, 200, {"GET": 2}, 1),
    ("GET", "/Patient/p/_history/1", {"If-None-Match": 'W/"1"'}, None, 304, {"GET": 2}, 1),
    ("POST", "/Patient", FHIR_JSON, BODY, 201, {"PUT": 4}, 2),
    ("POST", "/Patient", FHIR_JSON, OTHER, 201, {"PUT": 6}, 2),
    ("POST", "/Patient", {**FHIR_JSON, "If-None-Exist": MATCH[1:]}, OTHER, 200, {"LIST": 1, "GET": 1}, 2),
    ("POST", "/Patient", {**FHIR_JSON, "If-None-Exist": NONE[1:]}, OTHER, 201, CREATE_ON_A_CONDITION, 5),
    ("POST", "/Patient", {**FHIR_JSON, "If-None-Exist": "_id=p"}, OTHER, 200, {"GET": 1}, 1),
    ("PUT", "/Patient/p", FHIR_JSON, BODY, 200, UPDATE, 3),
    ("PUT", "/Patient/new", FHIR_JSON, BODY.replace(b'"p"', b'"new"'), 201, UPDATE, 3),
    ("PUT", "/Patient/p", {**FHIR_JSON, "If-Match": 'W/"7"'}, BODY, 412, {"GET": 1}, 1),
    ("PUT", "/Patient/p", {**FHIR_JSON, "If-None-Match": "*"}, BODY, 412, {"GET": 1}, 1),
    ("PUT", f"/Patient{MATCH}", FHIR_JSON, IDENTIFIED, 200, CHANGE_OF_A_MATCH, 4),
    ("PUT", f"/Patient{NONE}", FHIR_JSON, OTHER, 201, CREATE_ON_A_CONDITION, 5),
    ("PUT", "/Patient/p", FHIR_JSON, b"{", 400, {}, 0),
    ("PATCH", "/Patient/p", *JSON_PATCH, 200, UPDATE, 3),
    ("PATCH", "/Patient/p", *MERGE_PATCH, 200, UPDATE, 3),
    ("PATCH", "/Patient/i", *FHIRPATH_PATCH, 200, UPDATE, 3),
    ("PATCH", "/Patient/missing", *MERGE_PATCH, 404, {"GET": 1}, 1),
    ("PATCH", f"/Patient{MATCH}", *MERGE_PATCH, 200, CHANGE_OF_A_MATCH, 4),
    ("PATCH", f"/Patient{NONE}", *MERGE_PATCH, 404, {"LIST": 1}, 1),
    ("DELETE", "/Patient/p", {}, None, 204, UPDATE, 3),
    ("DELETE", "/Patient/missing", {}, None, 204, {"GET": 1}, 1),
    ("DELETE", f"/Patient{MATCH}", {}, None, 204, CHANGE_OF_A_MATCH, 4),
    ("DELETE", f"/Patient{NONE}", {}, None, 204, {"LIST": 1}, 1),
    ("GET", "/Patient/p/_history", {}, None, 200, {"GET": 1}, 1),
    ("GET", "/Patient/_history", {}, None, 200, {"LIST": 1, "GET": 2}, 2),
    ("GET", "/_history", {}, None, 200, {"LIST": 1, "GET": 3}, 2),
    ("GET", "/Patient?_id=p", {}, None, 200, {"GET": 1}, 1),
    ("GET", "/Patient?_id=p,i", {}, None, 200, {"GET": 2}, 1),
    ("POST", "/Patient/_search", FORM, b"_id=p", 200, {"GET": 1}, 1),
    ("GET", f"/Patient{MATCH}", {}, None, 200, {"LIST": 1, "GET": 1}, 2),
    ("GET", "/Patient?identifier=1", {}, None, 200, {"LIST": 1, "GET": 1}, 2),
    ("GET", "/Patient?identifier=http://s|", {}, None, 200, {"LIST": 1, "GET": 1}, 2),
    ("GET", "/Patient?_lastUpdated=ge2020", {}, None, 200, {"LIST": 1, "GET": 2}, 2),
    ("GET", "?_type=Patient", {}, None, 200, {"LIST": 1, "GET": 2}, 2),
    ("GET", "/Patient?_summary=count", {}, None, 200, {"LIST": 1}, 1),
    ("POST", "/Binary", TEXT, b"x", 201, {"PUT": 4}, 2),
    ("GET", "/Binary/b", {}, None, 200, {"GET": 1}, 1),
    ("PUT", "/Binary/b", TEXT, b"y", 200, UPDATE, 3),
    ("POST", "", FHIR_JSON, BATCH, 200, {"GET": 1}, 1),
    ("POST", "/Patient/$validate", FHIR_JSON, BODY, 200, {}, 0),
    ("POST", "/Patient/$validate", FHIR_JSON, PROFILE, 200, {"GET": 1}, 1),
    ("GET", "/Patient/p/$validate", {}, None, 200, {"GET": 1}, 1),
    ("GET", "/metadata", {}, None, 200, {}, 0),
    ("OPTIONS", "/Patient/p", {}, None, 204, {}, 0),
)


async def _stored() -> MemoryStore:
    """A store with two Patients and a Binary."""
    objects = MemoryStore()
    async with serving(objects=objects) as earlier:
        for path, content, headers in (("Patient/p", BODY, FHIR_JSON), ("Patient/i", IDENTIFIED, FHIR_JSON)):
            assert (await earlier.client.put(f"/fhir/{path}", content=content, headers=headers)).status_code == 201
        assert (await earlier.client.put("/fhir/Binary/b", content=b"x", headers=TEXT)).status_code == 201
    return objects


@pytest.mark.parametrize("case", CASES, ids=[f"{n} {case[0]} {case[1]} {case[4]}" for n, case in enumerate(CASES)])
async def test_requests_and_round_trips(case: Case) -> None:
    """An interaction costs what the protocol says, no more, in a process that sees the resources for the first time.

    The search index is there.
    """
    method, path, headers, content, status, requests, round_trips = case
    async with serving(objects=await _stored()) as served:
        await served.store.tenant("default").count("Basic")
        with served.meter.measure() as cost:
            answer = await served.client.request(method, f"/fhir{path}", content=content, headers=headers)
            await served.store.settle()
    assert (answer.status_code, cost.requests, cost.round_trips) == (status, requests, round_trips)


async def test_health_asks_nothing_of_the_store_to_be_live(served: Served) -> None:
    """/health/live: no request."""
    with served.meter.measure() as cost:
        assert (await served.client.get("/health/live")).status_code == 200
    assert cost.requests == {}


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/Patient/i"), ("PUT", f"/Patient{MATCH}"), ("PATCH", "/Patient/i")]
)
async def test_what_changes_nothing_is_only_read(method: str, path: str) -> None:
    """FHIRSTORE_SKIP_UNCHANGED: 1 GET, by criteria also the LIST that finds it; no PUT."""
    headers, content = (FHIR_JSON, IDENTIFIED) if method == "PUT" else (MERGE_PATCH[0], b'{"active":true}')
    async with serving(Settings(skip_unchanged=True), await _stored()) as served:
        with served.meter.measure() as cost:
            answer = await served.client.request(method, f"/fhir{path}", content=content, headers=headers)
    assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"1"')
    assert cost.requests == ({"LIST": 1, "GET": 1} if "?" in path else {"GET": 1})


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("seen_by", ["PUT", "GET"])
async def test_a_process_that_remembers_the_resource_saves_the_get(served: Served, method: str, seen_by: str) -> None:
    """Update and delete: 4 PUT in 2 round trips after this process wrote or read the resource."""
    await served.client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON)
    await served.client.request(seen_by, "/fhir/Patient/p", content=BODY, headers=FHIR_JSON)
    with served.meter.measure() as cost:
        await served.client.request(method, "/fhir/Patient/p", content=BODY, headers=FHIR_JSON)
    assert (cost.requests, cost.round_trips) == ({"PUT": 4}, 2)


@pytest.mark.parametrize("if_match", [None, 'W/"2"'])
async def test_what_a_process_remembers_may_be_stale_and_nothing_is_lost(if_match: str | None) -> None:
    """Another process wrote meanwhile: the update starts over with a GET, and If-Match is judged by the truth."""
    objects = MemoryStore()
    async with serving(objects=objects) as one, serving(objects=objects) as other:
        await one.client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON)
        await other.client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON)
        headers = FHIR_JSON | ({"If-Match": if_match} if if_match else {})
        answer = await one.client.put("/fhir/Patient/p", content=BODY, headers=headers)
        assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"3"')
        stale = await other.client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON | {"If-Match": 'W/"2"'})
        assert (stale.status_code, stale.headers["etag"]) == (412, 'W/"3"')
