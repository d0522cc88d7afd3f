"""A span for each request, below it one for each storage request, and nothing of a patient in any of them."""

from __future__ import annotations

import sys

import pytest

from fhirstore.errors import StoreMisconfigured
from server.observing.access_log import AccessLog, Identities
from server.observing.measures import Measures
from server.observing.observers import Observers, observers
from server.settings import Settings
from tests.server.observing.observed import observed
from tests.server.observing.test_access_log import CANARY, KEY, _plant
from tests.server.serving import FHIR_JSON

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

from server.observing.traces import Traces

_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_TRANSACTION = (
    b'{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Patient"},'
    b'"request":{"method":"POST","url":"Patient"}},{"resource":{"resourceType":"Patient"},'
    b'"request":{"method":"POST","url":"Patient"}}]}'
)


def _traced(sampler: object = None) -> tuple[Traces, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler) if sampler is not None else TracerProvider()  # type: ignore[arg-type]
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Traces(provider), exporter


def _children(spans: tuple[ReadableSpan, ...], parent: ReadableSpan) -> list[ReadableSpan]:
    assert parent.context is not None
    return [one for one in spans if one.parent is not None and one.parent.span_id == parent.context.span_id]


async def test_a_request_has_a_span_and_its_storage_requests_have_one_below() -> None:
    """Counts agree with the meter, also for a transaction, whose writes run in a task of their own."""
    for path, body, interaction in (
        ("/fhir/Patient", b'{"resourceType":"Patient"}', "create"),
        ("/fhir", _TRANSACTION, "bundle"),
    ):
        traces, exporter = _traced()
        async with observed(Observers(None, None, traces)) as one:
            answer = await one.client.post(path, content=body, headers=FHIR_JSON | {"traceparent": _PARENT})
            assert answer.status_code in (200, 201)
            await one.store.settle()
            spans = exporter.get_finished_spans()
            (request,) = [span for span in spans if span.name == interaction]
            assert request.context is not None and request.parent is not None and request.attributes is not None
            assert f"{request.context.trace_id:032x}" == _PARENT.split("-")[1]
            assert f"{request.parent.span_id:016x}" == _PARENT.split("-")[2]
            assert request.attributes["http.response.status_code"] == answer.status_code
            assert request.attributes["fhirstore.tenant"] == "default"
            below = _children(spans, request)
            told: dict[str, int] = {}
            for span in below:
                assert span.attributes is not None and span.end_time is not None and span.start_time is not None
                assert span.end_time >= span.start_time
                count = span.attributes["fhirstore.storage.requests"]
                assert isinstance(count, int)
                told[span.name] = told.get(span.name, 0) + count
            assert told == one.meter.totals.requests and len(below) == len(spans) - 1


async def test_spans_hold_nothing_of_a_patient() -> None:
    """The canary is in no name, attribute, event or status; a malformed traceparent begins a new trace."""
    traces, exporter = _traced()
    async with observed(Observers(Measures(), None, traces)) as one:
        await _plant(one.client)
        await one.client.get("/fhir/Patient/x", headers={"traceparent": CANARY, "tracestate": CANARY})
    spans = exporter.get_finished_spans()
    assert len(spans) > 14
    assert CANARY not in "".join(span.to_json() for span in spans).lower()


async def test_a_trace_that_is_not_sampled_has_no_spans_but_an_id_in_the_log() -> None:
    """The client's sampling decision holds."""
    lines: list[str] = []
    log = AccessLog("text", Identities("hashed", KEY), lines.append)
    traces, exporter = _traced(ParentBased(ALWAYS_OFF))
    async with observed(Observers(None, log, traces)) as one:
        await one.client.get("/fhir/Patient/x", headers={"traceparent": _PARENT[:-1] + "0"})
    assert not exporter.get_finished_spans()
    assert f"trace={_PARENT.split('-')[1]}" in lines[0]


def test_without_the_extra_the_setting_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one line that says what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry.context", None)
    monkeypatch.delitem(sys.modules, "server.observing.traces")
    with pytest.raises(StoreMisconfigured, match=r"pip install 'fhirstore\[traces\]'"):
        observers(Settings(traces="http://127.0.0.1:4318"), measured=False)


def test_a_collector_that_is_away_keeps_nobody_waiting() -> None:
    """The exporter is made for the settings' URL, and closing it ends in time."""
    from server.observing.traces import to_collector

    traces = to_collector("http://127.0.0.1:9")
    traces.close()
