"""The metrics of a process say what its clients and its store have seen."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from fhirstore import FhirStore, IndexOptions
from fhirstore.errors import RequestRefused, Unavailable
from fhirstore.objects import OUTCOMES, S3Options
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.faulty import FaultRates, FaultyStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.objects.wrappers.observed import ObservedStore
from server.http.health import health_routes
from server.observing.catalogue import CATALOGUE, Kind
from server.observing.exposition import written
from server.observing.interaction_names import interaction_names
from server.observing.measures import Histogram, Measures
from server.observing.observers import Observers
from server.observing.process import of_indexes
from server.observing.snapshot import merged
from server.routes import TABLE
from server.settings import Settings
from tests.server.observing.observed import Observed, observed
from tests.server.serving import FHIR_JSON

_PATIENT = b'{"resourceType":"Patient","identifier":[{"system":"urn:s","value":"1"}],"name":[{"family":"M"}]}'
_BUNDLE = b'{"resourceType":"Bundle","type":"transaction","entry":[%s]}' % b",".join(
    [b'{"resource":%s,"request":{"method":"POST","url":"Patient"}}' % _PATIENT] * 3
)


async def _script(client: httpx.AsyncClient) -> dict[tuple[str, str], int]:
    """Sends a request of most kinds. Returns what must be counted: by interaction and status."""
    expected: dict[tuple[str, str], int] = {}

    async def send(interaction: str, status: int, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if path.endswith("_search") else FHIR_JSON
        answer = await client.request(method, path, content=body, headers=headers if body is not None else {})
        assert answer.status_code == status, (method, path, answer.text)
        key = (interaction, str(status))
        expected[key] = expected.get(key, 0) + 1
        return answer

    location = (await send("create", 201, "POST", "/fhir/Patient", _PATIENT)).headers["Location"]
    path = "/fhir/" + "/".join(location.split("/")[-4:-2])
    with_id = _PATIENT.replace(b"{", b'{"id":"%s",' % path.rsplit("/", 1)[1].encode(), 1)
    await send("update", 200, "PUT", path, with_id.replace(b'"M"', b'"N"'))
    await send("read", 200, "GET", path)
    await send("read", 200, "HEAD", path)
    await send("read", 404, "GET", "/fhir/Patient/canary-7")
    await send("vread", 200, "GET", f"{path}/_history/1")
    await send("history-instance", 200, "GET", f"{path}/_history")
    await send("search-type", 200, "GET", "/fhir/Patient?identifier=urn:s|1")
    await send("search-type", 200, "POST", "/fhir/Patient/_search", b"identifier=urn:s|1")
    await send("bundle", 200, "POST", "/fhir", _BUNDLE)
    await send("$validate", 200, "POST", "/fhir/Patient/$validate", _PATIENT)
    await send("capabilities", 200, "GET", "/fhir/metadata")
    await send("create", 400, "POST", "/fhir/Patient", b"<")
    await send("none", 404, "GET", "/fhir/a/b/c/d/e/f")
    await send("none", 405, "DELETE", "/fhir/metadata")
    await send("/health/ready", 200, "GET", "/health/ready")
    await send("none", 404, "GET", "/elsewhere/miller")
    await send("delete", 204, "DELETE", path)
    await send("read", 410, "GET", path)
    return expected


def _agree(one: Observed) -> None:
    """Requests by verb and bytes are those of the meter."""
    found, totals = one.scrape(), one.meter.totals
    assert found.by("fhirstore_storage_requests_total", "verb") == dict(sorted(totals.requests.items()))
    assert found.value("fhirstore_storage_bytes_total", direction="read") == totals.bytes_read
    assert found.value("fhirstore_storage_bytes_total", direction="written") == totals.bytes_written
    timed = found.by("fhirstore_storage_request_seconds_count", "verb")
    assert timed == found.by("fhirstore_storage_requests_total", "verb")


async def test_metrics_agree_with_the_meter_and_with_the_answers() -> None:
    """Every interaction is counted once, under its name and status; every storage request by its verb."""
    async with observed(Observers(Measures())) as one:
        expected = await _script(one.client)
        await one.store.settle()
        found = one.scrape()
        counted = {
            (sample.labels["interaction"], sample.labels["status"]): int(sample.value)
            for sample in found.families["fhirstore_interaction_seconds"].samples
            if sample.name.endswith("_count")
        }
        assert counted == expected
        assert found.value("fhirstore_requests_in_flight") == 0
        _agree(one)
        assert "miller" not in found.text and "canary" not in found.text


async def test_an_upload_in_parts_is_one_object_and_its_bytes_count_once() -> None:
    """Also where completing it is refused first; one that was begun elsewhere has no duration."""
    measures = Measures()
    meter = MeteredStore(MemoryStore())
    store = ObservedStore(meter, measures)
    upload = await store.create_upload("a")
    parts = [(number, await store.put_part("a", upload, number, b"x" * 6 * 2**20)) for number in (1, 2)]
    with pytest.raises(RequestRefused):
        await store.complete_upload("a", upload, [*parts, (3, "none")])
    await store.complete_upload("a", upload, parts)
    elsewhere = await meter.inner.create_upload("b")
    await store.complete_upload("b", elsewhere, [(1, await store.put_part("b", elsewhere, 1, b"12345"))])
    snapshot = measures.snapshot()
    written = dict(snapshot.values["fhirstore_storage_bytes_total"])["written",]
    assert written == meter.totals.bytes_written == 12 * 2**20 + 5
    uploads = dict(snapshot.distributions["fhirstore_storage_upload_seconds"])
    assert {labels: sum(shape.counts) for labels, shape in uploads.items()} == {("ok",): 1}
    sizes = dict(snapshot.distributions["fhirstore_storage_object_bytes"])["written",]
    assert sizes.total == 12 * 2**20 and sum(sizes.counts) == 1


async def test_failures_of_the_store_are_counted_by_outcome() -> None:
    """A store that is often busy or silent: the sums by verb are the meter's, and the outcomes are among the known."""
    faulty = FaultyStore(MemoryStore(), FaultRates(busy=0.1, unavailable=0.1, lost_response=0.1), seed=3)
    async with observed(Observers(Measures()), objects=faulty) as one:
        for n in range(40):
            await one.client.post("/fhir/Patient", content=_PATIENT, headers=FHIR_JSON)
            await one.client.get(f"/fhir/Patient/{n}")
        await one.store.settle()
        _agree(one)
        outcomes = one.scrape().by("fhirstore_storage_requests_total", "outcome")
        assert {"ok", "busy", "unavailable", "unknown", "not-found"} <= set(outcomes) <= set(OUTCOMES)


async def test_tenants_are_labels_only_where_asked_for_and_so_many() -> None:
    """Two of three tenants are counted by themselves, the third with all others; without the setting, none is."""
    settings = Settings(tenant_source="header", tenants=frozenset({"a", "b", "c"}))
    for most, expected in ((2, {"a": 1, "b": 1, "(others)": 1}), (0, {})):
        async with observed(Observers(Measures(tenants=most)), settings) as one:
            for tenant in ("a", "b", "c", "unknown"):
                await one.client.get("/fhir/Patient/x", headers={"X-Tenant-ID": tenant})
            found = one.scrape()
            assert found.by("fhirstore_tenant_requests_total", "tenant", status="404") == expected
            assert "unknown" not in found.text.replace("by verb and outcome", "")


async def test_nothing_watches_where_nothing_is_asked_for() -> None:
    """Without observers the app is not wrapped, and the store neither."""
    async with observed(Observers()) as one:
        assert not one.observers.any and one.observers.of_store is None
        assert (await one.client.get("/fhir/metadata")).status_code == 200


@given(st.lists(st.floats(0, 100)), st.lists(st.floats(0, 50), min_size=1, max_size=6, unique=True).map(sorted))
def test_a_histogram_counts_each_value_in_the_bucket_of_the_first_bound_that_it_does_not_exceed(
    values: list[float], bounds: list[float]
) -> None:
    """Whenever it is folded."""
    histogram = Histogram(bounds)
    for n, value in enumerate(values):
        histogram.append(value)
        if n % 3 == 0:
            histogram.fold()
    edges = [*bounds, float("inf")]
    expected = [0] * len(edges)
    for value in values:
        expected[next(n for n, edge in enumerate(edges) if value <= edge)] += 1
    found = histogram.read()
    assert found.counts == expected
    assert found.total == pytest.approx(sum(values))


def test_what_the_s3_client_repeats_is_counted_beside_the_requests() -> None:
    """By verb and reason; a circuit that is open makes the gauge 1, however many stores have one."""
    measures = Measures()
    options = Observers(measures).of_s3(S3Options())
    options.tell("GET a/secret/key", 1, 0.1, busy=True)
    options.tell("GET b", 2, 0.1, busy=False)
    assert options.on_circuit is not None
    values = measures.snapshot().values
    assert dict(values["fhirstore_storage_repeats_total"]) == {("GET", "busy"): 1, ("GET", "failed"): 1}
    assert values["fhirstore_storage_requests_total"] == []
    for opened, expected in ((True, 1), (True, 1), (False, 1), (False, 0)):
        options.on_circuit(opened)
        assert dict(measures.snapshot().values["fhirstore_storage_circuit_open"]) == {(): expected}


def test_names_follow_the_conventions_of_prometheus() -> None:
    """Seconds and bytes, `_total` for counters alone, no label but those that are bounded."""
    bounded = {"interaction", "status", "direction", "tenant", "verb", "outcome", "reason", "kind", "pid"}
    for name, metric in CATALOGUE.items():
        assert re.fullmatch(r"fhirstore_[a-z_]+", name)
        assert name.endswith("_total") is (metric.kind is Kind.COUNTER)
        assert bool(metric.bounds) is (metric.kind is Kind.HISTOGRAM)
        assert set(metric.labels) <= bounded or name == "fhirstore_build_info"


def test_every_line_of_the_route_table_has_a_name_of_its_own_or_shares_it_with_its_other_method() -> None:
    """And none is told as `none`."""
    names = interaction_names(TABLE)
    assert set(names) == {route.handler for route in TABLE}
    assert "none" not in names.values() and len(set(names.values())) > 30


def test_both_forms_of_exposition_are_written() -> None:
    """The scraper's Accept chooses; another one gets the text form."""
    snapshot = merged([Measures().snapshot()])
    assert written(snapshot, "application/openmetrics-text; version=1.0.0")[1].endswith(b"# EOF\n")
    for accept in ("", "text/plain;version=0.0.4", "image/png", "a," * 5000):
        kind, body = written(snapshot, accept)
        assert kind.startswith("text/plain") and not body.endswith(b"# EOF\n")


def test_processes_together_are_added_but_not_what_each_sees_of_the_same() -> None:
    """Requests under way are added; the jobs that each sees in the bucket are the same jobs."""
    one = Measures()
    one.in_flight = 2
    snapshot = one.snapshot()
    jobs = msgspec.structs.replace(snapshot, values={**snapshot.values, "fhirstore_jobs_live": [(("export",), 3.0)]})
    together = merged([jobs, jobs])
    assert dict(together.values["fhirstore_requests_in_flight"]) == {(): 4}
    assert dict(together.values["fhirstore_jobs_live"]) == {("export",): 3.0}
    assert dict(together.values["fhirstore_processes"]) == {(): 2}


async def test_the_metrics_of_the_search_indexes(tmp_path: Path) -> None:
    """Of those that this process looks after: what waits, what is in them, their lag; the health has it, too."""
    options = IndexOptions(tmp_path, follow=True, poll=0.05)
    async with FhirStore.open("memory:", tenants=["a", "b"], index=options) as store:
        gauges = of_indexes(store)
        assert {metric.name: value for metric, _, value in gauges()}["fhirstore_index_resources"] == 0
        for tenant in "ab":
            for _ in range(3):
                await store.tenant(tenant).create({"resourceType": "Patient"})
        assert {metric.name: value for metric, _, value in gauges()}["fhirstore_index_queued_versions"] == 6
        app = Starlette(routes=health_routes(store))
        async with asyncio.timeout(20):
            while {metric.name: value for metric, _, value in gauges()}["fhirstore_index_resources"] < 6:
                await asyncio.sleep(0.02)
                for one in store._engine.indexes.opened:
                    await one.look()
        now = {metric.name: value for metric, _, value in gauges()}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
            told = (await client.get("/health/ready")).json()
    assert now["fhirstore_index_queued_versions"] == now["fhirstore_index_not_ready"] == 0
    assert now["fhirstore_index_bytes"] > 10_000
    assert 0 <= now["fhirstore_index_lag_seconds"] < 20
    assert told["status"] == "ready"
    assert told["index"]["status"] == "ready"
    assert told["index"]["queued"] == 0


async def test_an_index_that_cannot_be_opened_is_not_ready(tmp_path: Path) -> None:
    """Though nobody leads it: its folder may be read-only, for instance. The server is ready all the same."""
    (tmp_path / "file").write_text("no folder")
    options = IndexOptions(tmp_path / "file", follow=True, poll=0.02)
    async with FhirStore.open("memory:", index=options) as store:
        app, gauges = Starlette(routes=health_routes(store)), of_indexes(store)
        await store.tenant("default").create({"resourceType": "Patient"})
        with pytest.raises(Unavailable, match="cannot be used now"):
            await store.tenant("default").search("Patient")
        async with (
            asyncio.timeout(20),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client,
        ):
            while not any(one.problem for one in store.indexes):  # noqa: ASYNC110 - of a task of the store
                await asyncio.sleep(0.02)
            told = (await client.get("/health/ready")).json()
        assert told["status"] == "ready"
        assert told["index"]["status"] == "not ready"
        assert {metric.name: value for metric, _, value in gauges()}["fhirstore_index_not_ready"] == 1
