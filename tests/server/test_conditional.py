"""Conditional create, update and delete over HTTP: https://hl7.org/fhir/R4/http.html."""

from __future__ import annotations

import json

import httpx

from tests.server.serving import FHIR_JSON, Served

QUERY = {"identifier": "http://s|1"}


def patient(value: str = "1", **more: object) -> bytes:
    """A Patient with one identifier."""
    return json.dumps(
        {"resourceType": "Patient", "identifier": [{"system": "http://s", "value": value}], **more}
    ).encode()


async def create(served: Served, criteria: str, body: bytes | None = None) -> httpx.Response:
    """POST with If-None-Exist."""
    return await served.client.post(
        "/fhir/Patient", content=body or patient(), headers=FHIR_JSON | {"If-None-Exist": criteria}
    )


async def test_if_none_exist_answers_201_then_200(served: Served) -> None:
    """The first request creates, the next ones are answered with what is there: its location, ETag and content."""
    first = await create(served, "identifier=http%3A%2F%2Fs%7C1")
    second = await create(served, "?identifier=http://s|1", patient(active=True))
    third = await create(served, "Patient?identifier=1")
    assert (first.status_code, second.status_code, third.status_code) == (201, 200, 200)
    assert first.headers["location"] == second.headers["location"] == third.headers["location"]
    assert second.headers["etag"] == 'W/"1"'
    assert first.json() == second.json()


async def test_if_none_exist_may_be_a_url_of_this_server(served: Served) -> None:
    """As HAPI's client sends it: the base URL before the type. Of another server it is refused."""
    base = (await served.client.get("/fhir/Patient")).json()["link"][0]["url"].removesuffix("/Patient")
    answers = [await create(served, f"{base}/Patient?identifier=http%3A%2F%2Fs%7C1") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 200]
    assert (await create(served, f"{base}/Observation?identifier=1")).status_code == 400


async def test_criteria_of_a_create_may_be_in_the_url(served: Served) -> None:
    """As some clients send them: never passed over, since that would make another one."""
    answers = [
        await served.client.post(
            "/fhir/Patient", params=QUERY | {"_format": "json"}, content=patient(), headers=FHIR_JSON
        )
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 200]
    both = FHIR_JSON | {"If-None-Exist": "identifier=2"}
    unmet, unknown, unsupported = {"name": "x"}, {"x": "y"}, {"_filter": "x"}
    for params, headers, status in (
        (QUERY, both, 400),
        (unmet, FHIR_JSON, 400),
        (unknown, FHIR_JSON, 400),
        (unsupported, FHIR_JSON, 501),
    ):
        answer = await served.client.post("/fhir/Patient", params=params, content=patient(), headers=headers)
        assert answer.status_code == status


async def test_several_matches_answer_412(served: Served) -> None:
    """ "Multiple matches: The server returns a 412 Precondition Failed error"."""
    for _ in range(2):
        await served.client.post("/fhir/Patient", content=patient(), headers=FHIR_JSON)
    answers = (
        await create(served, "identifier=1"),
        await served.client.put("/fhir/Patient", params=QUERY, content=patient(), headers=FHIR_JSON),
        await served.client.delete("/fhir/Patient", params=QUERY),
    )
    for answer in answers:
        assert answer.status_code == 412
        assert answer.json()["issue"][0]["code"] == "multiple-matches"


async def test_put_creates_or_updates_what_matches(served: Served) -> None:
    """201 where nothing matches, 200 with the next version where one does, 400 for another's id, 412 for If-Match."""
    first = await served.client.put(
        "/fhir/Patient", params=QUERY | {"_pretty": "true"}, content=patient(), headers=FHIR_JSON
    )
    second = await served.client.put("/fhir/Patient", params=QUERY, content=patient(active=True), headers=FHIR_JSON)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json()["id"] == first.json()["id"]
    assert second.headers["etag"] == 'W/"2"'
    another = await served.client.put("/fhir/Patient", params=QUERY, content=patient(id="x"), headers=FHIR_JSON)
    assert another.status_code == 400
    stale = await served.client.put(
        "/fhir/Patient", params=QUERY, content=patient(), headers=FHIR_JSON | {"If-Match": 'W/"1"'}
    )
    assert stale.status_code == 412


async def test_conditions_are_never_ignored(served: Served) -> None:
    """An unknown parameter, one that the resource does not meet, or none at all: an error, and nothing is written."""
    unmet = (("name=x", 400), ("identifier:not=1", 400), ("identifier=s|", 400), ("gender:missing=false", 400))
    for criteria, status in (*unmet, ("nope=x", 400), ("_filter=x", 501), ("", 400), ("_count=1", 400)):
        assert (await create(served, criteria)).status_code == status
    for elsewhere in ("Observation?identifier=1", "http://other.example/fhir/Patient?identifier=1"):
        assert (await create(served, elsewhere)).status_code == 400
    assert (await served.client.delete("/fhir/Patient")).status_code == 400
    assert (await served.client.put("/fhir/Patient", content=patient(), headers=FHIR_JSON)).status_code == 400
    assert (await served.client.get("/fhir/Patient")).json()["total"] == 0


async def test_criteria_of_any_kind(served: Served) -> None:
    """By header and by URL, alone and with chains; the index finds what was acknowledged just before."""
    anna = patient(name=[{"family": "Berg", "given": ["Anna"]}], birthDate="1980-02-03")
    criteria = "name=berg&birthdate=1980-02"
    assert [(await create(served, criteria, anna)).status_code for _ in range(2)] == [201, 200]
    updated = await served.client.put(f"/fhir/Patient?{criteria}", content=anna, headers=FHIR_JSON)
    assert (updated.status_code, updated.headers["etag"]) == (200, 'W/"2"')
    moved = json.dumps({**json.loads(anna), "managingOrganization": {"reference": "Organization/o"}})
    await served.client.put(
        "/fhir/Organization/o", json={"resourceType": "Organization", "id": "o", "name": "Ward"}, headers=FHIR_JSON
    )
    await served.client.put(f"/fhir/Patient?{criteria}", content=moved, headers=FHIR_JSON)
    patch = [{"op": "replace", "path": "/birthDate", "value": "1980-02-04"}]
    patched = await served.client.patch(
        "/fhir/Patient?organization.name=ward", json=patch, headers={"Content-Type": "application/json-patch+json"}
    )
    assert (patched.status_code, patched.headers["etag"]) == (200, 'W/"4"')
    assert (await served.client.delete(f"/fhir/Patient?{criteria}-03")).status_code == 204
    assert (await served.client.get("/fhir/Patient")).json()["total"] == 1
    assert (await served.client.delete(f"/fhir/Patient?{criteria}-04")).status_code == 204
    assert (await served.client.get("/fhir/Patient")).json()["total"] == 0
