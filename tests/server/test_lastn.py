"""Observation/$lastn: the newest of each code, found as a search finds them.

https://hl7.org/fhir/R4/observation-operation-lastn.html
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.serving import FHIR_JSON, Served

LOINC = "http://loinc.org"


def _code(*codings: tuple[str, str], text: str = "") -> dict[str, Any]:
    coded = [{"system": system, "code": code} for system, code in codings]
    return {**({"coding": coded} if coded else {}), **({"text": text} if text else {})}


async def _put(served: Served, id: str, code: dict[str, Any], date: str | None, patient: str = "p") -> None:
    resource = {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": code,
        "subject": {"reference": f"Patient/{patient}"},
        **({"effectiveDateTime": date} if date else {}),
    }
    answer = await served.client.put(f"/fhir/Observation/{id}", json=resource, headers=FHIR_JSON)
    assert answer.status_code in (200, 201), answer.text


async def _last(served: Served, query: str) -> list[str]:
    answer = await served.client.get(f"/fhir/Observation/$lastn?{query}")
    assert answer.status_code == 200, answer.text
    return [entry["resource"]["id"] for entry in answer.json().get("entry", [])]


async def test_the_newest_come_first_and_only_so_many(served: Served) -> None:
    """By the date of the observation, not that of the write; without a date it is the oldest."""
    pulse = _code((LOINC, "8867-4"))
    await _put(served, "new", pulse, "2021-03-01")
    await _put(served, "old", pulse, "2019-03-01")
    await _put(served, "undated", pulse, None)
    await _put(served, "of-another", pulse, "2022", patient="q")
    assert await _last(served, "patient=Patient/p") == ["new"]
    assert await _last(served, "subject=Patient/p&max=2&code=8867-4") == ["new", "old"]
    assert await _last(served, "patient=p&max=9") == ["new", "old", "undated"]
    assert await _last(served, "patient=p&max=9&date=lt2021") == ["old"]
    await _put(served, "new", pulse, "2018")
    assert await _last(served, "patient=p") == ["old"]


async def test_translations_are_of_one_code(served: Served) -> None:
    """Observations that share a coding, also by way of another; texts count where there is no coding."""
    await _put(served, "loinc", _code((LOINC, "8867-4")), "2020-01-01")
    await _put(served, "both", _code((LOINC, "8867-4"), ("urn:local", "pulse")), "2020-01-02")
    await _put(served, "local", _code(("urn:local", "pulse")), "2020-01-03")
    await _put(served, "other", _code(("urn:other", "pulse")), "2019-01-01")
    await _put(served, "text1", _code(text="Mood"), "2018-01-01")
    await _put(served, "text2", _code(text="mood"), "2018-01-02")
    assert await _last(served, "patient=p") == ["local", "other", "text2"]


@pytest.mark.parametrize(
    "query",
    [
        "code=8867-4",
        "patient=p&max=0",
        "patient=p&max=some",
        "patient=p&_sort=date",
        "patient=p&_count=3",
        "patient=p&_include=Observation:subject",
        "patient=p&colour=x",
        "patient=p&_cursor=x",
    ],
)
async def test_what_it_does_not_take_is_refused(served: Served, query: str) -> None:
    """400 with what is wrong."""
    answer = await served.client.get(f"/fhir/Observation/$lastn?{query}")
    assert (answer.status_code, answer.json()["resourceType"]) == (400, "OperationOutcome")


async def test_it_may_be_posted_counted_and_part_of_a_bundle(served: Served) -> None:
    """As other searches; and it costs 1 LIST and 1 GET for each that is shown."""
    for number in range(3):
        await _put(served, f"o{number}", _code((LOINC, "8867-4")), f"202{number}")
    named = [{"name": "patient", "valueString": "Patient/p"}, {"name": "max", "valuePositiveInt": 2}]
    asked = {"resourceType": "Parameters", "parameter": named}
    assert await _last(served, "patient=p") == ["o2"]
    with served.meter.measure() as cost:
        answer = await served.client.post("/fhir/Observation/$lastn", json=asked, headers=FHIR_JSON)
    assert [entry["resource"]["id"] for entry in answer.json()["entry"]] == ["o2", "o1"]
    assert cost.requests == {"LIST": 1, "GET": 2}
    counted = (await served.client.get("/fhir/Observation/$lastn?patient=p&max=2&_summary=count")).json()
    assert (counted["total"], "entry" in counted) == (2, False)
    entry = {"request": {"method": "GET", "url": "Observation/$lastn?patient=p"}}
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [entry]}
    found = (await served.client.post("/fhir", json=bundle, headers=FHIR_JSON)).json()["entry"][0]["resource"]
    assert [entry["resource"]["id"] for entry in found["entry"]] == ["o2"]
