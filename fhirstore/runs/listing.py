"""Lists runs and partitions, one level of folders at a time, by LIST with a delimiter."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from fhirstore.batched import batched
from fhirstore.commit.idempotent import listed
from fhirstore.commit.messages import List, Protocol
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import InvalidName
from fhirstore.format.keyspace import Keyspace
from fhirstore.format.runs import RunKeys, Seal, is_run, parse_segment, partition_prefix, run_keys
from fhirstore.runs.sealing import glance

_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Level:
    """What a page of one partition's folders shows: its sealed runs, and the partitions below it."""

    runs: tuple[tuple[RunKeys, Seal], ...]
    partitions: tuple[Mapping[str, str], ...]
    cursor: str | None


def level(
    keys: Keyspace,
    dataset: str,
    partition: Mapping[str, str],
    *,
    cursor: str | None,
    limit: int,
    with_runs: bool,
) -> Protocol[Level]:
    """Returns a page of what is right below a partition. 1 LIST, and 1 GET per run, 16 at once.

    Raises InvalidName, CorruptRecord (a seal), StoreDamaged, Unavailable.
    """
    prefix = partition_prefix(keys, dataset, partition)
    page = yield from listed(List(prefix, cursor=cursor, delimiter=True, limit=limit))
    below: list[Mapping[str, str]] = []
    found: list[RunKeys] = []
    for folder in page.prefixes:
        pair = parse_segment(folder.removeprefix(prefix)[:-1])
        if pair is None or pair[0] in partition:
            continue  # not ours
        with suppress(InvalidName):  # longer than any of ours
            if is_run(pair):
                found.append(run_keys(keys, dataset, partition, pair[1]))
            else:
                lower = {**partition, pair[0]: pair[1]}
                partition_prefix(keys, dataset, lower)
                below.append(lower)
    runs: list[tuple[RunKeys, Seal]] = []
    if with_runs:
        for some in batched(found, _AT_ONCE):
            seals = yield from side_by_side([glance(run) for run in some])
            runs += [(run, seal) for run, (seal, _) in zip(some, seals, strict=True) if isinstance(seal, Seal)]
    return Level(tuple(runs), tuple(below), page.cursor)
