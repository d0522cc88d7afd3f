"""What the entries of one Bundle read together is bounded, and others have their turn while it is processed."""

from __future__ import annotations

import asyncio

import pytest

from fhirstore import BundleEntry, BundleOptions, FhirStore
from fhirstore.bundles.workers import side_by_side
from fhirstore.errors import ContentTooLarge
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.read_counter import ReadCounter
from server.settings import BadSetting, Settings, from_environment
from tests.bundles.asking import entry, issue, patient, send, statuses
from tests.server.serving import FHIR_JSON, Served, serving

COUNT = entry("GET", "Patient?_id=0,1,2&identifier=none")  # reads three resources, and shows none


async def fill(served: Served, count: int) -> None:
    entries = [entry("PUT", f"Patient/{n}", patient(str(n))) for n in range(count)]
    assert statuses(await send(served, "transaction", entries)) == [201] * count
    await served.store.settle()


def asked_of(served: Served) -> int:
    """GETs and LISTs so far."""
    return sum(served.meter.totals.requests.get(verb, 0) for verb in ("GET", "LIST"))


@pytest.mark.parametrize(
    "reading",
    [entry("GET", "Patient/_history?_count=50"), entry("GET", "Patient?_count=50"),
     entry("POST", "Patient/_search?_count=50")],
)  # fmt: skip
async def test_the_reads_of_a_batch_take_no_more_storage_requests_than_the_limit(reading: dict[str, object]) -> None:
    """Beyond it no further read is begun: each is told so in its place, as 413; writes are done all the same."""
    async with serving(Settings(max_bundle_requests=300)) as served:
        await fill(served, 50)
        before = asked_of(served)
        assert statuses(await send(served, "batch", [reading])) == [200]
        one = asked_of(served) - before
        answer = await send(served, "batch", [reading] * 60 + [entry("PUT", "Patient/late", patient("late"))])
        taken = asked_of(served) - before - one
        *reads, write = statuses(answer)
        assert write == 201
        assert set(reads) == {200, 413}
        assert taken <= 300 + 16 * (one + 5)
        refused = [one["response"]["outcome"] for one in answer.json()["entry"] if "outcome" in one["response"]]
        assert {issue(outcome)[0] for outcome in refused} == {"too-costly"}
        assert all("FHIRSTORE_MAX_BUNDLE_REQUESTS" in issue(outcome)[1] for outcome in refused)


@pytest.mark.slow
async def test_a_transaction_that_reads_too_much_is_refused_before_anything_is_written() -> None:
    """By its reads, or by what it looks up for its conditions."""
    async with serving(Settings(max_bundle_requests=60)) as served:
        await fill(served, 50)
        write = entry("PUT", "Patient/late", patient("late"))
        lookups = [
            entry("POST", "Patient", patient(identifier=[{"value": f"v{n}"}]), ifNoneExist=f"identifier=v{n}")
            for n in range(90)
        ]
        for asked in ([COUNT] * 40 + [write], [*lookups, write]):
            answer = await send(served, "transaction", asked)
            assert (answer.status_code, issue(answer.json())[0]) == (413, "too-costly")
            assert (await served.client.get("/fhir/Patient/late")).status_code == 404


LARGE = [{"text": "x" * 1_000_000}] * 15


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_what_the_reads_of_a_bundle_look_at_is_bounded_in_bytes(kind: str) -> None:
    """Also where none of it is in the answer: each looks at whole resources, and there may be 5,000 of them."""
    async with serving() as served:
        for n in range(3):
            await served.client.put(f"/fhir/Patient/{n}", json=patient(str(n), name=LARGE), headers=FHIR_JSON)
        await served.store.settle()
        before = served.meter.totals.requests["GET"]
        answer = await send(served, kind, [COUNT] * 500)
        taken = served.meter.totals.requests["GET"] - before
        assert taken * 15_000_000 < 256 * 1024 * 1024 + 32 * 15_000_000
        if kind == "transaction":
            assert (answer.status_code, issue(answer.json())[0]) == (413, "too-costly")
            return
        assert statuses(answer)[0] == 200
        refused = [one["response"]["outcome"] for one in answer.json()["entry"] if "outcome" in one["response"]]
        assert len(refused) > 450
        assert {issue(outcome)[0] for outcome in refused} == {"too-costly"}
        assert all("268,435,456 bytes" in issue(outcome)[1] for outcome in refused)


async def test_a_counted_store_reads_no_more_once_it_read_enough() -> None:
    """ContentTooLarge before the next GET; LISTs and writes go on."""
    inner = MemoryStore()
    store = ReadCounter(inner, most=2)
    await store.put("a", b"123")
    assert (await store.get("a")).body == b"123"
    with pytest.raises(ContentTooLarge):
        await store.get("a")
    assert len((await store.list("")).objects) == 1
    assert store.read == 3


async def test_a_transaction_may_take_the_limit_before_and_after_its_writes() -> None:
    """Reads that were let pass when they were tried are not refused when the writes are done."""
    async with serving(Settings(max_bundle_requests=60)) as served:
        await fill(served, 40)
        looking = entry("GET", f"Patient?identifier=none&_id={','.join(str(n) for n in range(40))}")
        asked = [looking, entry("PUT", "Patient/late", patient("late"))]
        assert statuses(await send(served, "transaction", asked)) == [200, 201]


async def test_five_thousand_reads_are_within_the_limit() -> None:
    """A batch as large as may be, of plain reads."""
    async with serving() as served:
        await served.client.put("/fhir/Patient/p", json=patient("p"), headers=FHIR_JSON)
        assert set(statuses(await send(served, "batch", [entry("GET", "Patient/p")] * 5_000))) == {200}


async def test_others_have_their_turn_between_entries(served: Served) -> None:
    """However quick the store answers: in the event loop's rounds, not in seconds."""
    rounds = 0

    async def ticking() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    ticker = asyncio.create_task(ticking())
    for entries in ([entry("GET", "Patient/none")] * 640, [entry("PUT", "Patient/p", patient("p"))] * 10):
        rounds = 0
        await send(served, "batch", entries)
        assert rounds >= 10
    rounds = 0

    async def at_once(_: int) -> None:
        pass

    await side_by_side(range(640), at_once, at_once=16)
    assert rounds >= 10
    ticker.cancel()


async def test_few_of_the_entries_that_read_much_are_under_way_together() -> None:
    """Each of them has many storage requests under way by itself."""
    now = most = 0

    async def operation(_entry: BundleEntry) -> bytes:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        return b"{}"

    async with FhirStore.open("memory:") as store:
        bundle = {"resourceType": "Bundle", "type": "batch", "entry": [entry("GET", "metadata")] * 100}
        done = await store.tenant("default").batch(bundle, options=BundleOptions(operation=operation, at_once=16))
    assert [result.error for result in done.results] == [None] * 100
    assert most == 8


async def test_a_counted_store_counts_what_is_read() -> None:
    """GET, LIST and streams; writes are none."""
    store = ReadCounter(MemoryStore())
    await store.put("a", b"1")
    assert (await store.get("a")).body == b"1"
    assert len((await store.list("")).objects) == 1
    async with store.get_stream("a") as stream:
        assert stream.size == 1
    await store.delete("a")
    assert store.reads == 3


def test_the_limit_is_a_setting() -> None:
    """A positive whole number."""
    assert from_environment({"FHIRSTORE_MAX_BUNDLE_REQUESTS": "7"}).max_bundle_requests == 7
    with pytest.raises(BadSetting):
        from_environment({"FHIRSTORE_MAX_BUNDLE_REQUESTS": "0"})
