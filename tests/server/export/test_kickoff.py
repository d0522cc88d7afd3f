"""A kick-off is accepted or refused with the right status, and every refusal is an OperationOutcome in JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping

import httpx
import pytest

from fhirstore import JobLimits
from server.settings import Settings
from tests.server.export.exporting import ASYNC, exporting
from tests.server.serving import FHIR_JSON


def _refusal(answer: httpx.Response, status: int, code: str) -> str:
    """The diagnostics of an OperationOutcome in JSON."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/fhir+json")
    issue = answer.json()["issue"][0]
    assert issue["code"] == code, issue
    return str(issue["diagnostics"])


async def test_each_level_is_accepted_by_get_and_by_post() -> None:
    """202 with an absolute polling location, and what was preferred; an empty body asks for everything."""
    async with exporting() as client:
        await client.put(
            "/fhir/Group/g",
            content=b'{"resourceType":"Group","id":"g","type":"person","actual":true}',
            headers=FHIR_JSON,
        )
        for path in ("/fhir/$export", "/fhir/Patient/$export", "/fhir/Group/g/$export"):
            for method in ("GET", "POST"):
                answer = await client.request(method, path, headers=ASYNC)
                assert answer.status_code == 202, answer.text
                assert answer.headers["content-location"].startswith("http://testserver/fhir/_export/0")
                assert answer.headers["preference-applied"] == "respond-async"
                assert answer.json()["resourceType"] == "OperationOutcome"


async def test_the_client_must_prefer_to_wait() -> None:
    """A GET that a crawler or a page makes begins nothing; nor does HEAD."""
    async with exporting() as client:
        text = _refusal(await client.get("/fhir/$export"), 400, "required")
        assert "respond-async" in text
        head = await client.head("/fhir/$export", headers=ASYNC)
        assert (head.status_code, head.headers["allow"]) == (405, "GET, POST, OPTIONS")
        assert (await client.get("/fhir/$jobs")).json() == {"resourceType": "Parameters"}


async def test_version_4_begins_by_post_alone() -> None:
    """GET is 405 and not advertised; parameters in the URL are refused."""
    async with exporting(Settings(bulk_version=4)) as client:
        answer = await client.get("/fhir/$export", headers=ASYNC)
        _refusal(answer, 405, "not-supported")
        assert answer.headers["allow"] == "POST, OPTIONS"
        _refusal(await client.post("/fhir/$export?_type=Patient", headers=ASYNC), 400, "value")
        assert (await client.post("/fhir/$export", headers=ASYNC)).status_code == 202
        described = (await client.get("/openapi.json")).json()["paths"]
        assert set(described["/$export"]) == {"post"}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"_type": "NoSuchType"}, 400, "not-supported"),
        ({"_since": "2999-01-01T00:00:00Z"}, 400, "value"),
        ({"_outputFormat": "application/vnd.apache.parquet"}, 400, "not-supported"),
        ({"_typeFilter": "Observation?subject.name=x"}, 400, "not-supported"),
        ({"_typeFilter": "Observation?_sort=date"}, 400, "value"),
        ({"organizeOutputBy": "Encounter"}, 400, "not-supported"),
        ({"includeAssociatedData": "_mine"}, 400, "not-supported"),
        ({"_elements": "Patient.name.family"}, 400, "value"),
        ({"_count": "2"}, 400, "not-supported"),
        ({"patient": "Patient/1"}, 400, "value"),
        ({"_type": ",".join(["Patient"] * 1_001)}, 400, "too-long"),
    ],
)
async def test_what_cannot_be_done_is_400_and_names_the_parameter(
    query: Mapping[str, str], status: int, code: str
) -> None:
    """Never 404, which would say that there is no such operation, or 501."""
    async with exporting() as client:
        text = _refusal(await client.get("/fhir/$export", params=query, headers=ASYNC), status, code)
        assert next(iter(query)) in text


@pytest.mark.parametrize("path", ["/fhir/$export", "/fhir/Patient/$export"])
@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"resourceType":"Patient"}', "application/fhir+json", 400),
        (b'{"resourceType":"Parameters"', "application/fhir+json", 400),
        (b"[]", "application/fhir+json", 400),
        (b"_type=Patient", "application/x-www-form-urlencoded", 415),
        (b"\x00\xff", "application/octet-stream", 415),
        (b'{"resourceType":"Parameters","parameter":7}', "application/fhir+json", 400),
        (b'{"resourceType":"Parameters","parameter":' + b"[" * 5_000 + b"]" * 5_000 + b"}", "application/json", 400),
        (b'{"resourceType":"Parameters","parameter":[{"name":"_type","part":[]}]}', "application/json", 400),
    ],
)
async def test_a_body_that_is_none_is_refused(path: str, body: bytes, kind: str, status: int) -> None:
    """With 4xx and an OperationOutcome, whatever it is."""
    async with exporting() as client:
        answer = await client.post(path, content=body, headers={**ASYNC, "Content-Type": kind})
        assert answer.status_code == status, answer.text
        assert answer.json()["resourceType"] == "OperationOutcome"


async def test_a_body_may_be_xml() -> None:
    """As every resource."""
    body = (
        b'<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="_type"/><valueString value="Patient"/>'
        b"</parameter></Parameters>"
    )
    async with exporting() as client:
        headers = {**ASYNC, "Content-Type": "application/fhir+xml"}
        assert (await client.post("/fhir/$export", content=body, headers=headers)).status_code == 202


async def test_many_patients_are_taken_and_too_many_are_refused() -> None:
    """A list is bounded in values and bytes, and each of it must exist."""
    async with exporting(Settings(max_body=1_000_000, max_in_flight_bytes=4_000_000)) as client:
        for count, status in ((10_001, 400), (1_000, 400), (30_000, 413)):
            listed = [{"name": "patient", "valueReference": {"reference": f"Patient/{n}"}} for n in range(count)]
            body = json.dumps({"resourceType": "Parameters", "parameter": listed}).encode()
            answer = await client.post("/fhir/Patient/$export", content=body, headers={**ASYNC, **FHIR_JSON})
            assert answer.status_code == status, (count, answer.text[:200])
            assert answer.json()["resourceType"] == "OperationOutcome"


async def test_a_group_must_be_there() -> None:
    """404 for one that never was, 410 for one that was deleted, 400 for one that says whom it has by a criterion."""
    async with exporting() as client:
        _refusal(await client.get("/fhir/Group/none/$export", headers=ASYNC), 404, "not-found")
        _refusal(await client.get("/fhir/Group/a%20b/$export", headers=ASYNC), 400, "value")
        group = {"resourceType": "Group", "id": "g", "type": "person", "actual": False}
        await client.put("/fhir/Group/g", json=group, headers=FHIR_JSON)
        _refusal(await client.get("/fhir/Group/g/$export", headers=ASYNC), 400, "not-supported")
        await client.delete("/fhir/Group/g")
        _refusal(await client.get("/fhir/Group/g/$export", headers=ASYNC), 410, "deleted")


async def test_too_many_exports_are_429() -> None:
    """With the time to wait; a DELETE makes room."""
    async with exporting(limits=JobLimits(running=1, queued=1)) as client:
        begun = [await client.get("/fhir/$export", headers=ASYNC) for _ in range(2)]
        assert [answer.status_code for answer in begun] == [202, 202]
        refused = await client.get("/fhir/$export", headers=ASYNC)
        _refusal(refused, 429, "throttled")
        assert int(refused.headers["retry-after"]) >= 1
        assert (await client.delete(begun[0].headers["content-location"])).status_code == 202
        assert (await client.get("/fhir/$export", headers=ASYNC)).status_code == 202


async def test_the_form_of_the_answer_is_json() -> None:
    """Whatever Accept, _format or _elements say: the latter is a parameter of the export."""
    async with exporting() as client:
        for accept in ("application/fhir+xml", "text/csv", "application/fhir+ndjson"):
            answer = await client.get("/fhir/$export?_elements=id", headers={**ASYNC, "Accept": accept})
            assert (answer.status_code, answer.headers["content-type"][:21]) == (202, "application/fhir+json")
            refused = await client.get("/fhir/$export?_x=1&_format=xml", headers={**ASYNC, "Accept": accept})
            _refusal(refused, 400, "not-supported")


async def test_what_is_ignored_is_told_at_once_and_in_the_manifest() -> None:
    """With handling=lenient; the preference is confirmed."""
    async with exporting() as client:
        headers = {**ASYNC, "Prefer": "respond-async, handling=lenient"}
        answer = await client.get("/fhir/$export?_count=5&_type=Patient", headers=headers)
        assert answer.status_code == 202
        assert answer.headers["preference-applied"] == "respond-async, handling=lenient"
        assert any("_count" in issue["diagnostics"] for issue in answer.json()["issue"])


async def test_an_export_in_a_bundle_is_refused() -> None:
    """It is an operation of its own, which answers later."""
    async with exporting() as client:
        for method, url in (("POST", "$export"), ("GET", "Patient/$export")):
            batch = {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": method, "url": url}}]}
            answer = await client.post("/fhir", json=batch, headers=FHIR_JSON)
            assert answer.status_code == 200, answer.text
            assert answer.json()["entry"][0]["response"]["status"][:3] in ("400", "415", "501"), answer.text
