"""What is written obeys FHIR, as thoroughly as the deployment asks for, by the release it speaks."""

from __future__ import annotations

import json

import pytest

from server.settings import BadSetting, Settings, from_environment
from tests.server.serving import FHIR_JSON, Served, serving

WRONG = b'{"resourceType":"Patient","id":"p","birthDate":"2021-02-30","gender":"Male","name":[{"bogus":"Jo Doe"}]}'


async def test_all_that_is_wrong_is_told_at_once(served: Served) -> None:
    """422 with an issue for each place, whichever interaction writes; nothing is stored, nothing of it repeated."""
    for answer in (
        await served.client.post("/fhir/Patient", content=WRONG, headers=FHIR_JSON),
        await served.client.put("/fhir/Patient/p", content=WRONG, headers=FHIR_JSON),
    ):
        assert answer.status_code == 422
        assert {(issue["code"], *issue["expression"]) for issue in answer.json()["issue"]} == {
            ("value", "Patient.birthDate"),
            ("code-invalid", "Patient.gender"),
            ("structure", "Patient.name[0].bogus"),
        }
        assert "Doe" not in answer.text and "2021" not in answer.text and "Male" not in answer.text
    assert (await served.client.get("/fhir/Patient/p")).status_code == 404


async def test_a_hundred_issues_are_listed_at_most(served: Served) -> None:
    """The rest is a number."""
    body = json.dumps({"resourceType": "Patient", "name": [{"x": 1}] * 500}).encode()
    issues = (await served.client.post("/fhir/Patient", content=body, headers=FHIR_JSON)).json()["issue"]
    assert len(issues) == 101
    assert issues[-1] == {
        "severity": "information",
        "code": "informational",
        "diagnostics": "400 more issues are not listed",
    }


async def test_a_large_body_is_validated_too(served: Served) -> None:
    """Beside the event loop, with the same answers."""
    for name, status in (("text", 201), ("bogus", 422)):
        body = json.dumps({"resourceType": "Patient", "name": [{name: "x" * 1000}] * 500}).encode()
        assert (await served.client.post("/fhir/Patient", content=body, headers=FHIR_JSON)).status_code == status


@pytest.mark.slow
async def test_a_flood_of_values_is_too_large(served: Served) -> None:
    """413, and where the limit was passed."""
    body = b'{"resourceType":"Patient","x":[' + b"[]," * 1_000_000 + b"1]}"
    answer = await served.client.post("/fhir/Patient", content=body, headers=FHIR_JSON)
    assert answer.status_code == 413
    assert "more than 1000000 values, at byte" in answer.json()["issue"][0]["diagnostics"]


async def test_off_takes_whatever_is_json() -> None:
    """Only the type and the id are looked at, since they are part of the address."""
    async with serving(Settings(validation="off")) as served:
        answer = await served.client.put("/fhir/Patient/p", content=WRONG, headers=FHIR_JSON)
        assert answer.status_code == 201
        assert answer.json()["name"] == [{"bogus": "Jo Doe"}]
        assert (await served.client.post("/fhir/Nonsense", content=b"{}", headers=FHIR_JSON)).status_code == 404


@pytest.mark.parametrize("level", ["off", "structure", "full"])
async def test_a_reference_by_search_is_refused_at_every_level(level: str) -> None:
    """Outside of a transaction nobody resolves it: not in a create, an update or a patch; not as an escape either."""
    stays = {"resourceType": "Patient", "id": "p"}
    by_search = {"managingOrganization": {"reference": "Organization?identifier=urn:o|1"}}
    async with serving(Settings(validation=level)) as served:
        client = served.client
        assert (await client.put("/fhir/Patient/p", json=stays, headers=FHIR_JSON)).status_code == 201
        escaped = json.dumps(stays | by_search).replace("?", "\\u003f")
        patch = {"Content-Type": "application/merge-patch+json"}
        refused = [
            await client.post("/fhir/Patient", json=stays | by_search, headers=FHIR_JSON),
            await client.put("/fhir/Patient/p", json=stays | by_search, headers=FHIR_JSON),
            await client.put("/fhir/Patient/p", content=escaped, headers=FHIR_JSON),
            await client.patch("/fhir/Patient/p", json=by_search, headers=patch),
        ]
        for answer in refused:
            assert answer.status_code == (400 if level == "off" else 422)
            assert answer.json()["issue"][0]["expression"] == ["Patient.managingOrganization.reference"]
            assert "transaction" in answer.json()["issue"][0]["diagnostics"]
        assert (await client.get("/fhir/Patient/p")).json()["meta"]["versionId"] == "1"


@pytest.mark.parametrize("level", ["structure", "full"])
async def test_full_asks_for_invariants(level: str) -> None:
    """pat-1: a contact needs a name, an address, a telecom or an organization."""
    body = b'{"resourceType":"Patient","contact":[{"gender":"other"}]}'
    async with serving(Settings(validation=level)) as served:
        answer = await served.client.post("/fhir/Patient", content=body, headers=FHIR_JSON)
        assert answer.status_code == (422 if level == "full" else 201)


@pytest.mark.parametrize(
    ("release", "type_", "version"),
    [("4.0", "MedicinalProduct", "4.0.1"), ("4.3", "Ingredient", "4.3.0"), ("5.0", "Transport", "5.0.0")],
)
async def test_a_server_speaks_one_release(release: str, type_: str, version: str) -> None:
    """Its types are there, others are not, and it says so in the CapabilityStatement."""
    async with serving(Settings(fhir_version=release)) as served:
        statement = (await served.client.get("/fhir/metadata")).json()
        assert statement["fhirVersion"] == version
        for one in ("MedicinalProduct", "Ingredient", "Transport"):
            known = (await served.client.get(f"/fhir/{one}/x")).json()["issue"][0]["code"] == "not-found"
            assert known is (one == type_ or (one, release) == ("Ingredient", "5.0"))


async def test_r5_resources_are_written_and_read_in_r5() -> None:
    """CodeableReference and integer64 as R5 has them; the R4 way of writing is refused."""
    request = {"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": {"display": "x"}}
    new = {**request, "medication": {"concept": {"text": "x"}}}
    old = {**request, "medicationCodeableConcept": {"text": "x"}}
    async with serving(Settings(fhir_version="5.0")) as served:
        for body, status in ((new, 201), (old, 422)):
            content = json.dumps(body).encode()
            answer = await served.client.post("/fhir/MedicationRequest", content=content, headers=FHIR_JSON)
            assert answer.status_code == status


def test_release_and_level_are_settings() -> None:
    """R4 and structure unless told otherwise; anything else is refused by name."""
    assert (from_environment({}).fhir_version, from_environment({}).validation) == ("4.0", "structure")
    given = from_environment({"FHIRSTORE_FHIR_VERSION": "5.0", "FHIRSTORE_VALIDATION": "full"})
    assert (given.fhir_version, given.validation) == ("5.0", "full")
    for name, value in (("FHIRSTORE_FHIR_VERSION", "3.0"), ("FHIRSTORE_VALIDATION", "strict")):
        with pytest.raises(BadSetting, match=name):
            from_environment({name: value})
