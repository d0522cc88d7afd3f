"""What watches the requests of one process: its metrics, access log and traces, as far as the settings ask for them."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from fhirstore import S3Options
from fhirstore.errors import StoreMisconfigured
from fhirstore.objects import StoreObserver
from server.observing.access_log import AccessLog, Identities
from server.observing.catalogue import LOST_LINES, Metric
from server.observing.lines import LineWriter
from server.observing.measures import Measures
from server.observing.request import Seen, current
from server.observing.snapshot import Labels
from server.settings import Settings

_NO_TRACES = "FHIRSTORE_TRACES needs OpenTelemetry, which is not installed: pip install 'fhirstore[traces]'"


class Tracing(Protocol):
    """What makes spans; `server.observing.traces.Traces` is one."""

    def begin(self, headers: list[tuple[bytes, bytes]]) -> object:
        """Begin the span of a request with these headers."""
        ...

    def end(self, seen: Seen, *, interaction: str, method: str, route: str, tenant: str) -> None:
        """End it."""
        ...

    def storage(self, seen: Seen, verb: str, outcome: str, *, seconds: float, count: int, size: int) -> None:
        """Add the span of storage requests of the request."""
        ...

    def id_of(self, seen: Seen) -> str:
        """Return the id of its trace; "" where it has none."""
        ...

    def close(self) -> None:
        """Send what waits. Blocks for about a second at most."""
        ...


@dataclass(frozen=True, slots=True)
class Observers:
    """Each is None where it is not asked for. `lines`: where the access log writes."""

    measures: Measures | None = None
    log: AccessLog | None = None
    traces: Tracing | None = None
    lines: LineWriter | None = None

    @property
    def any(self) -> bool:
        """Whether requests are watched at all."""
        return self.measures is not None or self.by_request

    @property
    def by_request(self) -> bool:
        """Whether storage requests are told to the request that caused them."""
        return self.log is not None or self.traces is not None

    @property
    def of_store(self) -> StoreObserver | None:
        """What the object stores tell of their requests."""
        if not self.by_request:
            return self.measures
        by_request = ByRequest(self.traces)
        return by_request if self.measures is None else Both(self.measures, by_request)

    def of_s3(self, options: S3Options) -> S3Options:
        """Returns the options of an S3 store that tells what it repeats."""
        if self.measures is None:
            return options
        return replace(options, on_repeat=self.measures.repeated, on_circuit=self.measures.circuit)

    def close(self) -> None:
        """Writes and sends what waits, for two seconds at most. Blocks."""
        if self.lines is not None:
            self.lines.close()
        if self.traces is not None:
            self.traces.close()


def observers(settings: Settings, *, measured: bool) -> Observers:
    """Returns what the settings ask for. Raises StoreMisconfigured where OpenTelemetry or standard output is missing.

    `measured`: count and measure, for this process's own listener or its parent's. Must run in an event loop.
    """
    measures = Measures(tenants=settings.metrics_tenants) if measured else None
    lines = log = None
    if settings.access_log != "off":
        if sys.stdout is None:  # closed when the process began: 1 may be another file
            raise StoreMisconfigured(
                detail="FHIRSTORE_ACCESS_LOG: standard output is closed; open it, or set it to off"
            )
        writer = lines = LineWriter(sys.stdout.fileno())
        key = (settings.access_log_key or secrets.token_hex()).encode()
        log = AccessLog(settings.access_log, Identities(settings.access_log_ids, key), writer.add)
        if measures is not None:

            def lost() -> Iterable[tuple[Metric, Labels, float]]:
                yield LOST_LINES, (), writer.lost

            measures.add(lost)
    traces = None if settings.traces is None else _traces(settings.traces)
    return Observers(measures, log, traces, lines)


def share_key(settings: Settings) -> None:
    """Gives the processes that this one starts one key for the hashes of both logs, where none is set."""
    if (settings.access_log != "off" or settings.audit != "off") and settings.access_log_key is None:
        os.environ["FHIRSTORE_ACCESS_LOG_KEY"] = secrets.token_hex()


def _traces(url: str) -> Tracing:
    try:
        from server.observing.traces import to_collector  # noqa: PLC0415 - an extra, which need not be installed
    except ModuleNotFoundError as error:
        raise StoreMisconfigured(detail=_NO_TRACES) from error
    return to_collector(url)


class ByRequest:
    """A StoreObserver that tells the request for which the running task works."""

    def __init__(self, traces: Tracing | None) -> None:
        self._traces = traces

    def requested(  # noqa: PLR0917 - as StoreObserver has it
        self, verb: str, outcome: str, seconds: float, size: int = -1, moved: int = 0, count: int = 1
    ) -> None:
        self._tell(verb, outcome, seconds, count=count, size=max(size, moved))

    def wrote(self, outcome: str, seconds: float, sizes: Sequence[int]) -> None:
        self._tell("PUT", outcome, seconds, count=len(sizes), size=sum(sizes))

    def uploaded(self, outcome: str, seconds: float, size: int, requests: Mapping[str, int]) -> None:
        self._tell("PUT", outcome, seconds, count=sum(requests.values()), size=size)

    def completed(self, seconds: float, size: int) -> None:
        """Its requests were told one by one."""

    def downloaded(self, outcome: str, seconds: float, size: int) -> None:
        self._tell("GET", outcome, seconds, count=1, size=size)

    def _tell(self, verb: str, outcome: str, seconds: float, *, count: int, size: int) -> None:
        seen = current()
        if seen is None:
            return
        seen.storage += count
        if self._traces is not None:
            self._traces.storage(seen, verb, outcome, seconds=seconds, count=count, size=max(size, 0))


class Both:
    """A StoreObserver that tells two others."""

    def __init__(self, one: StoreObserver, other: StoreObserver) -> None:
        self._observers = (one, other)

    def requested(  # noqa: PLR0917 - as StoreObserver has it
        self, verb: str, outcome: str, seconds: float, size: int = -1, moved: int = 0, count: int = 1
    ) -> None:
        for each in self._observers:
            each.requested(verb, outcome, seconds, size, moved, count)

    def wrote(self, outcome: str, seconds: float, sizes: Sequence[int]) -> None:
        for each in self._observers:
            each.wrote(outcome, seconds, sizes)

    def uploaded(self, outcome: str, seconds: float, size: int, requests: Mapping[str, int]) -> None:
        for each in self._observers:
            each.uploaded(outcome, seconds, size, requests)

    def completed(self, seconds: float, size: int) -> None:
        for each in self._observers:
            each.completed(seconds, size)

    def downloaded(self, outcome: str, seconds: float, size: int) -> None:
        for each in self._observers:
            each.downloaded(outcome, seconds, size)
