"""Links that a PATCH entry brings are settled in every form, or the entry is refused; none is stored as a urn."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.bundles.asking import binary, entry, issue, patient, send, statuses
from tests.server.serving import FHIR_JSON, Served

URN = "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb9"
FAR = "http://elsewhere.org/fhir/Patient/far"
SEARCH = "Patient?identifier=http://x|1"
MERGE = "application/merge-patch+json"
OBSERVATION = {
    "resourceType": "Observation",
    "id": "o",
    "status": "final",
    "code": {"text": "Pulse"},
    "subject": {"reference": "Patient/before"},
}


def operation(kind: str, path: str, value: dict[str, Any], name: str | None = None) -> dict[str, Any]:
    """A FHIRPath Patch of one operation; `value`: the members of its value part."""
    part: list[dict[str, Any]] = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    part += [] if name is None else [{"name": "name", "valueString": name}]
    part.append({"name": "value", **value})
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": part}]}


def json_patch(*operations: dict[str, Any]) -> dict[str, object]:
    """A JSON Patch in a Binary."""
    return binary(json.dumps(operations).encode())


def forms(link: str) -> dict[str, dict[str, Any]]:
    """A patch of each form that makes `link` the subject of an Observation."""
    reference = {"reference": link}
    return {
        "JSON Patch, replace": json_patch({"op": "replace", "path": "/subject", "value": reference}),
        "JSON Patch, the text": json_patch({"op": "replace", "path": "/subject/reference", "value": link}),
        "JSON Patch, copied": json_patch(
            {"op": "add", "path": "/focus", "value": [reference]},
            {"op": "copy", "from": "/focus/0", "path": "/subject"},
        ),
        "Merge Patch": binary(json.dumps({"subject": reference}).encode(), MERGE),
        "valueReference": operation("replace", "Observation.subject", {"valueReference": reference}),
        "parts": operation("replace", "Observation.subject", {"part": [{"name": "reference", "valueString": link}]}),
        "valueString": operation("replace", "Observation.subject.reference", {"valueString": link}),
        "valueUri": operation("replace", "Observation.subject.reference", {"valueUri": link}),
        "valueUrl": operation("replace", "Observation.subject.reference", {"valueUrl": link}),
        "nested parts": operation(
            "add",
            "Observation",
            {"part": [{"name": "code", "valueCodeableConcept": {"text": "x"}},
                      {"name": "extension", "part": [{"name": "url", "valueUri": "http://x"},
                                                     {"name": "value", "valueReference": reference}]}]},
            "component",
        ),
    }  # fmt: skip


async def put(served: Served, *resources: dict[str, Any]) -> None:
    for resource in resources:
        url = f"/fhir/{resource['resourceType']}/{resource['id']}"
        assert (await served.client.put(url, json=resource, headers=FHIR_JSON)).status_code == 201


async def stored(served: Served) -> str:
    return (await served.client.get("/fhir/Observation/o")).text


@pytest.mark.parametrize("full_url", [URN, FAR])
@pytest.mark.parametrize("form", forms(URN))
async def test_a_link_to_an_entry_is_rewritten_in_every_form_of_a_patch(
    served: Served, form: str, full_url: str
) -> None:
    """By the entry's urn, or by the URL that it has elsewhere."""
    await put(served, OBSERVATION)
    entries = [
        entry("PATCH", "Observation/o", forms(full_url)[form]),
        entry("POST", "Patient", patient(), full_url=full_url),
    ]
    answer = await send(served, "transaction", entries)
    assert statuses(answer) == [200, 201]
    made = answer.json()["entry"][1]["response"]["location"].partition("/_history")[0]
    assert f'"reference":"{made}"' in await stored(served)
    assert full_url not in await stored(served)


@pytest.mark.parametrize("form", forms(SEARCH))
async def test_a_reference_by_search_is_resolved_in_every_form_of_a_patch(served: Served, form: str) -> None:
    """What it matches is written in its place; where nothing matches, all is refused with its place."""
    await put(served, OBSERVATION)
    answer = await send(served, "transaction", [entry("PATCH", "Observation/o", forms(SEARCH)[form])])
    assert (answer.status_code, issue(answer.json())[0]) == (412, "not-found")
    assert issue(answer.json())[2][0].startswith("Bundle.entry[0].resource.")
    await put(served, patient("p", identifier=[{"system": "http://x", "value": "1"}]))
    answer = await send(served, "transaction", [entry("PATCH", "Observation/o", forms(SEARCH)[form])])
    assert statuses(answer) == [200]
    assert '"reference":"Patient/p"' in await stored(served)
    assert SEARCH not in await stored(served)


@pytest.mark.parametrize("link", [URN, SEARCH])
@pytest.mark.parametrize("form", forms(URN))
async def test_a_batch_refuses_a_patch_with_a_link_that_takes_a_transaction(
    served: Served, form: str, link: str
) -> None:
    """In every form: the entry is refused with a reason, and the resource stays as it is."""
    await put(served, OBSERVATION, patient("p", identifier=[{"system": "http://x", "value": "1"}]))
    entries = [
        entry("PATCH", "Observation/o", forms(link)[form]),
        entry("POST", "Patient", patient(), full_url=URN),
    ]
    answer = await send(served, "batch", entries)
    assert statuses(answer) == [400, 201]
    code, text, where = issue(answer.json()["entry"][0]["response"]["outcome"])
    assert (code, "transaction" in text) == ("not-supported", True)
    assert where[0].startswith("Bundle.entry[0].resource.")
    assert '"versionId":"1"' in await stored(served)


async def test_text_that_is_no_link_stays_as_the_patch_has_it(served: Served) -> None:
    """A display that looks like a search, an identifier that is the urn of an entry, what the patch leaves alone."""
    await put(served, OBSERVATION)
    identifier = {"system": "urn:ietf:rfc:3986", "value": URN}
    patch = json_patch(
        {"op": "add", "path": "/subject/display", "value": "Patient?identifier=none"},
        {"op": "add", "path": "/identifier", "value": [identifier]},
        {"op": "add", "path": "/code/text", "value": "Really? Yes"},
    )
    entries = [entry("PATCH", "Observation/o", patch), entry("POST", "Patient", patient(), full_url=URN)]
    assert statuses(await send(served, "transaction", entries)) == [200, 201]
    found = json.loads(await stored(served))
    assert found["subject"] == {"reference": "Patient/before", "display": "Patient?identifier=none"}
    assert (found["identifier"], found["code"]) == ([identifier], {"text": "Really? Yes"})


async def test_a_relative_reference_that_was_there_before_is_this_servers(served: Served) -> None:
    """Only what the patch brings is relative to the base of its entry's fullUrl."""
    await put(served, OBSERVATION | {"subject": {"reference": "Patient/far"}})
    patch = json_patch({"op": "add", "path": "/performer", "value": [{"reference": "Patient/far"}]})
    entries = [entry("POST", "Patient", patient(), full_url=FAR)]
    touching = json_patch({"op": "add", "path": "/code/text", "value": "x"})
    url = "http://elsewhere.org/fhir/Observation/o"
    answer = await send(served, "transaction", [*entries, entry("PATCH", "Observation/o", touching, full_url=url)])
    assert statuses(answer) == [201, 200]
    assert json.loads(await stored(served))["subject"] == {"reference": "Patient/far"}
    answer = await send(served, "transaction", [*entries, entry("PATCH", "Observation/o", patch, full_url=url)])
    made = answer.json()["entry"][0]["response"]["location"].partition("/_history")[0]
    assert json.loads(await stored(served))["performer"] == [{"reference": made}]


@pytest.mark.parametrize("brings", ["put", "patch", "before"])
async def test_no_reference_is_stored_that_names_an_entry_of_which_nothing_is_left(served: Served, brings: str) -> None:
    """A link to an entry that deletes: the transaction is refused, whether it is brought or was there before."""
    linked = OBSERVATION | {"subject": {"reference": URN}}
    await put(served, linked if brings == "before" else OBSERVATION, patient("old"))
    change = {
        "put": entry("PUT", "Observation/o", linked),
        "patch": entry("PATCH", "Observation/o", forms(URN)["valueString"]),
        "before": entry("PATCH", "Observation/o", json_patch({"op": "add", "path": "/code/text", "value": "x"})),
    }[brings]
    answer = await send(served, "transaction", [change, entry("DELETE", "Patient/old", full_url=URN)])
    assert (answer.status_code, issue(answer.json())[0]) == (400, "not-found")
    assert issue(answer.json())[2] == ["Bundle.entry[0].resource.subject.reference"]
    assert (await served.client.get("/fhir/Patient/old")).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PUT?"])
async def test_a_reference_by_search_in_a_batch_is_refused(served: Served, method: str) -> None:
    """Nothing resolves it there, and it would be stored as it is."""
    brought = OBSERVATION | {"subject": {"reference": SEARCH}, "identifier": [{"value": "1"}]}
    url = {"POST": "Observation", "PUT": "Observation/o", "PUT?": "Observation?identifier=1"}[method]
    answer = await send(served, "batch", [entry(method.rstrip("?"), url, brought)])
    assert statuses(answer) == [400]
    code, text, where = issue(answer.json()["entry"][0]["response"]["outcome"])
    assert (code, "transaction" in text, where) == (
        "not-supported",
        True,
        ["Bundle.entry[0].resource.subject.reference"],
    )
