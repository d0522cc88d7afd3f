"""Two servers, each with an index of its own, on one store; and what must hold of their searches."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from conformance.s3servers import REGION, S3Server
from fhirstore import FhirStore, IndexOptions, S3Options, TenantStore
from fhirstore.errors import Contention

_BUNDLE = 200
_PATIENCE = 120.0  # seconds for the writes between two pages


@asynccontextmanager
async def two_servers(
    location: str, folder: Path, *, s3: S3Options | None = None
) -> AsyncIterator[tuple[TenantStore, TenantStore]]:
    """Two machines that know nothing of each other but the store."""
    async with AsyncExitStack() as stack:
        found = []
        for name in ("one", "other"):
            index = IndexOptions(folder=folder / name, follow=True)
            store = await stack.enter_async_context(FhirStore.open(location, s3=s3, index=index))
            found.append(store.tenant("default"))
        yield found[0], found[1]


def options_of(server: S3Server) -> S3Options:
    """How to reach it."""
    return S3Options(endpoint_url=server.endpoint_url, region=REGION, allow_http=True)


@dataclass(slots=True)
class Found:
    """How often a search of the other server found what was just acknowledged. `missed`: what it showed instead."""

    found: int = 0
    missed: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def found_at_once(one: TenantStore, other: TenantStore, count: int, *, clients: int = 8) -> Found:
    """Creates, updates and deletes by turns on either, each looked for on the other as soon as it is acknowledged."""
    done, began, numbers = Found(), time.monotonic(), iter(range(count))

    async def client() -> None:
        for number in numbers:
            here, there = (one, other) if number % 2 else (other, one)
            await _write_and_look(here, there, number, done)

    await asyncio.gather(*[client() for _ in range(clients)])
    done.seconds = time.monotonic() - began
    return done


async def _write_and_look(here: TenantStore, there: TenantStore, number: int, done: Found) -> None:
    mark = f"Mark{number:06d}"
    made = await here.create(_patient(mark))
    expected = [(made.id, made.version_id)]
    if number % 3 == 1:
        changed = await here.update({**_patient(mark), "id": made.id, "active": True})
        expected = [(changed.id, changed.version_id)]
    elif number % 3 == 2:
        await here.delete("Patient", made.id)
        expected = []
    page = await there.search("Patient", family=mark)
    shown = [(one.id, one.version_id) for one in page.matches]
    if shown == expected:
        done.found += 1
    else:
        done.missed.append(f"{mark}: {shown}, not {expected}")


@dataclass(slots=True)
class Paged:
    """`wrong`: what the pages showed that they should not. `writes`: that were acknowledged meanwhile."""

    matches: int = 0
    pages: int = 0
    writes: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0


async def paged(reading: TenantStore, writing: TenantStore, count: int, *, page: int, least: int) -> Paged:
    """Pages through so many matches while the other server updates, creates and deletes them.

    `least`: writes between two pages.
    """
    there = await _fill(writing, count)
    done, began = Paged(), time.monotonic()
    seen: Counter[tuple[str, int]] = Counter()
    first = await reading.search("Patient", {"family": "sought", "_count": str(page), "_total": "accurate"})
    stop, wrote = asyncio.Event(), asyncio.Condition()
    writer = asyncio.create_task(_write(writing, sorted(there), stop, wrote, done))
    shown = first
    while True:
        done.pages += 1
        seen.update((one.id, one.version_id) for one in shown.matches)
        if shown.total != count:
            done.wrong.append(f"page {done.pages} says that there are {shown.total}")
        if shown.next is None:
            break
        async with asyncio.timeout(_PATIENCE):
            await _written(done, done.writes + least, wrote)
        shown = await reading.search_page(first.query, cursor=shown.next)
    stop.set()
    await writer
    done.matches, done.seconds = sum(seen.values()), time.monotonic() - began
    expected = Counter(dict.fromkeys(((id_, 1) for id_ in there), 1))
    done.wrong += [
        f"{name} version {version} {times} times too often" for (name, version), times in (seen - expected).items()
    ]
    done.wrong += [f"{name} version {version} is missing" for name, version in expected - seen]
    return done


async def _written(done: Paged, enough: int, wrote: asyncio.Condition) -> None:
    async with wrote:
        await wrote.wait_for(lambda: done.writes >= enough)


async def _fill(store: TenantStore, count: int) -> set[str]:
    ids: set[str] = set()
    for start in range(0, count, _BUNDLE):
        entries = [
            {"resource": _patient("Sought"), "request": {"method": "POST", "url": "Patient"}}
            for _ in range(min(_BUNDLE, count - start))
        ]
        made = await store.batch({"resourceType": "Bundle", "type": "batch", "entry": entries})
        ids.update(one.version.id for one in made.results if one.version is not None)
    if len(ids) != count:
        raise RuntimeError(f"{len(ids)} of {count} Patients were created")
    return ids


async def _write(
    store: TenantStore, ids: list[str], stop: asyncio.Event, wrote: asyncio.Condition, done: Paged
) -> None:
    dice = random.Random(1)

    async def client() -> None:
        while not stop.is_set():
            id_, roll = dice.choice(ids), dice.random()
            with suppress(Contention):  # two of them at one resource
                if roll < 0.5:
                    await store.update({**_patient(dice.choice(("Sought", "Other"))), "id": id_, "active": True})
                elif roll < 0.75:
                    await store.delete("Patient", id_)
                else:
                    await store.create(_patient("Sought"))
                async with wrote:
                    done.writes += 1
                    wrote.notify_all()

    await asyncio.gather(*[client() for _ in range(4)])


def _patient(family: str) -> dict[str, object]:
    return {"resourceType": "Patient", "name": [{"family": family}]}
