"""OpenTelemetry: a span for each request of a client, and below it one for each of its storage requests.

Needs the extra `traces`. The parent is that of W3C's `traceparent` header, if the client sends one. Sampling and the
name of the service are OpenTelemetry's own variables (`OTEL_TRACES_SAMPLER`, `OTEL_SERVICE_NAME`). No attribute holds
an id, a key, a path or a criterion. https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

from __future__ import annotations

import time

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from fhirstore import __version__
from server.observing.request import Seen

_EXPORT_SECONDS = 2.0
_ENDS_IN = 1_000  # ms
_LONGEST = 512  # bytes of a header; W3C's traceparent has 55, and tracestate may have 512


class Traces:
    """Makes the spans of a process. `provider`: where they go."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("fhirstore", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, headers: list[tuple[bytes, bytes]]) -> Span:
        """Begins the span of a request with these headers."""
        return self._tracer.start_span("request", context=self._parent(headers), kind=SpanKind.SERVER)

    def _parent(self, headers: list[tuple[bytes, bytes]]) -> Context | None:
        sent = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in headers
            if name in (b"traceparent", b"tracestate") and len(value) <= _LONGEST
        }
        return self._propagator.extract(sent) if "traceparent" in sent else None

    def end(self, seen: Seen, *, interaction: str, method: str, route: str, tenant: str) -> None:
        """Ends the span of a request."""
        span = seen.span
        if not isinstance(span, Span):
            return
        if span.is_recording():
            span.update_name(interaction)
            attributes: dict[str, str | int] = {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": seen.status,
                "fhirstore.interaction": interaction,
                "fhirstore.storage.requests": seen.storage,
            }
            if tenant:
                attributes["fhirstore.tenant"] = tenant
            span.set_attributes(attributes)
            if seen.status >= 500 or not seen.status:
                span.set_status(Status(StatusCode.ERROR))
        span.end()

    def storage(self, seen: Seen, verb: str, outcome: str, *, seconds: float, count: int, size: int) -> None:
        """Adds the span of storage requests that were sent together and have just been answered."""
        span = seen.span
        if not isinstance(span, Span) or not span.is_recording():
            return
        end = time.time_ns()
        child = self._tracer.start_span(
            verb,
            context=set_span_in_context(span),
            kind=SpanKind.CLIENT,
            attributes={
                "fhirstore.storage.verb": verb,
                "fhirstore.storage.outcome": outcome,
                "fhirstore.storage.requests": count,
                "fhirstore.storage.bytes": size,
            },
            start_time=end - int(seconds * 1e9),
        )
        child.end(end)

    def id_of(self, seen: Seen) -> str:
        """Returns the id of the request's trace, as hex; "" where it has none."""
        span = seen.span
        return f"{span.get_span_context().trace_id:032x}" if isinstance(span, Span) else ""

    def close(self) -> None:
        """Sends what waits, for about a second at most. Blocks."""
        self._provider.force_flush(_ENDS_IN)
        self._provider.shutdown()


def to_collector(url: str) -> Traces:
    """Returns traces that are sent to the collector at this URL (`/v1/traces` below it)."""
    resource = Resource.create({SERVICE_VERSION: __version__})
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):  # OpenTelemetry's own default
        resource = resource.merge(Resource({SERVICE_NAME: "fhirstore"}))
    provider = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(f"{url.rstrip('/')}/v1/traces", timeout=_EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Traces(provider)
