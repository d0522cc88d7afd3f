"""Takes the times of searches, and counts what they find."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from itertools import cycle, islice

import httpx

from conformance.bench.search.notes import Timing
from conformance.bench.search.questions import Drawing, Kind
from conformance.rates.cpu import cpu_seconds
from conformance.rates.load import LoadFailed, Target, offer
from conformance.rates.workload import MEDIA_TYPE

_SAMPLE = 12  # answers of a kind that are looked into
_WARM = 30  # searches of a kind before they are timed
_POLL = 0.2  # seconds between the searches while an index is built
_BUILD_SECONDS = 7200.0
_HEADERS = {"Accept": MEDIA_TYPE}


class NotSupported(Exception):
    """A kind of search is answered 501."""


async def until_searchable(client: httpx.AsyncClient, base: str) -> None:
    """Returns when a search is answered. Raises LoadFailed where it is refused, or that takes more than two hours."""
    deadline = time.monotonic() + _BUILD_SECONDS
    while True:
        answer = await client.get(f"{base}/Patient", params={"family": "A", "_count": "1"})
        if answer.status_code == 200:
            return
        if answer.status_code != 503:
            raise LoadFailed(f"a search was answered {answer.status_code}: {answer.text[:300]}")
        if time.monotonic() > deadline:
            raise LoadFailed(f"the index was not built after {_BUILD_SECONDS:.0f} s: {answer.text[:300]}")
        await asyncio.sleep(_POLL)


async def check_counts(client: httpx.AsyncClient, base: str, types: Mapping[str, int]) -> None:
    """Raises LoadFailed where the index does not have each resource that was stored."""
    for type_, expected in types.items():
        answer = await client.get(f"{base}/{type_}", params={"_summary": "count"})
        if answer.status_code != 200 or answer.json().get("total") != expected:
            told = answer.json().get("total") if answer.status_code == 200 else answer.text[:300]
            raise LoadFailed(f"{expected:,} {type_} were stored; a count says {answer.status_code}: {told}")


async def found_by(client: httpx.AsyncClient, base: str, paths: list[str]) -> float:
    """Returns how many resources these searches find on average; for one that only counts, the total.

    Raises LoadFailed where one is refused, or none of them finds anything; NotSupported.
    """
    found = 0
    for path in paths[:_SAMPLE]:
        answer = await client.get(base + path, headers=_HEADERS)
        if answer.status_code == 501:
            raise NotSupported
        if answer.status_code != 200:
            raise LoadFailed(f"{path} was answered {answer.status_code}: {answer.text[:500]}")
        content = answer.json()
        if content["resourceType"] != "Bundle":
            found += 1
        elif "_summary=count" in path:
            found += content["total"]
        else:
            found += sum(entry["search"]["mode"] != "outcome" for entry in content.get("entry", ()))
    if not found:
        raise LoadFailed(f"none of {_SAMPLE} searches such as {paths[0]} finds anything")
    return found / len(paths[:_SAMPLE])


async def measure(
    client: httpx.AsyncClient, base: str, kind: Kind, drawing: Drawing, *, pid: int, clients: int, seconds: float
) -> Timing:
    """Times one kind of search. Raises LoadFailed where any answer is not a 200, NotSupported."""
    paths = kind.variants(drawing)
    found = await found_by(client, base, paths)
    target = Target.of(base)
    requests = [target.request("GET", path, headers=_HEADERS) for path in paths]
    await offer(target, islice(cycle(requests), _WARM), connections=clients, seconds=60)
    load, before = os.getloadavg()[0], cpu_seconds(pid)
    tally = await offer(target, cycle(requests), connections=clients, seconds=seconds, keep_latencies=True)
    spent = cpu_seconds(pid) - before
    if tally.others((200,)):
        raise LoadFailed(f"{kind.name}: searches were answered {tally.statuses}")
    times = sorted(tally.latencies)
    return Timing(
        clients=clients,
        rate=tally.rate,
        p50=times[len(times) // 2],
        p99=times[len(times) * 99 // 100],
        cpu=spent / len(times),
        found=found,
        load=load,
    )
