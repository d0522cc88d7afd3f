"""A transaction does all its entries or none, at one instant, whatever their order."""

from __future__ import annotations

import asyncio
import random

import pytest

from fhirstore.objects.base import Condition, Written
from fhirstore.objects.facts import Facts
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.faulty import FaultRates, FaultyStore
from tests.bundles.asking import binary, entry, issue, patient, send, statuses
from tests.server.serving import FHIR_JSON, Served, serving

URN = "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb9"
OTHER = "urn:uuid:88f151c0-a954-468a-88bd-5ae15c08e059"
IDENTIFIED: dict[str, object] = {"identifier": [{"system": "http://x", "value": "1"}]}


def observation(subject: str, **more: object) -> dict[str, object]:
    return {
        "resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"reference": subject}
    } | more  # fmt: skip


async def put(served: Served, *resources: dict[str, object]) -> None:
    for resource in resources:
        url = f"/fhir/{resource['resourceType']}/{resource['id']}"
        assert (await served.client.put(url, json=resource, headers=FHIR_JSON)).status_code in (200, 201)


async def everything(served: Served) -> list[tuple[str, str]]:
    """What happened, newest first: method and url."""
    body = (await served.client.get("/fhir/_history?_count=100")).json()
    return [
        (one["request"]["method"], one["fullUrl"].removeprefix("http://testserver/fhir/"))
        for one in body.get("entry", [])
    ]


async def test_all_entries_are_done_and_answered_in_their_places(served: Served) -> None:
    """Reads see the state after the writes, wherever they stand in the Bundle."""
    await put(served, patient("old"), patient("kept"))
    answer = await send(
        served,
        "transaction",
        [
            entry("GET", "Patient/new"),
            entry("PUT", "Patient/new", patient("new")),
            entry("GET", "Patient/kept"),
            entry("POST", "Patient", patient("ignored")),
            entry("DELETE", "Patient/old"),
            entry("PUT", "Patient/kept", patient("kept", active=True), ifMatch='W/"1"'),
            entry("DELETE", "Patient/never"),
            entry("GET", "Patient/kept/_history"),
        ],
    )
    assert answer.json()["type"] == "transaction-response"
    assert statuses(answer) == [200, 201, 200, 201, 204, 200, 204, 200]
    new, put_, kept, post, deleted, updated, never, history = answer.json()["entry"]
    assert new["resource"]["id"] == "new"
    assert kept["resource"]["active"] is True
    assert put_["response"]["location"] == "Patient/new/_history/1"
    assert updated["response"]["etag"] == 'W/"2"'
    assert deleted["response"]["etag"] == 'W/"2"'
    assert "etag" not in never["response"]
    assert [one["resource"]["meta"]["versionId"] for one in history["resource"]["entry"]] == ["2", "1"]
    assert len({one["response"]["lastModified"] for one in (put_, post, updated, deleted)}) == 1
    location = post["response"]["location"].removesuffix("/_history/1")
    assert location != "Patient/ignored"
    assert (await served.client.get(f"/fhir/{location}")).status_code == 200
    assert (await served.client.get("/fhir/Patient/old")).status_code == 410


@pytest.mark.parametrize(
    ("bad", "status", "where"),
    [
        (entry("PUT", "Patient/2", patient("2"), ifMatch='W/"7"'), 412, "Bundle.entry[1]"),
        (entry("PUT", "Patient/2", patient("3")), 400, "Bundle.entry[1].resource.id"),
        (entry("PUT", "Patient/2", patient()), 400, "Bundle.entry[1].resource.id"),
        (entry("PUT", "Patient/2", patient("2"), ifMatch="7"), 400, "Bundle.entry[1].request.ifMatch"),
        (entry("POST", "Patient", {"resourceType": "Observation"}), 400, "Bundle.entry[1].resource.resourceType"),
        (entry("GET", "Patient/never"), 404, "Bundle.entry[1]"),
        (entry("GET", "Patient/1/_history/9"), 404, "Bundle.entry[1]"),
        (entry("GET", "Patient/gone"), 410, "Bundle.entry[1]"),
        (entry("GET", "Patient/_history?nonsense=1"), 400, "Bundle.entry[1]"),
        (entry("POST", "", {"resourceType": "Bundle", "type": "batch"}), 501, "Bundle.entry[1].request.url"),
        (entry("PUT", "Patient/new", patient("new")), 400, "Bundle.entry[1]"),
        (entry("DELETE", "Patient/new"), 400, "Bundle.entry[1]"),
        (entry("PUT", "Patient?_id=1,2", patient()), 412, "Bundle.entry[1].request.url"),
        (entry("DELETE", "Patient?_id=1,2"), 412, "Bundle.entry[1].request.url"),
        (entry("PATCH", "Patient?_id=never", {"resourceType": "Parameters"}), 404, "Bundle.entry[1].request.url"),
        (entry("PUT", "Patient?_id=1", patient("2")), 400, "Bundle.entry[1].resource.id"),
        (entry("PUT", "Patient?nope=x", patient("2")), 400, "Bundle.entry[1]"),
        (entry("PUT", "Patient?_filter=x", patient("2")), 501, "Bundle.entry[1]"),
        (entry("PUT", "Patient?name=x", patient("2")), 400, "Bundle.entry[1].resource"),
        (entry("PUT", "Patient/2", patient("2"), ifNoneMatch="*"), 412, "Bundle.entry[1]"),
        ({}, 400, "Bundle.entry[1].request"),
    ],
)
async def test_one_bad_entry_refuses_all(served: Served, bad: object, status: int, where: str) -> None:
    """The answer is one OperationOutcome that names the entry, and nothing was written."""
    await put(served, patient("1"), patient("2"), patient("gone"))
    await served.client.delete("/fhir/Patient/gone")
    before = await everything(served)
    answer = await send(served, "transaction", [entry("PUT", "Patient/new", patient("new")), bad])
    assert (answer.status_code, issue(answer.json())[2][0]) == (status, where), answer.text
    assert await everything(served) == before


async def test_all_malformed_entries_are_told_at_once(served: Served) -> None:
    """So that a client need not fix one after the other."""
    answer = await send(
        served, "transaction", [{}, entry("PUT", "Patient/1", patient("1")), entry("PUT", "Patient", patient())]
    )
    assert [one["expression"] for one in answer.json()["issue"]] == [
        ["Bundle.entry[0].request"],
        ["Bundle.entry[2].request.url"],
    ]


async def test_a_read_of_what_the_transaction_deletes_refuses_all(served: Served) -> None:
    """It could only be answered 410."""
    await put(served, patient("1"))
    answer = await send(served, "transaction", [entry("GET", "Patient/1"), entry("DELETE", "Patient/1")])
    assert answer.status_code == 410
    assert (await served.client.get("/fhir/Patient/1")).status_code == 200


async def test_what_breaks_the_rules_of_fhir_is_told_for_all_entries(served: Served) -> None:
    """422, with the place of every error; nothing is written."""
    asked = [
        entry("PUT", "Patient/1", patient("1", active="yes")),
        entry("PUT", "Patient/2", patient("2")),
        entry("POST", "Patient", patient(birthDate="yesterday")),
    ]
    answer = await send(served, "transaction", asked)
    assert answer.status_code == 422
    places = [one["expression"][0] for one in answer.json()["issue"]]
    assert places == ["Bundle.entry[0].resource.active", "Bundle.entry[2].resource.birthDate"]
    assert await everything(served) == []


async def test_bundles_come_and_go_as_xml(served: Served) -> None:
    """In the form that is sent, and in the one that is asked for."""
    body = f"""<Bundle xmlns="http://hl7.org/fhir"><type value="transaction"/>
      <entry><fullUrl value="{URN}"/><resource><Patient><active value="true"/></Patient></resource>
        <request><method value="POST"/><url value="Patient"/></request></entry>
      <entry><resource><Observation><id value="o"/><status value="final"/><code><text value="x"/></code>
        <subject><reference value="{URN}"/></subject></Observation></resource>
        <request><method value="PUT"/><url value="Observation/o"/></request></entry></Bundle>"""
    headers = {"Content-Type": "application/fhir+xml", "Accept": "application/fhir+xml", "Prefer": "return=minimal"}
    answer = await served.client.post("/fhir", content=body, headers=headers)
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "return=minimal")
    assert answer.text.count('<status value="201 Created"/>') == 2
    assert (await served.client.get("/fhir/Observation/o")).json()["subject"]["reference"].startswith("Patient/")


# --- links --------------------------------------------------------------------------------------------------


async def test_links_between_entries_are_followed_whichever_comes_first(served: Served) -> None:
    """Also in circles, with versions and fragments, and to what is updated or conditionally created."""
    await put(served, patient("known", **IDENTIFIED))
    answer = await send(
        served,
        "transaction",
        [
            entry("POST", "Observation", observation(URN, hasMember=[{"reference": f"{OTHER}/_history/5"}])),
            entry("POST", "Patient", patient(link=[{"other": {"reference": URN}, "type": "seealso"}]), full_url=URN),
            entry("PUT", "Observation/put", observation("urn:uuid:known") | {"id": "put"}, full_url=OTHER),
            entry("POST", "Patient", patient(), full_url="urn:uuid:known", ifNoneExist="identifier=http://x|1"),
            entry("GET", "Observation/put"),
        ],
        {"Prefer": "return=representation"},
    )
    assert statuses(answer) == [201, 201, 201, 200, 200]
    one, made, put_, found, read = [each["resource"] for each in answer.json()["entry"]]
    assert one["subject"]["reference"] == f"Patient/{made['id']}"
    assert one["hasMember"][0]["reference"] == "Observation/put/_history/5"
    assert made["link"][0]["other"]["reference"] == f"Patient/{made['id']}"
    assert put_["subject"]["reference"] == "Patient/known"
    assert read == put_
    assert (found["id"], found["meta"]["versionId"]) == ("known", "1")


async def test_a_link_makes_no_resource_that_is_refused(served: Served) -> None:
    """`Type/id` may stand where a link to an entry stood, with its fragment; where it may not, the link stays."""
    urn = "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb9"
    extensions = [{"url": "http://x", "valueUuid": urn}, {"url": "http://x", "valueUri": urn}]
    asked = [
        entry("PUT", "Patient/p", patient("p"), full_url=urn),
        entry("POST", "Observation", observation(f"{urn}#part") | {"extension": extensions}),
    ]
    answer = await send(served, "transaction", asked, {"Prefer": "return=representation"})
    assert statuses(answer) == [201, 201]
    stored = answer.json()["entry"][1]["resource"]
    assert stored["subject"] == {"reference": "Patient/p#part"}
    assert [extension.popitem()[1] for extension in stored["extension"]] == [urn, "Patient/p"]


async def test_references_by_search_are_resolved(served: Served) -> None:
    """Against the store, and against what the transaction itself writes."""
    await put(served, patient("known", **IDENTIFIED))
    new = patient(identifier=[{"system": "http://x", "value": "2"}])
    answer = await send(
        served,
        "transaction",
        [
            entry("POST", "Observation", observation("Patient?identifier=http://x|1")),
            entry("POST", "Observation", observation("Patient?identifier=http://x|2")),
            entry("POST", "Patient", new),
        ],
        {"Prefer": "return=representation"},
    )
    assert statuses(answer) == [201, 201, 201]
    first, second, made = [each["resource"] for each in answer.json()["entry"]]
    assert first["subject"]["reference"] == "Patient/known"
    assert second["subject"]["reference"] == f"Patient/{made['id']}"


@pytest.mark.parametrize(
    ("search", "status", "code"),
    [
        ("Patient?identifier=http://x|9", 412, "not-found"),
        ("Patient?identifier=http://x|1", 412, "multiple-matches"),
        ("Patient?name=x", 412, "not-found"),
        ("Patient?nope=x", 400, "invalid"),
        ("Patient?_filter=x", 501, "not-supported"),
        ("Patient?identifier=", 400, "value"),
        ("Patiens?identifier=1", 404, "not-supported"),
    ],
)
async def test_a_reference_by_search_must_match_one(served: Served, search: str, status: int, code: str) -> None:
    """None or several refuse the transaction, with the place of the reference."""
    await put(served, patient("1", **IDENTIFIED), patient("2", **IDENTIFIED))
    answer = await send(served, "transaction", [entry("POST", "Observation", observation(search))])
    assert answer.status_code == status
    told, _, where = issue(answer.json())
    assert (told, where) == (code, ["Bundle.entry[0].resource.subject.reference"])
    assert len(await everything(served)) == 2


async def test_a_reference_by_search_does_not_see_what_the_transaction_takes_away(served: Served) -> None:
    """A deleted match is none, and so is one that loses the identifier."""
    await put(served, patient("1", **IDENTIFIED), patient("2", **IDENTIFIED), patient("3", **IDENTIFIED))
    answer = await send(
        served,
        "transaction",
        [
            entry("DELETE", "Patient/1"),
            entry("PUT", "Patient/2", patient("2")),
            entry("PUT", "Observation/o", observation("Patient?identifier=http://x|1") | {"id": "o"}),
        ],
    )
    assert statuses(answer) == [204, 200, 201]
    assert (await served.client.get("/fhir/Observation/o")).json()["subject"]["reference"] == "Patient/3"


# --- conditional entries ------------------------------------------------------------------------------------


async def test_a_reference_by_search_finds_what_the_transaction_patches(served: Served) -> None:
    """A patch seldom takes away an identifier, so what is patched is found as it was."""
    await put(served, patient("p", **IDENTIFIED))
    patch = binary(b'[{"op":"add","path":"/active","value":true}]')
    asked = [
        entry("PATCH", "Patient/p", patch),
        entry("POST", "Observation", observation("Patient?identifier=http://x|1")),
    ]
    answer = await send(served, "transaction", asked, {"Prefer": "return=representation"})
    assert statuses(answer) == [200, 201]
    assert answer.json()["entry"][1]["resource"]["subject"] == {"reference": "Patient/p"}


async def test_conditional_entries_act_on_what_they_match(served: Served) -> None:
    """create, update and delete, with a match and without."""
    await put(served, *[patient(str(n), identifier=[{"value": f"v{n}"}]) for n in range(4)])
    answer = await send(
        served,
        "transaction",
        [
            entry("POST", "Patient", patient(), ifNoneExist="identifier=v0"),
            entry("POST", "Patient", patient(identifier=[{"value": "v9"}]), ifNoneExist="identifier=v9"),
            entry("PUT", "Patient?identifier=v1", patient(identifier=[{"value": "v1"}], active=True)),
            entry("PUT", "Patient?identifier=v8", patient("chosen", identifier=[{"value": "v8"}])),
            entry("PUT", "Patient?identifier=v7", patient(identifier=[{"value": "v7"}])),
            entry("DELETE", "Patient?identifier=v2"),
            entry("DELETE", "Patient?identifier=v6"),
        ],
    )
    assert statuses(answer) == [200, 201, 200, 201, 201, 204, 204]
    where = [one["response"].get("location", "").partition("/_history")[0] for one in answer.json()["entry"]]
    assert (where[0], where[2], where[3]) == ("Patient/0", "Patient/1", "Patient/chosen")
    assert (await served.client.get("/fhir/Patient/1")).json()["active"] is True
    assert (await served.client.get("/fhir/Patient/2")).status_code == 410
    assert answer.json()["entry"][0]["response"]["etag"] == 'W/"1"'


async def test_a_conditional_create_does_not_find_what_the_transaction_deletes(served: Served) -> None:
    """Deletes come first."""
    await put(served, patient("1", **IDENTIFIED))
    answer = await send(
        served,
        "transaction",
        [
            entry("POST", "Patient", patient(**IDENTIFIED), ifNoneExist="identifier=http://x|1"),
            entry("DELETE", "Patient/1"),
        ],
    )
    assert statuses(answer) == [201, 204]


@pytest.mark.parametrize(
    "entries",
    [
        [entry("PUT", "Patient/1", patient("1")), entry("DELETE", "Patient?identifier=http://x|1")],
        [entry("PUT", "Patient?_id=1", patient("1")),
         entry("PUT", "Patient?identifier=http://x|1", patient("1", **IDENTIFIED))],
        [entry("PUT", "Patient?identifier=n", patient(identifier=[{"value": "n"}]))] * 2,
        [entry("PUT", "Patient?identifier=n", patient(identifier=[{"value": "n"}])),
         entry("POST", "Patient", patient(identifier=[{"value": "n"}]), ifNoneExist="identifier=n")],
        [entry("POST", "Patient", patient(identifier=[{"value": "n"}]), ifNoneExist="identifier=n"),
         entry("POST", "Patient", patient(identifier=[{"value": "n"}, {"value": "m"}]), ifNoneExist="identifier=m")],
        [entry("POST", "Patient", patient(), full_url=URN)] * 2,
    ],
)  # fmt: skip
async def test_overlapping_entries_are_refused(served: Served, entries: list[object]) -> None:
    """By identity, also where it takes a search to see it; by condition; by fullUrl."""
    await put(served, patient("1", **IDENTIFIED))
    answer = await send(served, "transaction", entries)
    code, _, where = issue(answer.json())
    assert (answer.status_code, code, len(where)) == (400, "duplicate", 2)
    assert len(await everything(served)) == 1


# --- once ---------------------------------------------------------------------------------------------------


async def test_an_idempotency_key_makes_it_happen_once(served: Served) -> None:
    """Sent again, also by another process, the answer is the first one's; with another body it is refused."""
    await put(served, patient("1"), patient("2"), patient("k", **IDENTIFIED))
    asked = [
        entry("POST", "Patient", patient(), full_url=URN),
        entry("POST", "Observation", observation(URN)),
        entry("PUT", "Patient/1", patient("1", active=True)),
        entry("DELETE", "Patient/2"),
        entry("DELETE", "Patient/never"),
        entry("POST", "Patient", patient(), ifNoneExist="identifier=http://x|1"),
        entry("GET", "Patient/1"),
    ]
    key = {"Idempotency-Key": "k", "Prefer": "return=representation"}
    first = await send(served, "transaction", asked, key)
    assert statuses(first) == [201, 201, 200, 204, 204, 200, 200]
    await put(served, patient("k"))
    assert (await send(served, "transaction", asked, key)).json() == first.json()
    other = await send(served, "transaction", asked[1:], key)
    assert (other.status_code, issue(other.json())[0]) == (422, "duplicate")
    assert len(await everything(served)) == 3 + 4 + 1
    assert (await served.client.get("/fhir/Receipt/k")).status_code == 404
    assert (await served.client.get("/fhir/Receipt/_history")).status_code == 404


async def test_the_store_is_clean_with_receipts_in_it() -> None:
    """fsck finds nothing, before and after a sweep."""
    objects = MemoryStore()
    async with serving(objects=objects) as served:
        asked = [entry("PUT", "Patient/1", patient("1")), entry("POST", "Patient", patient(**IDENTIFIED))]
        assert statuses(await send(served, "transaction", asked, {"Idempotency-Key": "k"})) == [201, 201]
        tenant = served.store.tenant("default")
        await served.store.settle()
        for _ in range(2):
            assert [finding.kind for finding in (await tenant.upkeep.fsck()).findings] == []
            await tenant.upkeep.sweep()


# --- side by side --------------------------------------------------------------------------------------------


def distant() -> FaultyStore:
    """A store where every request takes a moment, each another one."""
    return FaultyStore(MemoryStore(), FaultRates(delay=1.0, longest_delay=0.005), seed=random.randrange(1_000_000))


async def test_one_condition_makes_one_resource_whoever_tries() -> None:
    """Transactions and single creates of two processes, all at once: one 201, and everybody refers to the same one."""
    objects = distant()
    made = patient(**IDENTIFIED)
    async with serving(objects=objects) as one, serving(objects=objects) as other:

        async def transact(served: Served, n: int) -> tuple[int, str]:
            asked = [
                entry("POST", "Patient", made, full_url=URN, ifNoneExist="identifier=http://x|1"),
                entry("PUT", f"Observation/{n}", observation(URN) | {"id": str(n)}),
            ]
            answer = await send(served, "transaction", asked)
            where = answer.json()["entry"][0]["response"]["location"].partition("/_history")[0]
            subject = (await served.client.get(f"/fhir/Observation/{n}")).json()["subject"]["reference"]
            assert subject == where
            return statuses(answer)[0], where

        async def create(served: Served) -> tuple[int, str]:
            headers = FHIR_JSON | {"If-None-Exist": "identifier=http://x|1"}
            answer = await served.client.post("/fhir/Patient", json=made, headers=headers)
            return answer.status_code, f"Patient/{answer.json()['id']}"

        asked = [transact(one if n % 2 else other, n) for n in range(12)]
        results = await asyncio.gather(*asked, *[create(one if n % 2 else other) for n in range(8)])
    assert sorted(status for status, _ in results) == [200] * 19 + [201]
    assert len({where for _, where in results}) == 1


async def test_one_key_makes_one_transaction_whoever_sends_it() -> None:
    """The same Bundle with the same key, at once to two processes: done once, the same answer to all."""
    objects = distant()
    asked = [
        entry("POST", "Patient", patient(), full_url=URN),
        entry("PUT", "Observation/o", observation(URN) | {"id": "o"}),
    ]
    async with serving(objects=objects) as one, serving(objects=objects) as other:
        key = {"Idempotency-Key": "k"}
        answers = await asyncio.gather(*[send(one if n % 2 else other, "transaction", asked, key) for n in range(8)])
        assert [statuses(answer) for answer in answers] == [[201, 201]] * 8
        assert len({answer.content for answer in answers}) == 1
        assert len(await everything(one)) == 2


async def test_transactions_that_want_the_same_resources_all_succeed() -> None:
    """In whatever order they name them; each makes a version of each."""
    objects = distant()
    async with serving(objects=objects) as one, serving(objects=objects) as other:
        ids = ["a", "b", "c"]
        orders = [ids[n % 3 :] + ids[: n % 3] for n in range(9)]
        answers = await asyncio.gather(
            *[
                send(
                    one if n % 2 else other,
                    "transaction",
                    [entry("PUT", f"Patient/{id_}", patient(id_)) for id_ in order],
                )
                for n, order in enumerate(orders)
            ]
        )
        assert all(answer.status_code == 200 for answer in answers), [answer.text for answer in answers]
        for id_ in ids:
            assert (await one.client.get(f"/fhir/Patient/{id_}")).json()["meta"]["versionId"] == "9"


# --- cost ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 10])
async def test_what_a_transaction_costs(served: Served, count: int) -> None:
    """N creates: 5N+1 PUT in 2 round trips to the answer, N PUT of them afterwards; N updates: N GET and 1 more."""
    async with serving() as other:
        for method in ("POST", "PUT"):
            url = "Patient" if method == "POST" else "Patient/{}"
            asked = [entry(method, url.format(n), patient(str(n))) for n in range(count)]
            with other.meter.measure() as cost:
                assert (await send(other, "transaction", asked)).status_code == 200
                await other.store.settle()
            gets = {"GET": count} if method == "PUT" else {}
            assert cost.requests == gets | {"PUT": 5 * count + 1}


class Held(MemoryStore):
    """Once a transaction is committed no further PUT is answered, until `go`."""

    def __init__(self) -> None:
        super().__init__()
        self.committed = False
        self.go = asyncio.Event()

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        if self.committed:
            await self.go.wait()
        self.committed = self.committed or "/tx/" in key
        return await super().put(key, body, condition=condition, expires=expires, facts=facts)


async def test_the_answer_takes_three_round_trips() -> None:
    """GET, announce, commit; the fourth comes behind the answer, and readers need not wait for it."""
    objects = Held()
    async with serving(objects=objects) as served:
        asked = [entry("PUT", f"Patient/{n}", patient(str(n))) for n in range(10)]
        with served.meter.measure() as cost:
            assert statuses(await send(served, "transaction", asked)) == [201] * 10
            assert not objects.go.is_set()
            objects.go.set()
            await served.store.settle()
    assert cost.round_trips == 4
    assert cost.requests == {"GET": 10, "PUT": 51}


async def test_an_empty_transaction_is_no_error(served: Served) -> None:
    """It costs nothing."""
    with served.meter.measure() as cost:
        answer = await send(served, "transaction", [])
    assert answer.json() == {"resourceType": "Bundle", "type": "transaction-response"}
    assert cost.requests == {}


async def test_five_thousand_entries_are_one_transaction(served: Served) -> None:
    """The default limit, in one piece; one entry more is refused."""
    asked = [entry("PUT", f"Patient/{n}", patient(str(n))) for n in range(5_001)]
    answer = await send(served, "transaction", asked)
    assert answer.status_code == 413
    answer = await send(served, "transaction", asked[:5_000])
    assert statuses(answer) == [201] * 5_000
