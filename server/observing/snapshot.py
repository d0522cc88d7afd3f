"""The values of all metrics of one process at one moment, and those of several processes together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from server.observing.catalogue import CATALOGUE, PROCESSES, Kind, Together

Labels = tuple[str, ...]


class Distribution(msgspec.Struct, frozen=True):
    """The values of a histogram. `counts`: one for each bound, of values up to it and over the one before; one more."""

    counts: list[int]
    total: float


class Snapshot(msgspec.Struct, frozen=True):
    """The values of one process, or of several. `at`: by the machine's monotonic clock, seconds."""

    pid: int
    at: float
    values: dict[str, list[tuple[Labels, float]]]
    distributions: dict[str, list[tuple[Labels, Distribution]]]


def of_the_dead(snapshot: Snapshot) -> Snapshot:
    """Returns what remains of a process that has ended: what it counted."""
    values = {name: series for name, series in snapshot.values.items() if not CATALOGUE[name].lives}
    return msgspec.structs.replace(snapshot, values=values)


def merged(living: Sequence[Snapshot], dead: Sequence[Snapshot] = ()) -> Snapshot:
    """Returns the values of these processes together."""
    snapshots = [*living, *map(of_the_dead, dead)]
    values: dict[str, dict[Labels, float]] = {}
    distributions: dict[str, dict[Labels, Distribution]] = {}
    for snapshot in snapshots:
        for name, series in snapshot.values.items():
            highest = CATALOGUE[name].kind is Kind.GAUGE and CATALOGUE[name].together is Together.HIGHEST
            into = values.setdefault(name, {})
            for labels, value in series:
                before = into.get(labels)
                into[labels] = value if before is None else max(before, value) if highest else before + value
        for name, shapes in snapshot.distributions.items():
            distributions[name] = together([*distributions.get(name, {}).items(), *shapes])
    if living:
        values[PROCESSES.name] = {(): float(len(living))}
    return Snapshot(
        0,
        max((one.at for one in snapshots), default=0.0),
        {name: list(series.items()) for name, series in values.items()},
        {name: list(series.items()) for name, series in distributions.items()},
    )


def sums(values: Iterable[tuple[Labels, float]]) -> dict[Labels, float]:
    """Returns values by labels; those with equal labels are added."""
    found: dict[Labels, float] = {}
    for labels, value in values:
        found[labels] = found.get(labels, 0.0) + value
    return found


def together(shapes: Iterable[tuple[Labels, Distribution]]) -> dict[Labels, Distribution]:
    """Returns distributions by labels; those with equal labels are added."""
    found: dict[Labels, Distribution] = {}
    for labels, shape in shapes:
        one = found.get(labels)
        if one is None:
            found[labels] = shape
        else:
            counts = [a + b for a, b in zip(one.counts, shape.counts, strict=True)]
            found[labels] = Distribution(counts, one.total + shape.total)
    return found
