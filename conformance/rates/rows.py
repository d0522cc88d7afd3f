"""What a run found out, as values: rows of medians, and the ratios that are promised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from conformance.rates.sampling import Sample

EMPTY_GET = "empty GET"
EMPTY_POST = "empty POST, 2 KB"
RAW_PUT = "raw obstore PUT"

Samples = Mapping[str, Sequence[Sample]]  # by row, one per round


@dataclass(frozen=True, slots=True)
class Row:
    """One interaction, or one yardstick. Rates in requests per second, CPU in µs per request; None: not known."""

    name: str
    cpu_us: float | None
    s3_cpu_us: float | None
    rate: float
    unexpected: Mapping[int, int]

    @classmethod
    def of(cls, name: str, samples: Sequence[Sample]) -> Row:
        """The median of some samples."""
        unexpected: Counter[int] = Counter()
        for each in samples:
            unexpected.update(each.unexpected)
        return cls(
            name=name,
            cpu_us=_median([each.cpu_us for each in samples]),
            s3_cpu_us=_median([each.s3_cpu_us for each in samples]),
            rate=median(each.rate for each in samples),
            unexpected=dict(unexpected),
        )


@dataclass(frozen=True, slots=True)
class Ratio:
    """One rate over a yardstick's: the median over rounds, since both were measured in each. `wanted`: at least.

    `by_cpu` is the yardstick's CPU time over this one's: what `value` would be were the server's threads never to
    overlap and its processor its own. It hardly moves on a busy machine.
    """

    name: str
    value: float
    by_cpu: float | None
    wanted: float | None


@dataclass(frozen=True, slots=True)
class Subject:
    """Everything about one store, or one server."""

    name: str
    rows: tuple[Row, ...]
    ratios: tuple[Ratio, ...]

    @property
    def clean(self) -> bool:
        """Was every answer the expected one?"""
        return not any(row.unexpected for row in self.rows)


@dataclass(frozen=True, slots=True)
class Promise:
    """A ratio worth printing, and on which stores how much of it is asked."""

    name: str
    of: str
    to: str
    divisor: float
    wanted: Mapping[str, float]


PROMISES = (
    Promise("read / empty GET", "read", EMPTY_GET, 1, {"embedded": 0.5}),
    Promise("create / empty GET", "create", EMPTY_GET, 1, {"embedded": 0.25}),
    Promise("create / empty POST, 2 KB", "create", EMPTY_POST, 1, {}),
    Promise("create / (raw obstore PUT / 4)", "create", RAW_PUT, 4, {"s3": 0.6}),
)


def ratios(store: str, samples: Samples) -> tuple[Ratio, ...]:
    """The promised ratios whose two sides were both measured."""
    return tuple(
        _ratio(promise, store, samples[promise.of], samples[promise.to])
        for promise in PROMISES
        if promise.of in samples and promise.to in samples
    )


def _ratio(promise: Promise, store: str, of: Sequence[Sample], to: Sequence[Sample]) -> Ratio:
    rates = [a.rate * promise.divisor / b.rate if b.rate else 0.0 for a, b in zip(of, to, strict=True)]
    cpu = [b.cpu_us / a.cpu_us if a.cpu_us and b.cpu_us else None for a, b in zip(of, to, strict=True)]
    return Ratio(promise.name, median(rates), _median(cpu), promise.wanted.get(store))


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
