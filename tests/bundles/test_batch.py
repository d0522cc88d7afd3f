"""A batch does each entry as a request of its own, answers in its order, and lets no failure spread."""

from __future__ import annotations

import asyncio

import pytest

from fhirstore import BundleOptions
from fhirstore.bundles.batch import run_batch
from fhirstore.bundles.entries import Entry, parse_entries
from fhirstore.bundles.results import Result
from fhirstore.fhir.definitions.load import definitions
from server.settings import Settings
from tests.bundles.asking import binary, entry, issue, patient, send, statuses
from tests.server.serving import FHIR_JSON, Served, serving

URN = "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb9"


async def test_each_entry_is_answered_in_its_place(served: Served) -> None:
    """create, update, delete, read, vread, history, each with the status it would have had on its own."""
    await served.client.put("/fhir/Patient/old", json=patient("old"), headers=FHIR_JSON)
    answer = await send(
        served,
        "batch",
        [
            entry("GET", "Patient/new"),
            entry("PUT", "Patient/new", patient("new")),
            entry("POST", "Patient", patient()),
            entry("DELETE", "Patient/old"),
            entry("GET", "Patient/old"),
            entry("GET", "Patient/old/_history/1"),
            entry("GET", "Patient/old/_history"),
            entry("HEAD", "Patient/new"),
            entry("DELETE", "Patient/never"),
        ],
    )
    body = answer.json()
    assert (body["resourceType"], body["type"]) == ("Bundle", "batch-response")
    assert statuses(answer) == [200, 201, 201, 204, 410, 200, 200, 200, 204]
    read, put, post, deleted, gone, vread, history, head, never = body["entry"]
    assert read["resource"]["id"] == "new"
    assert read["fullUrl"] == "http://testserver/fhir/Patient/new"
    assert put["response"]["location"] == "Patient/new/_history/1"
    assert put["response"]["etag"] == 'W/"1"'
    assert put["response"]["lastModified"] == read["resource"]["meta"]["lastUpdated"]
    assert "resource" not in put
    assert post["response"]["status"] == "201 Created"
    assert deleted["response"]["etag"] == 'W/"2"'
    assert issue(gone["response"]["outcome"])[0] == "deleted"
    assert vread["resource"]["meta"]["versionId"] == "1"
    assert [one["request"]["method"] for one in history["resource"]["entry"]] == ["DELETE", "PUT"]
    assert "resource" not in head
    assert "location" not in never["response"]


async def test_a_failing_entry_harms_no_other(served: Served) -> None:
    """What is malformed, unknown or in conflict is told in its place, with its expression."""
    answer = await send(
        served,
        "batch",
        [
            entry("PUT", "Patient/1", patient("1")),
            entry("PUT", "Patient/2", patient("1")),
            entry("PUT", "Patient/3", patient("3"), ifMatch='W/"7"'),
            entry("PUT", "Nothing/4", patient("4")),
            {},
            17,
            entry("POST", "Patient", {"resourceType": "Nothing"}),
            entry("POST", "", {"resourceType": "Bundle", "type": "batch"}),
            entry("PUT", "Patient/5", patient("5")),
        ],
    )
    assert statuses(answer) == [201, 400, 412, 404, 400, 400, 400, 501, 201]
    told = {n: issue(one["response"]["outcome"]) for n, one in enumerate(answer.json()["entry"]) if n not in (0, 8)}
    assert {n: where for n, (_, _, where) in told.items()} == {
        1: ["Bundle.entry[1].resource.id"],
        2: ["Bundle.entry[2]"],
        3: ["Bundle.entry[3].request.url"],
        4: ["Bundle.entry[4].request"],
        5: ["Bundle.entry[5]"],
        6: ["Bundle.entry[6].resource.resourceType"],
        7: ["Bundle.entry[7].request.url"],
    }


async def test_the_conditions_of_an_entry_count(served: Served) -> None:
    """ifMatch and ifNoneMatch on writes, ifNoneMatch and ifModifiedSince on reads."""
    await served.client.put("/fhir/Patient/1", json=patient("1"), headers=FHIR_JSON)
    answer = await send(
        served,
        "batch",
        [
            entry("GET", "Patient/1", ifNoneMatch='W/"1"'),
            entry("GET", "Patient/1", ifNoneMatch='W/"2"'),
            entry("GET", "Patient/1", ifModifiedSince="2100-01-01T00:00:00Z"),
            entry("GET", "Patient/1", ifModifiedSince="2000-01-01T00:00:00+02:00"),
            entry("GET", "Patient/1", ifModifiedSince="yesterday"),
            entry("PUT", "Patient/1", patient("1"), ifNoneMatch="*"),
            entry("DELETE", "Patient/1", ifMatch='W/"2"'),
        ],
    )
    assert statuses(answer) == [304, 200, 304, 200, 422, 412, 412]
    assert "resource" not in answer.json()["entry"][0]
    answer = await send(
        served,
        "batch",
        [
            entry("PUT", "Patient/1", patient("1"), ifMatch='W/"1"'),
            entry("PUT", "Patient/2", patient("2"), ifNoneMatch="*"),
            entry("PUT", "Patient/3", patient("3"), ifMatch="3"),
        ],
    )
    assert statuses(answer) == [200, 201, 400]


@pytest.mark.parametrize(
    ("prefer", "resource", "outcome"),
    [(None, False, False), ("return=minimal", False, False), ("return=representation", True, False),
     ("return=OperationOutcome", False, True)],
)  # fmt: skip
async def test_prefer_says_what_writes_return(
    served: Served, prefer: str | None, resource: bool, outcome: bool
) -> None:
    """Without a preference, and with minimal, the response alone."""
    headers = {} if prefer is None else {"Prefer": prefer}
    answer = await send(served, "batch", [entry("PUT", "Patient/1", patient("1", active=True))], headers)
    (one,) = answer.json()["entry"]
    assert (one.get("resource", {}).get("active", False), "outcome" in one["response"]) == (resource, outcome)


async def test_stored_bytes_go_out_as_they_are(served: Served) -> None:
    """A decimal in a Bundle's answer has the digits it was sent with."""
    body = b'{"resourceType":"Bundle","type":"batch","entry":[{"resource":{"resourceType":"Observation","id":"o",'
    body += b'"status":"final","code":{"text":"x"},"valueQuantity":{"value":1.00}},"request":{"method":"PUT",'
    body += b'"url":"Observation/o"}}]}'
    answer = await served.client.post("/fhir", content=body, headers=FHIR_JSON | {"Prefer": "return=representation"})
    assert b'"valueQuantity":{"value":1.00}' in answer.content
    read = await served.client.get("/fhir/Observation/o")
    assert read.content in answer.content


async def test_an_empty_batch_is_no_error(served: Served) -> None:
    """Its answer has no entry."""
    assert (await send(served, "batch", [])).json() == {"resourceType": "Bundle", "type": "batch-response"}


@pytest.mark.parametrize(
    "body",
    [
        patient(),
        {"resourceType": "Bundle", "type": "searchset", "entry": []},
        {"resourceType": "Bundle", "entry": []},
        {"resourceType": "Bundle", "type": "batch", "entry": {}},
    ],
)
async def test_what_is_no_batch_is_400(served: Served, body: object) -> None:
    """As is a Bundle of another type."""
    answer = await served.client.post("/fhir", json=body, headers=FHIR_JSON)
    assert answer.status_code == 400
    assert issue(answer.json())[2]


async def test_too_many_entries_are_413_and_nothing_is_done() -> None:
    """The message names the limit and the setting."""
    async with serving(Settings(max_bundle_entries=2)) as served:
        answer = await send(served, "batch", [entry("PUT", f"Patient/{n}", patient(str(n))) for n in range(3)])
        assert answer.status_code == 413
        code, text, _ = issue(answer.json())
        assert (code, "2 (FHIRSTORE_MAX_BUNDLE_ENTRIES)" in text) == ("too-long", True)
        assert (await served.client.get("/fhir/Patient/0")).status_code == 404


async def test_entries_that_refer_to_each_other_belong_in_a_transaction(served: Served) -> None:
    """The entry with the reference is refused, since it would lead nowhere."""
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    answer = await send(
        served,
        "batch",
        [
            entry("POST", "Patient", patient(), full_url=URN),
            entry("POST", "Observation", observation | {"subject": {"reference": URN}}),
            entry("POST", "Observation", observation),
        ],
    )
    assert statuses(answer) == [201, 400, 201]
    assert "transaction" in issue(answer.json()["entry"][1]["response"]["outcome"])[1]


async def test_an_idempotency_key_makes_it_happen_once(served: Served) -> None:
    """The same batch with the same key gets the first answer, whatever was written since; another body is refused."""
    key = {"Idempotency-Key": "k"}
    asked = [
        entry("POST", "Patient", patient(active=True)),
        entry("POST", "Patient", patient(active=True)),
        entry("PUT", "Patient/p", patient("p")),
        entry("DELETE", "Patient/later"),
        entry("POST", "Patient", patient(identifier=[{"value": "found"}]), ifNoneExist="identifier=found"),
    ]
    first = await send(served, "batch", asked, key)
    for id_ in ("p", "later", "found"):
        body = patient(id_, active=False, identifier=[{"value": id_}])
        await served.client.put(f"/fhir/Patient/{id_}", json=body, headers=FHIR_JSON)
    again = await send(served, "batch", asked, key)
    assert first.json() == again.json()
    assert statuses(first) == [201, 201, 201, 204, 201]
    assert len({one["response"]["location"] for one in first.json()["entry"] if "location" in one["response"]}) == 4
    for id_, version in (("p", "2"), ("later", "1")):
        assert (await served.client.get(f"/fhir/Patient/{id_}")).json()["meta"]["versionId"] == version
    other = await send(served, "batch", asked[1:], key)
    assert (other.status_code, other.json()["issue"][0]["code"]) == (422, "duplicate")


async def test_a_batch_that_is_sent_twice_at_one_time_is_done_once(served: Served) -> None:
    """A client that gave up waiting asks again while the first batch is under way."""
    asked = [entry("POST", "Patient", patient()), entry("PUT", "Patient/p", patient("p"))]
    answers = await asyncio.gather(*[send(served, "batch", asked, {"Idempotency-Key": "k"}) for _ in range(4)])
    assert {answer.content for answer in answers} == {answers[0].content}
    assert (await served.client.get("/fhir/Patient/p")).json()["meta"]["versionId"] == "1"


async def test_what_failed_is_tried_again_and_then_done_once(served: Served) -> None:
    """A receipt says of a failed entry that nothing came of it; when it succeeds, it says so."""
    key = {"Idempotency-Key": "k"}
    asked = [
        entry("PUT", "Patient/a", patient("a")),
        entry("PUT", "Patient/b", patient("b", active=True), ifMatch='W/"1"'),
        entry("GET", "Patient/nobody"),
        {"request": {"method": "GET"}},
    ]
    assert statuses(await send(served, "batch", asked, key)) == [201, 412, 404, 400]
    await served.client.put("/fhir/Patient/b", json=patient("b"), headers=FHIR_JSON)
    second = await send(served, "batch", asked, key)
    assert statuses(second) == [201, 200, 404, 400]
    await served.client.put("/fhir/Patient/b", json=patient("b"), headers=FHIR_JSON)
    assert (await send(served, "batch", asked, key)).json() == second.json()
    assert (await served.client.get("/fhir/Patient/b")).json()["meta"]["versionId"] == "3"


async def test_a_read_with_parameters_has_the_facts_and_conditions_of_a_read(served: Served) -> None:
    """ETag, time and fullUrl are there; what the client has already is 304."""
    await served.client.put("/fhir/Patient/a", json=patient("a", active=True), headers=FHIR_JSON)
    for kind in ("batch", "transaction"):
        asked = [
            entry("GET", "Patient/a?_elements=active"),
            entry("GET", "Patient/a?_elements=active", ifNoneMatch='W/"1"'),
            entry("HEAD", "Patient/a?_elements=active"),
        ]
        answer = await send(served, kind, asked)
        assert statuses(answer) == [200, 304, 200]
        whole, *bare = answer.json()["entry"]
        assert whole["fullUrl"].endswith("/fhir/Patient/a")
        assert whole["resource"]["meta"]["tag"][0]["code"] == "SUBSETTED"
        assert [one["response"]["etag"] for one in (whole, *bare)] == ['W/"1"'] * 3
        assert not any("resource" in one for one in bare)


async def test_a_search_entry_is_refused_like_the_search_itself(served: Served) -> None:
    """An unknown parameter of a history is told in the entry's place."""
    answer = await send(
        served, "batch", [entry("GET", "Patient/_history?nonsense=1"), entry("GET", "Patient/_history")]
    )
    assert statuses(answer) == [400, 200]


async def test_a_tenants_batch_stays_with_the_tenant() -> None:
    """Entries are relative to the tenant's base, and absolute below it; another tenant's is refused."""
    settings = Settings(tenant_source="path", tenants=frozenset({"a", "b"}))
    async with serving(settings) as served:
        bundle = {
            "resourceType": "Bundle",
            "type": "batch",
            "entry": [
                entry("PUT", "http://testserver/fhir/a/Patient/1", patient("1")),
                entry("PUT", "http://testserver/fhir/b/Patient/2", patient("2")),
                entry("GET", "Patient/_history"),
            ],
        }
        answer = await served.client.post("/fhir/a", json=bundle, headers=FHIR_JSON)
        assert statuses(answer) == [201, 400, 200]
        assert (await served.client.get("/fhir/b/Patient/1")).status_code == 404


async def test_conditional_entries_are_done_as_on_their_own(served: Served) -> None:
    """create, update, patch and delete by identifier."""
    for n in range(3):
        body = patient(str(n), identifier=[{"value": f"v{n}"}])
        await served.client.put(f"/fhir/Patient/{n}", json=body, headers=FHIR_JSON)
    answer = await send(
        served,
        "batch",
        [
            entry("POST", "Patient", patient(), ifNoneExist="identifier=v0"),
            entry("POST", "Patient", patient(identifier=[{"value": "v9"}]), ifNoneExist="identifier=v9"),
            entry("PUT", "Patient?identifier=v1", patient(identifier=[{"value": "v1"}])),
            entry("DELETE", "Patient?identifier=v2"),
            entry("PATCH", "Patient?identifier=v0", binary(b'[{"op":"add","path":"/active","value":true}]')),
            entry("DELETE", "Patient?name=x"),
            entry("GET", "Patient?identifier=v0"),
        ],
    )
    assert statuses(answer) == [200, 201, 200, 204, 200, 204, 200]
    assert answer.json()["entry"][0]["response"]["location"] == "Patient/0/_history/1"
    assert answer.json()["entry"][6]["resource"]["entry"][0]["resource"]["active"] is True


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_patches_come_as_parameters_or_binary(served: Served, kind: str) -> None:
    """FHIRPath Patch, JSON Patch and Merge Patch; a patch that cannot be applied is told with its place."""
    for n in range(3):
        await served.client.put(f"/fhir/Patient/{n}", json=patient(str(n)), headers=FHIR_JSON)
    part = [{"name": "type", "valueCode": "add"}, {"name": "path", "valueString": "Patient"}]
    part += [{"name": "name", "valueString": "active"}]
    operation = {"name": "operation", "part": [*part, {"name": "value", "valueBoolean": True}]}
    answer = await send(
        served,
        kind,
        [
            entry("PATCH", "Patient/0", {"resourceType": "Parameters", "parameter": [operation]}, ifMatch='W/"1"'),
            entry("PATCH", "Patient/1", binary(b'[{"op":"add","path":"/active","value":true}]')),
            entry("PATCH", "Patient/2", binary(b'{"active":true}', "application/merge-patch+json")),
        ],
        {"Prefer": "return=representation"},
    )
    assert statuses(answer) == [200, 200, 200]
    assert [one["resource"]["active"] for one in answer.json()["entry"]] == [True] * 3
    bad = [
        (entry("PATCH", "Patient/0", binary(b'[{"op":"test","path":"/active","value":false}]')), 422),
        (entry("PATCH", "Patient/0", binary(b"{}", "text/plain")), 400),
        (entry("PATCH", "Patient/0", binary(b"{}") | {"data": "?"}), 400),
        (entry("PATCH", "Patient/0", patient("0")), 400),
        (entry("PATCH", "Patient/never", binary(b"[]")), 404),
        (entry("PATCH", "Patient/0", binary(b"[]"), ifMatch='W/"1"'), 412),
    ]
    for one, status in bad:
        answer = await send(served, kind, [one])
        found = answer.json()["entry"][0]["response"]["outcome"] if kind == "batch" else answer.json()
        assert (statuses(answer) if kind == "batch" else [answer.status_code]) == [status], answer.text
        assert issue(found)[2][0].startswith("Bundle.entry[0]")


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize(
    ("resource", "place"),
    [
        (patient("0"), "resource"),
        (binary(b"{}", "text/plain"), "resource.contentType"),
        (binary(b"[]") | {"data": "?"}, "resource.data"),
        (binary(b"[]") | {"data": "ä"}, "resource.data"),
    ],
)
async def test_a_resource_that_carries_no_patch_is_told_with_its_place(
    served: Served, kind: str, resource: dict[str, object], place: str
) -> None:
    """As a batch's entry or as the whole answer to a transaction; data outside of ASCII is no error of the server's."""
    await served.client.put("/fhir/Patient/0", json=patient("0"), headers=FHIR_JSON)
    answer = (await send(served, kind, [entry("PATCH", "Patient/0", resource)])).json()
    found = answer["entry"][0]["response"]["outcome"] if kind == "batch" else answer
    code, _, expression = issue(found)
    assert (code, expression) == ("value", [f"Bundle.entry[0].{place}"])


# --- the runner ---------------------------------------------------------------------------------------------


def parsed(*entries: dict[str, object]) -> list[Entry]:
    return [one for one in parse_entries(entries, types=definitions().resources) if isinstance(one, Entry)]


async def test_no_more_than_so_many_are_under_way_and_all_end() -> None:
    """Concurrency is bounded, and used."""
    now = most = 0

    async def perform(one: Entry) -> Result:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        return Result(one)

    entries = parsed(*[entry("PUT", f"Patient/{n}", patient(str(n))) for n in range(100)])
    results = await run_batch(entries, perform, definitions=definitions("4.0"), options=BundleOptions(at_once=7))
    assert [result.entry for result in results] == entries
    assert most == 7


async def test_entries_on_one_resource_go_one_after_another() -> None:
    """In processing order; those on other resources go on meanwhile."""
    log: list[int] = []

    async def perform(one: Entry) -> Result:
        log.append(one.index)
        await asyncio.sleep(0.001)
        log.append(one.index)
        return Result(one)

    asked = [("PUT", "1"), ("PUT", "2"), ("PUT", "1"), ("DELETE", "1")]
    entries = parsed(*[entry(method, f"Patient/{id_}", patient(id_)) for method, id_ in asked])
    await run_batch(entries, perform, definitions=definitions("4.0"), options=BundleOptions())
    assert log[:2] == [3, 3]
    assert log.index(0, log.index(0) + 1) < log.index(2)
    assert log[2:4] == [0, 1]


async def test_reads_stop_at_their_limit() -> None:
    """Once entries have brought more than `max_read` bytes the next ones are refused, patches too; other writes are
    not concerned."""

    async def perform(one: Entry) -> Result:
        return Result(one, content=b"x" * 60)

    for bringing in (entry("GET", "Patient"), entry("PATCH", "Patient/1", binary(b"[]"))):
        entries = parsed(*[bringing] * 4, entry("PUT", "Patient/2", patient("2")), entry("DELETE", "Patient/3"))
        options = BundleOptions(at_once=1, max_read=100)
        results = await run_batch(entries, perform, definitions=definitions("4.0"), options=options)
        assert [result.error is None for result in results] == [True, True, False, False, True, True]
