"""Fills a server with a population: batches of PUTs, since the ids are part of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice

from conformance.bench.search.notes import Notes
from conformance.population.population import Generated, Population
from conformance.rates.load import LoadFailed, Target, offer
from conformance.rates.workload import MEDIA_TYPE

_STRETCH = 10_000  # resources between two notes
_ENTRIES = 100  # of a batch
_CONNECTIONS = 4  # a batch is many writes at once
_SECONDS = 3600.0  # of a stretch
_LAST = "Provenance"  # what comes last of each patient

Say = Callable[[str], None]


async def fill(target: Target, notes: Notes, say: Say) -> None:
    """Stores what is missing of the population. What was being stored when a run broke is stored again: as it is the
    same, it makes no new versions. Raises LoadFailed."""
    note = notes.note
    made = islice(Population(note.seed).take(note.resources), note.stored, None)
    note.began = note.began or _now()
    while some := list(islice(made, _STRETCH)):
        say(f"storing {note.resources:,} resources: {note.stored:,} ({note.stored / (note.filling or 1):,.0f}/s)")
        began = time.perf_counter()
        tally = await offer(target, _batches(target, some), connections=_CONNECTIONS, seconds=_SECONDS)
        if tally.others((200,)):
            raise LoadFailed(f"filling the server: batches were answered {tally.statuses}")
        note.filling += time.perf_counter() - began
        note.stored += len(some)
        note.patients += sum(each.type == _LAST for each in some)
        for each in some:
            note.types[each.type] = note.types.get(each.type, 0) + 1
        note.ended = _now()
        notes.keep()


def _batches(target: Target, some: list[Generated]) -> Iterator[bytes]:
    headers = {"Content-Type": MEDIA_TYPE, "Prefer": "return=minimal"}
    for start in range(0, len(some), _ENTRIES):
        body = b",".join(
            b'{"request":{"method":"PUT","url":"%s/%s"},"resource":%s}'
            % (each.type.encode(), each.id.encode(), each.content)
            for each in some[start : start + _ENTRIES]
        )
        bundle = b'{"resourceType":"Bundle","type":"batch","entry":[%s]}' % body
        yield target.request("POST", "", bundle, headers)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
