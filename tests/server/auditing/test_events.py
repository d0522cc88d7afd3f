"""Every interaction leaves its events: who, what, which version, whose, and how it ended; never the content."""

from __future__ import annotations

import base64
import json

from server.settings import Settings
from tests.server.auditing.audited import audited, interaction, references
from tests.server.serving import FHIR_JSON

OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"text": "zebrafinch"},
    "subject": {"reference": "Patient/p1"},
}
PATIENT = {"resourceType": "Patient", "id": "p1", "name": [{"family": "zebrafinch"}]}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_a_resource_through_its_life() -> None:
    """Create, read, vread, update, patch, history, search, delete: each with the version and the patient."""
    async with audited() as one:
        client = one.client
        await client.put("/fhir/Patient/p1", json=PATIENT, headers=FHIR_JSON)
        made = await client.post("/fhir/Observation", json=OBSERVATION, headers=FHIR_JSON | {"X-Request-Id": "r-7"})
        url = f"/fhir/Observation/{made.json()['id']}"
        name = url.removeprefix("/fhir/")
        await client.get(url)
        await client.get(f"{url}/_history/1")
        await client.put(url, json=OBSERVATION | {"id": made.json()["id"], "status": "amended"}, headers=FHIR_JSON)
        patch = [{"op": "replace", "path": "/status", "value": "final"}]
        await client.patch(url, content=json.dumps(patch), headers={"Content-Type": "application/json-patch+json"})
        await client.get(f"{url}/_history")
        await client.get("/fhir/Observation?_count=5")
        await client.delete(url)
        events = await one.events()
    found = [(interaction(event), event["action"], references(event), references(event, "1")) for event in events]
    assert found == [
        ("update", "U", ["Patient/p1/_history/1"], ["Patient/p1"]),
        ("create", "C", [f"{name}/_history/1"], ["Patient/p1"]),
        ("read", "R", [f"{name}/_history/1"], ["Patient/p1"]),
        ("vread", "R", [f"{name}/_history/1"], ["Patient/p1"]),
        ("update", "U", [f"{name}/_history/2"], ["Patient/p1"]),
        ("patch", "U", [f"{name}/_history/3"], ["Patient/p1"]),
        ("history-instance", "R", [name], ["Patient/p1"]),
        ("search-type", "E", [""], ["Patient/p1"]),
        ("delete", "D", [f"{name}/_history/4"], []),
    ]
    assert all(event["outcome"] == "0" and "zebrafinch" not in json.dumps(event) for event in events)
    create = events[1]
    assert create["meta"]["profile"][0].endswith("IHE.BasicAudit.PatientCreate")
    assert {"what": {"identifier": {"value": "r-7"}}} in [{"what": e.get("what")} for e in create["entity"]]
    assert create["agent"][0]["network"] == {"address": "127.0.0.1", "type": "2"}


async def test_what_fails_is_told_with_its_status() -> None:
    """404, 400, 412, 410; what was asked for is named where it is a type and an id."""
    async with audited() as one:
        client = one.client
        await client.get("/fhir/Patient/nobody")
        await client.post("/fhir/Patient", content=b"{", headers=FHIR_JSON)
        await client.put("/fhir/Patient/p1", json=PATIENT, headers=FHIR_JSON)
        await client.put("/fhir/Patient/p1", json=PATIENT, headers=FHIR_JSON | {"If-Match": 'W/"7"'})
        await client.delete("/fhir/Patient/p1")
        await client.get("/fhir/Patient/p1")
        events = await one.events()
    failed = [(interaction(event), event["outcomeDesc"]) for event in events if event["outcome"] == "4"]
    assert failed == [("read", "HTTP 404"), ("create", "HTTP 400"), ("update", "HTTP 412"), ("read", "HTTP 410")]
    assert references(events[0]) == ["Patient/nobody"] and references(events[0], "1") == ["Patient/nobody"]
    assert all("meta" not in event for event in events if event["outcome"] != "0")


async def test_a_bundle_tells_each_of_its_entries() -> None:
    """And itself; an entry that failed has its own outcome."""
    entries = [
        {"request": {"method": "PUT", "url": "Patient/p1"}, "resource": PATIENT},
        {"request": {"method": "POST", "url": "Observation"}, "resource": OBSERVATION},
        {"request": {"method": "GET", "url": "Patient/nobody"}},
        {"request": {"method": "GET", "url": "Patient?_id=p1"}},
    ]
    async with audited() as one:
        batch = {"resourceType": "Bundle", "type": "batch", "entry": entries}
        await one.client.post("/fhir", json=batch, headers=FHIR_JSON)
        events = await one.events()
    assert [interaction(event) for event in events] == ["batch", "update", "create", "read", "search-type"]
    assert [event["outcome"] for event in events] == ["0", "0", "0", "4", "0"]
    details = [one["detail"][0]["valueString"] for event in events[1:] for one in event["entity"] if "detail" in one]
    assert details == [f"Bundle.entry[{n}]" for n in range(4)]


async def test_a_compartment_is_told_with_whose_it_is() -> None:
    """Alone and in a Bundle, found or not: the patient is named, and what was asked for."""
    urls = ("Patient/p1/Observation?date=2020", "Patient/p1/*", "Patient/p1/$everything?start=2020", "Patient/nobody/*")
    entries = [{"request": {"method": "GET", "url": url}} for url in urls]
    async with audited() as one:
        await one.client.put("/fhir/Patient/p1", json=PATIENT, headers=FHIR_JSON)
        await one.client.post("/fhir/Observation", json=OBSERVATION, headers=FHIR_JSON)
        for url in urls:
            assert (await one.client.get(f"/fhir/{url}")).status_code == 200
        batch = {"resourceType": "Bundle", "type": "batch", "entry": entries}
        await one.client.post("/fhir", json=batch, headers=FHIR_JSON)
        events = (await one.events())[2:]
    del events[len(urls)]  # that of the Bundle
    for some in (events[: len(urls)], events[len(urls) :]):
        assert [event["subtype"][0]["code"] for event in some] == ["search"] * len(urls)
        assert [interaction(event) for event in some] == [
            "search-compartment",
            "search-compartment",
            "$everything",
            "search-compartment",
        ]
        assert [references(event, "1") for event in some] == [["Patient/p1"]] * 3 + [["Patient/nobody"]]
        asked = [[e["query"] for e in event["entity"] if "query" in e] for event in some]
        assert [base64.b64decode(query[0]) for query in asked] == [b"date", b"-", b"start", b"-"]


async def test_a_page_tells_all_patients_that_it_shows() -> None:
    """Of 700 patients each is found by name: in as many events as it takes."""
    async with audited() as one:
        for n in range(3):
            entries = [
                {
                    "request": {"method": "PUT", "url": f"Patient/q{n}-{m}"},
                    "resource": {"resourceType": "Patient", "id": f"q{n}-{m}"},
                }
                for m in range(234)
            ]
            body = {"resourceType": "Bundle", "type": "batch", "entry": entries}
            assert (await one.client.post("/fhir", json=body, headers=FHIR_JSON)).status_code == 200
        await one.events()
        found = (await one.client.get("/fhir/Patient?_count=1000")).json()
        shown = {entry["resource"]["id"] for entry in found["entry"]}
        searches = [event for event in await one.events() if interaction(event) == "search-type"]
        named = {reference for event in searches for reference in references(event, "1")}
        assert named == {f"Patient/{id_}" for id_ in shown} and len(shown) > 100
        last = [event for event in await one.events(patient="q2-233") if interaction(event) == "search-type"]
        assert len(last) == 1


def _query(event: dict[str, object], *, at: int = -1) -> str:
    entities = event["entity"]
    assert isinstance(entities, list)
    (query,) = [one["query"] for one in entities if "query" in one]
    return base64.b64decode(query).decode()


async def test_criteria_are_told_by_name_unless_asked_for() -> None:
    """A name that is none of the type's may be anything, so it is not told either."""
    for how, expected in (
        ("names", "identifier&?"),
        ("values", "identifier=urn:x|zebrafinch&zebrafinch=1"),
        ("hashed", None),
    ):
        async with audited(Settings(audit_criteria=how, handling="lenient")) as one:
            await one.client.get("/fhir/Patient?identifier=urn:x|zebrafinch&zebrafinch=1")
            posted = "identifier=urn:x|zebrafinch&zebrafinch=1"
            await one.client.post("/fhir/Patient/_search", content=posted, headers=FORM)
            events = await one.events()
        told = [_query(event) for event in events]
        assert told[0] == told[1]
        if expected is None:
            assert "zebrafinch" not in told[0] and told[0].startswith("identifier=~")
        else:
            assert told[0] == expected


async def test_an_export_tells_its_begin_and_its_files() -> None:
    """By the id of the job."""
    async with audited() as one:
        begun = await one.client.get("/fhir/$export", headers={"Prefer": "respond-async"})
        where = begun.headers["Content-Location"].removeprefix("http://testserver")
        await one.client.get(where)
        await one.client.get(f"{where}/Patient.000.ndjson")
        await one.client.delete(where)
        events = await one.events()
    assert [interaction(event) for event in events] == ["$export", "export-status", "export-file", "delete-export"]
    ids = [one["what"]["identifier"]["value"] for event in events for one in event["entity"] if "what" in one]
    assert where.rpartition("/")[2] in ids


async def test_what_shows_no_data_is_not_told() -> None:
    """metadata, paths that do not exist, methods that are not possible, and pre-flight requests."""
    async with audited() as one:
        await one.client.get("/fhir/metadata")
        await one.client.get("/fhir/Patient/1/2/3/4")
        await one.client.request("OPTIONS", "/fhir/Patient/p1")
        await one.client.request("PUT", "/fhir/metadata")
        await one.client.get("/health/live")
        assert await one.events() == [] == await one.events(None)
