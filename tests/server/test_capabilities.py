"""The CapabilityStatement tells what the route table has, and nothing else.

https://hl7.org/fhir/R4/http.html#capabilities
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.validation import Validator
from server.documents.capabilities import MODES, Capabilities
from server.documents.contract import Contract
from server.routes import TABLE
from server.settings import Settings
from tests.server.serving import FHIR_JSON, Served, serving


async def _statement(served: Served, query: str = "") -> dict[str, Any]:  # a resource is what JSON is
    answer = await served.client.get(f"/fhir/metadata{query}")
    assert answer.status_code == 200
    statement: dict[str, Any] = answer.json()
    return statement


async def test_every_type_and_exactly_the_interactions_of_the_table(served: Served) -> None:
    """Nothing that is answered with 501 is claimed."""
    statement = await _statement(served)
    assert (statement["fhirVersion"], statement["kind"]) == ("4.0.1", "instance")
    assert statement["implementation"]["url"] == "http://testserver/fhir"
    assert statement["format"] == ["application/fhir+json", "json", "application/fhir+xml", "xml"]
    (rest,) = statement["rest"]
    codes = [code for route in TABLE for code in route.codes]
    system = {code for code in codes if code in ("batch", "transaction", "history-system", "search-system")}
    assert {entry["code"] for entry in rest["interaction"]} == system
    assert {resource["type"] for resource in rest["resource"]} == definitions("4.0").resources
    for resource in rest["resource"]:
        claimed = [entry["code"] for entry in resource["interaction"]]
        assert len(claimed) == len(set(claimed))
        assert set(claimed) == set(codes) - system
        assert {"read", "vread", "update", "delete", "create", "history-instance", "history-type"} <= set(claimed)
        assert (resource["versioning"], resource["readHistory"]) == ("versioned-update", True)
        assert (resource["updateCreate"], resource["conditionalRead"]) == (True, "full-support")
        assert resource["referencePolicy"] == ["literal", "logical"]


@pytest.mark.parametrize("release", ["4.0", "4.3", "5.0"])
@pytest.mark.parametrize("mode", MODES)
def test_it_is_a_valid_resource_of_its_release(release: str, mode: str) -> None:
    """With everything switched on; a narrative is all that good practice misses."""
    settings = Settings(enable_purge=True, cors_origins=("*",), reference_integrity=True)
    statement = Capabilities(TABLE, settings, definitions(release)).statement("http://server.example/fhir", mode=mode)
    issues = Validator(definitions(release), "full").issues(json.parse(json.dump(statement)))
    assert [issue.diagnostics.partition(":")[0] for issue in issues] == ["dom-6"]
    assert issues[0].severity == "warning"


async def test_conditional_interactions_are_claimed_when_they_are_there(served: Served) -> None:
    """Each flag stands for a line of the table."""
    resource = (await _statement(served))["rest"][0]["resource"][0]
    built = {(route.method, route.path) for route in TABLE if isinstance(route.contract, Contract)}
    assert resource["conditionalUpdate"] is (("PUT", "/{type}") in built)
    assert resource["conditionalDelete"] == ("single" if ("DELETE", "/{type}") in built else "not-supported")


@pytest.mark.parametrize(("release", "claimed"), [("4.0", None), ("4.3", None), ("5.0", True)])
def test_conditional_patch_is_claimed_where_there_is_a_place_for_it(release: str, claimed: bool | None) -> None:
    """R5 has an element for it."""
    statement: Any = Capabilities(TABLE, Settings(), definitions(release)).statement("http://server.example/fhir")
    assert statement["rest"][0]["resource"][0].get("conditionalPatch") is claimed


async def test_what_is_searched_across_types_is_claimed(served: Served) -> None:
    """And works: rest.searchParam."""
    parameters = (await _statement(served))["rest"][0]["searchParam"]
    assert {"_type", "_id", "_lastUpdated", "_tag", "_profile"} <= {each["name"] for each in parameters}
    assert all(each["name"].startswith("_") for each in parameters)
    answer = await served.client.get("/fhir?_type=Patient,Observation&_lastUpdated=ge2020")
    assert (answer.status_code, answer.json()["total"]) == (200, 0)


async def test_its_tag_changes_with_it_and_saves_sending_it() -> None:
    """304 for who has it; another statement has another tag."""
    async with serving() as one, serving(Settings(enable_purge=True)) as other:
        tag = (await one.client.get("/fhir/metadata")).headers["etag"]
        again = await one.client.get("/fhir/metadata", headers={"If-None-Match": f'"x", {tag}'})
        assert (again.status_code, again.headers["etag"], again.content) == (304, tag, b"")
        assert (await other.client.get("/fhir/metadata")).headers["etag"] != tag


async def test_purge_is_claimed_only_where_it_is_on() -> None:
    """As an operation of every type."""
    for on in (False, True):
        async with serving(Settings(enable_purge=on)) as served:
            resource = (await _statement(served))["rest"][0]["resource"][0]
            assert ("purge" in {entry["name"] for entry in resource.get("operation", [])}) is on


async def test_modes(served: Served) -> None:
    """normative: the normative types only. terminology: honestly, nothing. Others: refused."""
    normative = await _statement(served, "?mode=normative")
    assert {"Patient", "Observation"} <= {resource["type"] for resource in normative["rest"][0]["resource"]}
    assert len(normative["rest"][0]["resource"]) == 11
    terminology = await _statement(served, "?mode=terminology")
    assert terminology["resourceType"] == "TerminologyCapabilities"
    assert not {"codeSystem", "expansion", "validateCode", "translation", "closure"} & set(terminology)
    assert (await served.client.get("/fhir/metadata?mode=some")).status_code == 400


async def test_a_summary_of_it_is_smaller(served: Served) -> None:
    """As clients ask for that only want to know the version."""
    part = await _statement(served, "?_elements=fhirVersion")
    assert part["fhirVersion"] == "4.0.1"
    assert "rest" not in part


async def test_cors_is_told() -> None:
    """rest.security.cors."""
    for origins in ((), ("*",)):
        async with serving(Settings(cors_origins=origins)) as served:
            assert (await _statement(served))["rest"][0]["security"]["cors"] is bool(origins)


@pytest.mark.parametrize("path", ["/fhir/.well-known/smart-configuration", "/.well-known/smart-configuration"])
async def test_there_is_no_smart_configuration_while_there_is_no_authorization(served: Served, path: str) -> None:
    """404, so that no client takes this for a SMART server."""
    assert (await served.client.get(path)).status_code == 404


async def test_what_a_tenant_defines_is_claimed(served: Served) -> None:
    """For the types that it is about, once it can be searched; other types stay as the release has them."""
    before = (await served.client.get("/fhir/metadata")).headers["etag"]
    parameter = {
        "resourceType": "SearchParameter",
        "url": "http://example.org/SearchParameter/nickname",
        "name": "nickname",
        "status": "active",
        "description": "The nickname of a patient",
        "code": "nickname",
        "base": ["Patient"],
        "type": "string",
        "expression": "Patient.name.where(use = 'nickname').given",
    }
    assert (await served.client.post("/fhir/SearchParameter", json=parameter, headers=FHIR_JSON)).status_code == 201
    for _ in range(200):
        answer = await served.client.get("/fhir/Patient?nickname=x")
        if answer.status_code == 200:
            break
        assert answer.status_code in (501, 503), answer.text
        await asyncio.sleep(0.05)
    assert answer.status_code == 200
    told = await served.client.get("/fhir/metadata")
    assert told.headers["etag"] != before
    by_type = {one["type"]: one for one in told.json()["rest"][0]["resource"]}
    (found,) = [one for one in by_type["Patient"]["searchParam"] if one["name"] == "nickname"]
    assert (found["definition"], found["type"]) == (parameter["url"], "string")
    assert ":exact" in found["documentation"]
    assert "nickname" not in {one["name"] for one in by_type["Person"]["searchParam"]}
