"""What is written on criteria meets them, alone, in a batch and in a transaction; one condition makes one resource."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bundles.asking import binary, entry, issue, patient, send, statuses
from tests.server.serving import FHIR_JSON, Served

URN, OTHER = "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb9", "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a"
COMMA = "3 characters in any system", "2 alternatives", "\\,"

UNMET = [
    ("identifier=urn:s|foo,bar", "foo,bar", COMMA),
    ("identifier=urn:s|2026%2B0800", "2026 0800", ("9 characters",)),
    ("identifier=urn:s|2+08", "2+08", ("4 characters", "a plus sign is written %2B")),
    ("identifier=|foo", "foo", ("without a system",)),
    ("identifier=urn:t|foo", "foo", ("a system of 5 characters with a value of 3",)),
    ("_id=another", "foo", ("its id is another one",)),
]


def identified(value: str = "1", /, **more: object) -> dict[str, object]:
    return patient(identifier=[{"system": "urn:s", "value": value}], **more)


async def ask(served: Served, way: str, method: str, criteria: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Status and OperationOutcome, of a conditional create (POST) or update (PUT)."""
    if way == "alone":
        headers = FHIR_JSON | ({"If-None-Exist": criteria} if method == "POST" else {})
        url = "/fhir/Patient" if method == "POST" else f"/fhir/Patient?{criteria}"
        answer = await served.client.request(method, url, json=body, headers=headers)
        return answer.status_code, answer.json()
    one = (
        entry("POST", "Patient", body, ifNoneExist=criteria)
        if method == "POST"
        else entry("PUT", f"Patient?{criteria}", body)
    )
    answer = await send(served, way, [one])
    if way == "batch":
        return statuses(answer)[0], answer.json()["entry"][0]["response"]["outcome"]
    return answer.status_code, answer.json()


async def total(served: Served) -> int:
    return int((await served.client.get("/fhir/Patient?_summary=count")).json()["total"])


@pytest.mark.parametrize("way", ["alone", "batch", "transaction"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(("criteria", "value", "told"), UNMET)
async def test_a_body_that_does_not_meet_its_own_criteria_is_refused(
    served: Served, way: str, method: str, criteria: str, value: str, told: tuple[str, ...]
) -> None:
    """400, with how the criteria were read and without their values; nothing is written, however often."""
    for _ in range(2):
        status, outcome = await ask(served, way, method, criteria, identified(value))
        code, text, where = issue(outcome)
        assert (status, code) == (400, "invalid"), text
        assert where[0].endswith((".identifier", ".id"))
        assert all(part in text for part in told), text
        assert value not in text
    assert await total(served) == 0


@pytest.mark.parametrize("way", ["alone", "batch", "transaction"])
async def test_an_update_must_go_on_meeting_its_criteria(served: Served, way: str) -> None:
    """A match is not made one that the same request would miss next time; a create leaves a match as it is."""
    await served.client.put("/fhir/Patient/1", json=identified(id="1"), headers=FHIR_JSON)
    status, _ = await ask(served, way, "PUT", "identifier=urn:s|1", identified("2"))
    assert status == 400
    url = "/fhir/Patient/1"
    assert (await served.client.get(url)).json()["meta"]["versionId"] == "1"
    headers = FHIR_JSON | {"If-None-Exist": "identifier=urn:s|1"}
    assert (await served.client.post("/fhir/Patient", json=identified("2"), headers=headers)).status_code == 200
    assert (await served.client.put("/fhir/Patient?_id=1", json=patient(), headers=FHIR_JSON)).status_code == 200


@pytest.mark.parametrize("way", ["alone", "batch", "transaction"])
async def test_a_patch_that_matches_nothing_is_told_how_its_criteria_were_read(served: Served, way: str) -> None:
    """404: a patch creates nothing, and so makes no duplicate; it may take away what it was found by."""
    await served.client.put("/fhir/Patient/1", json=identified(id="1"), headers=FHIR_JSON)
    patch, media_type = b'{"identifier":[{"system":"urn:s","value":"2"}]}', "application/merge-patch+json"

    async def patched(criteria: str) -> tuple[int, str]:
        if way == "alone":
            headers = {"Content-Type": media_type}
            answer = await served.client.patch(f"/fhir/Patient?{criteria}", content=patch, headers=headers)
            return answer.status_code, answer.text
        answer = await send(served, way, [entry("PATCH", f"Patient?{criteria}", binary(patch, media_type))])
        return statuses(answer)[0] if answer.is_success else answer.status_code, answer.text

    status, text = await patched("identifier=urn:s|1+2")
    assert (status, "a plus sign is written %2B" in text) == (404, True)
    assert [(await patched("identifier=urn:s|1"))[0] for _ in range(2)] == [200, 404]


@pytest.mark.parametrize("way", ["alone", "batch", "transaction"])
async def test_a_conditional_update_does_not_overwrite_a_resource_that_does_not_match(served: Served, way: str) -> None:
    """409 where nothing matches and the id in the body has a resource, as in R5; created where it has none."""
    await served.client.put("/fhir/Patient/a", json=patient("a"), headers=FHIR_JSON)
    status, outcome = await ask(served, way, "PUT", "identifier=urn:s|1", identified(id="a"))
    assert (status, issue(outcome)[0]) == (409, "conflict")
    assert (await served.client.get("/fhir/Patient/a")).json()["meta"]["versionId"] == "1"
    answer = await served.client.put("/fhir/Patient?identifier=urn:s|1", json=identified(id="b"), headers=FHIR_JSON)
    assert (answer.status_code, answer.json()["id"]) == (201, "b")


async def test_two_entries_with_one_condition_make_one_resource(served: Served) -> None:
    """The second is answered 200 with what the first makes, and links to either lead there; so again when it exists."""
    condition = "identifier=urn:s|1"
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "Pulse"}}
    asked = [
        *[entry("POST", "Observation", observation | {"subject": {"reference": urn}}) for urn in (URN, OTHER)],
        entry("POST", "Patient", identified(active=True), full_url=URN, ifNoneExist=condition),
        entry("POST", "Patient", identified(active=False), full_url=OTHER, ifNoneExist="identifier=urn:s%7C1"),
        entry("POST", "Observation", observation | {"subject": {"reference": f"Patient?{condition}"}}),
    ]
    for expected in ([201, 200], [200, 200]):
        answer = await send(served, "transaction", asked, {"Prefer": "return=representation"})
        assert statuses(answer) == [201, 201, *expected, 201]
        one, two, first, second, three = answer.json()["entry"]
        assert first["response"]["location"] == second["response"]["location"]
        assert first["resource"] == second["resource"]
        assert first["resource"]["active"] is True
        made = f"Patient/{first['resource']['id']}"
        assert [each["resource"]["subject"]["reference"] for each in (one, two, three)] == [made] * 3
    assert await total(served) == 1


async def test_a_conditional_create_finds_what_another_entry_creates(served: Served) -> None:
    """Created without a condition, or on another one that was met before; several are ambiguous."""
    both = [{"system": "urn:s", "value": value} for value in "12"]
    answer = await send(
        served,
        "transaction",
        [
            entry("POST", "Patient", patient(identifier=both[1:]), ifNoneExist="identifier=urn:s|2"),
            entry("POST", "Patient", patient(identifier=both)),
            entry("POST", "Patient", patient(identifier=both[:1]), ifNoneExist="identifier=urn:s|1"),
        ],
    )
    assert statuses(answer) == [200, 201, 200]
    assert await total(served) == 1
    more = [entry("POST", "Patient", identified("9"))] * 2
    answer = await send(
        served, "transaction", [*more, entry("POST", "Patient", identified("9"), ifNoneExist="identifier=urn:s|9")]
    )
    assert (answer.status_code, issue(answer.json())[2]) == (412, ["Bundle.entry[2].request.ifNoneExist"])
    assert await total(served) == 1


async def test_a_transaction_with_two_entries_of_one_condition_is_done_once(served: Served) -> None:
    """Its receipt tells of the second entry, too: repeated, the transaction is answered as before."""
    asked = [entry("POST", "Patient", identified(), ifNoneExist="identifier=urn:s|1")] * 2
    answers = [await send(served, "transaction", asked, {"Idempotency-Key": "k"}) for _ in range(2)]
    assert [statuses(answer) for answer in answers] == [[201, 200]] * 2
    assert answers[0].json() == answers[1].json()
