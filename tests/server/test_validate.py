"""$validate: https://hl7.org/fhir/R4/resource-operation-validate.html."""

from __future__ import annotations

import json
from typing import TypeAlias

import httpx
import pytest

from tests.fhir.validation.profiles.examples import CANONICAL, profile
from tests.server.serving import FHIR_JSON, Served

Issues: TypeAlias = list[tuple[str, str]]

TEXT = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">a</div>'}
GOOD: dict[str, object] = {"resourceType": "Patient", "text": TEXT, "gender": "male"}
BAD: dict[str, object] = {"resourceType": "Patient", "text": TEXT, "gender": "unheard-of"}
NAMED = profile("named", "Patient", {"path": "Patient.name", "min": 1})
FHIR_XML = {"Content-Type": "application/fhir+xml"}


def parameters(resource: dict[str, object] | None = None, **values: str) -> dict[str, object]:
    """A Parameters body: the resource, mode and profile."""
    given: list[dict[str, object]] = [] if resource is None else [{"name": "resource", "resource": resource}]
    given += [{"name": name, "valueCode" if name == "mode" else "valueUri": value} for name, value in values.items()]
    return {"resourceType": "Parameters", "parameter": given}


async def validate(
    served: Served, body: dict[str, object] | None, path: str = "Patient/$validate", status: int = 200
) -> list[dict[str, object]]:
    """POST it; the issues of the OperationOutcome that answers."""
    content = None if body is None else json.dumps(body)
    return issues(await served.client.post(f"/fhir/{path}", content=content, headers=FHIR_JSON), status)


def issues(answer: httpx.Response, status: int = 200) -> list[dict[str, object]]:
    """What the OperationOutcome says."""
    assert answer.status_code == status, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"
    found: list[dict[str, object]] = answer.json()["issue"]
    return found


def errors(found: list[dict[str, object]]) -> Issues:
    """(code, expression) of each error."""
    wrong = [issue for issue in found if issue["severity"] == "error"]
    return [(str(issue["code"]), "".join(issue.get("expression", []))) for issue in wrong]  # type: ignore[arg-type] # text


async def store(served: Served, resource: dict[str, object]) -> None:
    """PUT it under its id."""
    path = f"/fhir/{resource['resourceType']}/{resource['id']}"
    answer = await served.client.put(path, content=json.dumps(resource), headers=FHIR_JSON)
    assert answer.status_code == 201, answer.text


@pytest.fixture
async def profiled(served: Served) -> Served:
    """A server with the profile `named` stored under the id that its canonical ends with."""
    kind = {"status": "draft", "name": "Named", "kind": "resource", "abstract": False}
    element = {"id": "Patient.name", "path": "Patient.name", "min": 1}
    await store(served, {**NAMED, **kind, "text": TEXT, "differential": {"element": [element]}})
    return served


async def test_all_ok_is_said(served: Served) -> None:
    """One information issue, for a bare resource and for one in Parameters."""
    for body in (GOOD, parameters(GOOD), parameters(GOOD, mode="create")):
        [only] = await validate(served, body)
        assert (only["severity"], only["code"]) == ("information", "informational")


async def test_errors_are_an_answer_of_200(served: Served) -> None:
    """All of them, with their expressions; nothing is stored."""
    found = await validate(served, {**BAD, "bogus": 1})
    assert errors(found) == [("code-invalid", "Patient.gender"), ("structure", "Patient.bogus")]
    assert "entry" not in (await served.client.get("/fhir/Patient")).json()


async def test_invariants_are_checked_whatever_writes_are_asked(served: Served) -> None:
    """The server of this test validates structure only when it writes."""
    found = await validate(served, {**GOOD, "contact": [{"gender": "male"}]})
    assert errors(found) == [("invariant", "Patient.contact[0]")]


async def test_what_was_not_checked_is_said(served: Served) -> None:
    """An invariant that needs other resources."""
    team: dict[str, object] = {
        "resourceType": "CareTeam",
        "text": TEXT,
        "participant": [{"member": {"reference": "Practitioner/1"}, "onBehalfOf": {"reference": "Organization/1"}}],
    }
    found = await validate(served, team, "CareTeam/$validate")
    assert [issue["diagnostics"] for issue in found][1:] == ["Not checked: invariant ctm-1"]


async def test_what_is_stored_can_be_validated(served: Served) -> None:
    """By GET, and by POST with a profile or nothing; 404 where there is nothing."""
    await store(served, {**GOOD, "id": "p"})
    assert errors(issues(await served.client.get("/fhir/Patient/p/$validate"))) == []
    assert errors(await validate(served, None, "Patient/p/$validate")) == []
    nothing = issues(await served.client.get("/fhir/Patient/gone/$validate"), 404)
    assert [issue["code"] for issue in nothing] == ["not-found"]


@pytest.mark.parametrize("canonical", [NAMED["url"], f"{NAMED['url']}|1.0"])
async def test_a_stored_profile_is_checked(profiled: Served, canonical: str) -> None:
    """Named in the URL, in Parameters, or by the resource itself; for what is stored as well."""
    version = {**NAMED, "status": "draft", "name": "Named", "kind": "resource", "abstract": False, "version": "1.0"}
    path = f"/fhir/StructureDefinition/{NAMED['id']}"
    element = {"id": "Patient.name", "path": "Patient.name", "min": 1}
    stored = {**version, "text": TEXT, "differential": {"element": [element]}}
    await profiled.client.put(path, content=json.dumps(stored), headers=FHIR_JSON)
    required = [("required", "Patient.name")]
    assert errors(await validate(profiled, GOOD, f"Patient/$validate?profile={canonical}")) == required
    assert errors(await validate(profiled, parameters(GOOD, profile=canonical))) == required
    assert errors(await validate(profiled, {**GOOD, "meta": {"profile": [canonical]}})) == required
    assert errors(await validate(profiled, parameters({**GOOD, "name": [{"text": "a"}]}, profile=canonical))) == []
    await store(profiled, {**GOOD, "id": "p"})
    body = parameters(mode="profile", profile=canonical)
    assert errors(await validate(profiled, body, "Patient/p/$validate")) == required


async def test_an_unknown_profile_is_a_clear_error(profiled: Served) -> None:
    """Not stored, or stored with another version; the text says where it is looked for."""
    for canonical in (
        "http://example.org/StructureDefinition/other",
        f"{NAMED['url']}|2",
        "http://elsewhere.org/named",
    ):
        [only] = await validate(profiled, parameters(GOOD, profile=canonical), status=400)
        assert only["code"] == "not-found"
        assert "StructureDefinition/[id]" in str(only["diagnostics"])


async def test_a_claimed_profile_that_is_not_stored_is_said(served: Served) -> None:
    """meta.profile may name what this server has never seen."""
    found = await validate(served, {**GOOD, "meta": {"profile": [f"{CANONICAL}/unseen"]}})
    assert errors(found) == []
    assert f"Not checked: profile {CANONICAL}/unseen, which is not stored here" in [
        each["diagnostics"] for each in found
    ]


async def test_a_base_type_is_a_profile(served: Served) -> None:
    """…/StructureDefinition/Patient needs no lookup; a Patient is no Observation."""
    base = "http://hl7.org/fhir/StructureDefinition"
    assert errors(await validate(served, GOOD, f"Patient/$validate?profile={base}/Patient")) == []
    assert errors(await validate(served, GOOD, f"Patient/$validate?profile={base}/DomainResource")) == []
    found = await validate(served, GOOD, f"Patient/$validate?profile={base}/Observation")
    assert errors(found) == [("structure", "")]


async def test_modes(served: Served) -> None:
    """update wants the id of the URL, delete a resource; profile wants a profile; others are refused."""
    await store(served, {**GOOD, "id": "p"})
    assert errors(await validate(served, parameters({**GOOD, "id": "p"}, mode="update"), "Patient/p/$validate")) == []
    other = await validate(served, parameters({**GOOD, "id": "q"}, mode="update"), "Patient/p/$validate")
    assert errors(other) == [("invalid", "Patient.id")]
    [deletable] = await validate(served, parameters(mode="delete"), "Patient/p/$validate")
    assert deletable["diagnostics"] == "A delete would be accepted"
    for body, path in (
        (parameters(GOOD, mode="unheard-of"), "Patient/$validate"),
        (parameters(mode="profile"), "Patient/p/$validate"),
        (parameters(mode="delete"), "Patient/$validate"),
        (parameters(mode="create"), "Patient/$validate"),
    ):
        await validate(served, body, path, status=400)


async def test_the_type_must_be_that_of_the_url(served: Served) -> None:
    """An Observation is no Patient; a type that is none is 404."""
    assert ("invalid", "resourceType") in errors(await validate(served, GOOD, "Observation/$validate"))
    await validate(served, GOOD, "Unheard/$validate", status=404)


async def test_parameters_can_be_validated_themselves(served: Served) -> None:
    """A Parameters resource sent to Parameters/$validate is the resource, unless it holds one as `resource`."""
    bare: dict[str, object] = {
        "resourceType": "Parameters",
        "parameter": [{"name": "a", "valueString": "b", "bogus": 1}],
    }
    found = await validate(served, bare, "Parameters/$validate")
    assert errors(found) == [("structure", "Parameters.parameter[0].bogus")]
    assert errors(await validate(served, parameters(bare), "Parameters/$validate")) == errors(found)


async def test_malformed_content_is_refused(served: Served) -> None:
    """What is no JSON cannot be judged: 400."""
    answer = await served.client.post("/fhir/Patient/$validate", content=b"{", headers=FHIR_JSON)
    assert answer.status_code == 400


async def test_xml_is_validated_and_answered(served: Served) -> None:
    """In either direction."""
    body = b'<Patient xmlns="http://hl7.org/fhir"><gender value="unheard-of"/></Patient>'
    assert errors(issues(await served.client.post("/fhir/Patient/$validate", content=body, headers=FHIR_XML))) == [
        ("code-invalid", "Patient.gender")
    ]
    answer = await served.client.post(
        "/fhir/Patient/$validate", content=body, headers={**FHIR_XML, "Accept": "application/fhir+xml"}
    )
    assert answer.headers["content-type"].startswith("application/fhir+xml")


async def test_the_capability_statement_names_the_operation(served: Served) -> None:
    """With the canonical of its definition."""
    statement = (await served.client.get("/fhir/metadata")).json()
    operations = statement["rest"][0]["resource"][0]["operation"]
    definition = "http://hl7.org/fhir/OperationDefinition/Resource-validate"
    assert {"name": "validate", "definition": definition} in operations
