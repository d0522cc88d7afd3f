"""Writes a snapshot in the form that a scraper asks for: Prometheus' text, or OpenMetrics.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from server.observing.catalogue import CATALOGUE, Kind
from server.observing.snapshot import Distribution, Snapshot

_MOST_ACCEPT = 1024  # characters


def written(snapshot: Snapshot, accept: str = "") -> tuple[str, bytes]:
    """Returns the content type and the body for a scraper that sends this Accept header."""
    encode, content_type = choose_encoder(accept if len(accept) <= _MOST_ACCEPT else "")
    return content_type, encode(_Collected(snapshot))


class _Collected(Collector):
    """The metrics of a snapshot, in the order of the catalogue."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        for metric in CATALOGUE.values():
            name, text, labels = metric.name, metric.meaning, metric.labels
            if metric.kind is Kind.HISTOGRAM:
                histogram = HistogramMetricFamily(name, text, labels=labels)
                for values, shape in sorted(self._snapshot.distributions.get(name, ())):
                    histogram.add_metric(values, _buckets(metric.bounds, shape), shape.total)
                yield histogram
                continue
            family = (CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily)(
                name, text, labels=labels
            )
            for values, value in sorted(self._snapshot.values.get(name, ())):
                family.add_metric(values, value)
            yield family


def _buckets(bounds: tuple[float, ...], shape: Distribution) -> list[tuple[str, float]]:
    """Returns the upper bound of each bucket and the number of values up to it."""
    found: list[tuple[str, float]] = []
    below = 0
    for bound, count in zip((*map(str, bounds), "+Inf"), shape.counts, strict=True):
        below += count
        found.append((bound, below))
    return found
