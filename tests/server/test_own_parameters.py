"""A tenant's own search parameters, composites, value sets and absolute references, over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.server.serving import FHIR_JSON, Served

DEFINITION = {
    "resourceType": "SearchParameter",
    "id": "shoe",
    "url": "urn:shoe",
    "name": "Shoe",
    "status": "active",
    "description": "The size of the shoes",
    "code": "shoe-size",
    "base": ["Patient"],
    "type": "number",
    "expression": "Patient.extension.where(url = 'urn:size').value.ofType(integer)",
}


async def _put(served: Served, resource: dict[str, Any]) -> None:
    path = f"/fhir/{resource['resourceType']}/{resource['id']}"
    answer = await served.client.put(path, content=json.dumps(resource).encode(), headers=FHIR_JSON)
    assert answer.status_code == 201, answer.text


async def _ids(served: Served, url: str) -> list[str]:
    answer = await served.client.get(url)
    assert answer.status_code == 200, answer.text
    return [entry["resource"]["id"] for entry in answer.json().get("entry", [])]


async def test_a_new_parameter_is_refused_until_it_is_indexed_and_then_listed_and_answered(served: Served) -> None:
    """400 while nothing is known of it, 501 while it is filled, then 200 and in the CapabilityStatement."""
    await _put(served, {"resourceType": "Patient", "id": "a", "extension": [{"url": "urn:size", "valueInteger": 41}]})
    assert await _ids(served, "/fhir/Patient?_lastUpdated=gt2000") == ["a"]
    assert (await served.client.get("/fhir/Patient?shoe-size=41")).status_code == 400
    await _put(served, DEFINITION)
    statuses = set()
    for _ in range(300):
        answer = await served.client.get("/fhir/Patient?shoe-size=41")
        statuses.add(answer.status_code)
        if answer.status_code == 200:
            break
        assert "is being indexed" in answer.json()["issue"][0]["diagnostics"]
        await asyncio.sleep(0.02)
    assert statuses == {501, 200}
    assert await _ids(served, "/fhir/Patient?shoe-size=ge41") == ["a"]
    statement = (await served.client.get("/fhir/metadata")).json()
    of_patient = next(one for one in statement["rest"][0]["resource"] if one["type"] == "Patient")
    assert ("shoe-size", "urn:shoe") in [(one["name"], one.get("definition")) for one in of_patient["searchParam"]]


async def test_a_reference_by_the_url_of_this_server_is_found(served: Served) -> None:
    """However the reference was written, and however it is searched for."""
    base = str((await served.client.get("/fhir/Patient?_count=0")).json()["link"][0]["url"]).partition("/fhir/")[0]
    code = {"text": "x"}
    for id_, reference in (("r", "Patient/a"), ("u", f"{base}/fhir/Patient/a"), ("o", "http://other/fhir/Patient/a")):
        subject = {"reference": reference}
        await _put(
            served,
            {"resourceType": "Observation", "id": id_, "status": "final", "code": code, "subject": subject},
        )
    assert sorted(await _ids(served, f"/fhir/Observation?subject={base}/fhir/Patient/a")) == ["r", "u"]
    assert sorted(await _ids(served, "/fhir/Observation?subject=Patient/a")) == ["r", "u"]


async def test_a_composite_and_a_value_set_are_answered(served: Served) -> None:
    """Unescaped `$` and `|` in the URL; what needs a terminology server is 501."""
    code = {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}
    component = {"code": code, "valueQuantity": {"value": 140, "unit": "mmHg"}}
    await _put(
        served,
        {"resourceType": "Observation", "id": "o", "status": "final", "code": code, "component": [component]},
    )
    assert await _ids(served, "/fhir/Observation?component-code-value-quantity=http://loinc.org|8480-6$gt130") == ["o"]
    assert await _ids(served, "/fhir/Observation?component-code-value-quantity=8480-6$gt150") == []
    assert await _ids(served, "/fhir/Observation?status:in=http://hl7.org/fhir/ValueSet/observation-status") == ["o"]
    answer = await served.client.get("/fhir/Observation?code:in=http://example.org/unknown")
    assert answer.status_code == 501
    assert "terminology server" in answer.json()["issue"][0]["diagnostics"]
    assert (await served.client.get("/fhir/Location?near=1|2|3")).status_code == 501
