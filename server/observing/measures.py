"""Counts and measures what one process does. It is the observer of its object stores.

Every request of a client, and every one to a store, passes here, so taking note of one costs an increment and an append
to a list; four times a second `fold` sorts what was appended into buckets. Benchmark: reads, see docs/performance.md.
All of it happens in the event loop, so there are no locks; other threads and processes see snapshots.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence

from fhirstore.objects import OK, Repeat
from server.observing.catalogue import (
    CIRCUIT,
    HTTP_BYTES,
    INTERACTIONS,
    LAG,
    OBJECT_BYTES,
    REPEATS,
    REQUESTS_IN_FLIGHT,
    STORAGE_BYTES,
    STORAGE_REQUESTS,
    STORAGE_SECONDS,
    TENANT_REQUESTS,
    TENANT_SECONDS,
    UPLOADS,
    Metric,
)
from server.observing.snapshot import Distribution, Labels, Snapshot, sums, together

_OTHERS = "(others)"  # no tenant id has brackets

Gauges = Callable[[], Iterable[tuple[Metric, Labels, float]]]
"""Returns values as they are now."""


class Histogram:
    """The values of one series. `append` takes note of one; `fold` sorts them into buckets."""

    __slots__ = ("_bounds", "_counts", "_new", "_total", "append", "extend")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0
        self._new: list[float] = []
        self.append = self._new.append
        self.extend = self._new.extend

    def fold(self) -> None:
        """Sorts the new values into buckets."""
        new = self._new
        if not new:
            return
        new.sort()
        self._total += sum(new)
        below = 0
        for place, bound in enumerate(self._bounds):
            position = bisect_right(new, bound, below)
            self._counts[place] += position - below
            below = position
            if below == len(new):
                break
        self._counts[-1] += len(new) - below
        new.clear()

    def read(self) -> Distribution:
        """Returns the distribution of all values."""
        self.fold()
        return Distribution(list(self._counts), self._total)


class _Family(dict[Labels, Histogram]):
    """The series of one histogram by their labels; they are made at the first use."""

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self._bounds = metric.bounds

    def __missing__(self, labels: Labels) -> Histogram:
        made = self[labels] = Histogram(self._bounds)
        return made


class Measures:
    """The metrics of one process. `tenants`: how many tenants are counted by their own id; the others are together."""

    def __init__(self, *, tenants: int = 0) -> None:
        self.in_flight = 0
        self.received = 0
        self.sent = 0
        self.lag = Histogram(LAG.bounds)
        self._interactions: dict[tuple[str, int], Histogram] = {}
        self._storage = _Family(STORAGE_SECONDS)
        self._uploads = _Family(UPLOADS)
        self._sizes = _Family(OBJECT_BYTES)
        self._read = self._sizes["read",]
        self._written = self._sizes["written",]
        self._moved = {"read": 0, "written": 0}  # besides whole objects
        self._more: dict[Labels, int] = {}  # requests by verb and outcome that are not timed one by one
        self._repeats: dict[Labels, int] = {}
        self._circuits = 0  # that are open
        self._most_tenants = tenants
        self._tenants: dict[str, tuple[dict[int, int], list[float]]] = {}
        self._gauges: list[Gauges] = [self._own]

    # --- requests of clients --------------------------------------------------------------------------------

    def answered(self, interaction: str, status: int, seconds: float) -> None:
        """Takes note of a request that was answered with this status; 0: its client went away before."""
        label = (interaction, status)
        times = self._interactions.get(label)
        if times is None:
            times = self._interactions[label] = Histogram(INTERACTIONS.bounds)
        times.append(seconds)

    @property
    def by_tenant(self) -> bool:
        """Whether requests are counted by tenant."""
        return self._most_tenants > 0

    def answered_for(self, tenant: str, status: int, seconds: float) -> None:
        """Takes note of a request of this tenant, for which `answered` was called, too."""
        known = self._tenants.get(tenant)
        if known is None:
            if len(self._tenants) >= self._most_tenants:
                tenant = _OTHERS
            known = self._tenants.setdefault(tenant, ({}, []))
        statuses, times = known
        statuses[status] = statuses.get(status, 0) + 1
        times.append(seconds)

    # --- requests to the object store: a StoreObserver ------------------------------------------------------

    def requested(  # noqa: PLR0917 - as StoreObserver has it
        self, verb: str, outcome: str, seconds: float, size: int = -1, moved: int = 0, count: int = 1
    ) -> None:
        self._storage[verb, outcome].append(seconds)
        if count > 1:
            self._more[verb, outcome] = self._more.get((verb, outcome), 0) + count - 1
        if size >= 0:
            (self._read if verb == "GET" else self._written).append(size)
        elif moved:
            self._moved["written"] += moved

    def wrote(self, outcome: str, seconds: float, sizes: Sequence[int]) -> None:
        self._storage["PUT", outcome].extend([seconds] * len(sizes))
        self._written.extend(sizes)

    def uploaded(self, outcome: str, seconds: float, size: int, requests: Mapping[str, int]) -> None:
        for verb, count in requests.items():
            self._more[verb, outcome] = self._more.get((verb, outcome), 0) + count
        self._uploads[outcome,].append(seconds)
        self._written.append(size)

    def completed(self, seconds: float, size: int) -> None:
        self._uploads[OK,].append(seconds)
        self._written.append(size)
        self._moved["written"] -= size  # counted with the parts

    def downloaded(self, outcome: str, seconds: float, size: int) -> None:
        self._more["GET", outcome] = self._more.get(("GET", outcome), 0) + 1
        self._moved["read"] += size

    def repeated(self, repeat: Repeat) -> None:
        """Takes note that the S3 client sends a request again."""
        label = (repeat.verb, "busy" if repeat.busy else "failed")
        self._repeats[label] = self._repeats.get(label, 0) + 1

    def circuit(self, opened: bool) -> None:
        """Takes note that the circuit of a store was opened or closed."""
        self._circuits += 1 if opened else -1

    # --- what is read ---------------------------------------------------------------------------------------

    def add(self, gauges: Gauges) -> None:
        """Adds values that are asked for with each snapshot."""
        self._gauges.append(gauges)

    def fold(self) -> None:
        """Sorts what was noted into buckets, so that it takes no more memory."""
        for family in (self._storage, self._uploads, self._sizes):
            for histogram in family.values():
                histogram.fold()
        for histogram in self._interactions.values():
            histogram.fold()
        self.lag.fold()
        for _, times in self._tenants.values():
            times[:] = [sum(times)]

    def snapshot(self) -> Snapshot:
        """Returns all values as they are now."""
        self.fold()
        storage = {labels: one.read() for labels, one in self._storage.items()}
        sizes = {labels: one.read() for labels, one in self._sizes.items()}
        values: dict[str, list[tuple[Labels, float]]] = {
            HTTP_BYTES.name: [(("received",), self.received), (("sent",), self.sent)],
            STORAGE_REQUESTS.name: [
                *self._more.items(),
                *((labels, sum(shape.counts)) for labels, shape in storage.items()),
            ],
            STORAGE_BYTES.name: [(labels, shape.total + self._moved[labels[0]]) for labels, shape in sizes.items()],
            REPEATS.name: list(self._repeats.items()),
        }
        if self._tenants:
            values[TENANT_REQUESTS.name] = [
                ((tenant, _status(status)), count)
                for tenant, (statuses, _) in self._tenants.items()
                for status, count in statuses.items()
            ]
            values[TENANT_SECONDS.name] = [((tenant,), sum(times)) for tenant, (_, times) in self._tenants.items()]
        for gauges in self._gauges:
            for metric, labels, value in gauges():
                values.setdefault(metric.name, []).append((labels, value))
        return Snapshot(
            os.getpid(),
            time.monotonic(),
            {name: list(sums(series).items()) for name, series in values.items()},
            {
                INTERACTIONS.name: [
                    ((interaction, _status(status)), one.read())
                    for (interaction, status), one in self._interactions.items()
                ],
                STORAGE_SECONDS.name: list(together(((verb,), shape) for (verb, _), shape in storage.items()).items()),
                UPLOADS.name: [(labels, one.read()) for labels, one in self._uploads.items()],
                OBJECT_BYTES.name: list(sizes.items()),
                LAG.name: [((), self.lag.read())],
            },
        )

    def _own(self) -> Iterable[tuple[Metric, Labels, float]]:
        yield REQUESTS_IN_FLIGHT, (), self.in_flight
        yield CIRCUIT, (), min(self._circuits, 1)


def _status(status: int) -> str:
    return str(status) if status else "closed"
