"""A page costs 2 LIST and 2 GET per entry at most on a real store that holds 200,000 events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from conformance.s3servers import S3Server
from fhirstore.clock import SystemIds
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context, Limits
from fhirstore.format.keyspace import Keyspace
from fhirstore.format.record import Record
from fhirstore.history.events import EventsHistory
from fhirstore.history.page import HistoryPage, HistoryQuery
from fhirstore.history.remembered import RememberedHistories
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.embedded.store import EmbeddedStore
from fhirstore.objects.s3.options import S3Options
from fhirstore.objects.s3.store import S3Store
from fhirstore.objects.wrappers.metered import Measurement, MeteredStore
from tests.history.distributions import MANY, NOW, bursts, steady

KEYS = Keyspace("t/")
IN_FLIGHT = 64
READABLE = 6_000  # of the newest events, those that pages will read: they get their version objects
PAGES = 60


class Seeded:
    """A store with the events of one type at these times. Every third resource has two versions."""

    def __init__(self, objects: ObjectStore, times: list[int]) -> None:
        self.meter = MeteredStore(objects)
        self.times = times

    def objects(self) -> Iterator[tuple[str, bytes]]:
        """All events, which are empty, and the records of the newest."""
        times = iter(self.times)
        for number, t in enumerate(times):
            keys = KEYS.resource("Basic", f"x{number:07d}")
            record = b""
            for version, made in enumerate([t, *islice(times, 1)] if number % 3 == 0 else [t], 1):
                op = f"01A{number}V{version}"
                yield keys.type_event(made, version, "PUT", op), b""
                if made >= self.times[-READABLE]:
                    record = Record(version, made, op, "PUT", b'{"resourceType":"Basic"}').encode()
                    yield keys.version(version), record
            if record:
                yield keys.current, record

    async def page(
        self, query: HistoryQuery, remembered: RememberedHistories, cursor: str | None = None
    ) -> tuple[HistoryPage, Measurement]:
        """One page, at NOW, and its cost."""
        context = Context(lambda: NOW, SystemIds(), Limits())
        history = EventsHistory("t", KEYS, "Basic", query, remembered, context)
        with self.meter.measure() as cost:
            return await drive(history.page(cursor), self.meter), cost


async def _put_all(store: ObjectStore, objects: Iterator[tuple[str, bytes]]) -> None:
    async def work() -> None:
        for key, body in objects:
            await store.put(key, body)

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(work())


async def _put_in_filer(server: S3Server, prefix: str, keys: Iterator[str]) -> None:
    """Empty objects by way of SeaweedFS's filer, which asks for no signatures: several times as quick as S3."""
    assert server.process is not None
    option = "-filer.port="
    (port,) = (int(part.removeprefix(option)) for part in server.process.command if part.startswith(option))

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while batch := list(islice(keys, IN_FLIGHT)):
            for key in batch:
                target = f"/buckets/{server.bucket}/{prefix}/{key}"
                writer.write(f"PUT {target} HTTP/1.1\r\nHost: filer\r\nContent-Length: 0\r\n\r\n".encode())
            for _ in batch:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                assert head.startswith(b"http/1.1 201"), head
                await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r")[0] or b"0"))
        writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(work())


async def _embedded(folder: Path, times: list[int]) -> AsyncIterator[Seeded]:
    store = await EmbeddedStore.open(folder)
    seeded = Seeded(store, times)
    await _put_all(store, seeded.objects())
    yield seeded
    await store.aclose()


async def _check(seeded: Seeded) -> None:
    """First pages, following ones and those of `since` cost what they may, and show every event once."""
    remembered = RememberedHistories()
    first, cold = await seeded.page(HistoryQuery(), remembered)
    assert cold.requests["LIST"] <= 6, "the first page of a process"
    _within(first, cold, watermark=1)
    for count in (10, 50, 250):
        await _page_through(seeded, HistoryQuery(count=count), remembered)
    for back in (10, 900, 1_100, 5_000):
        await _page_through(seeded, HistoryQuery(since=seeded.times[-back]), remembered)
        await _page_through(seeded, HistoryQuery(since=seeded.times[-back], oldest_first=True), remembered)


async def _page_through(seeded: Seeded, query: HistoryQuery, remembered: RememberedHistories) -> None:
    asked = [t for t in seeded.times[-READABLE:] if query.since is None or t >= query.since]
    seen: list[int] = []
    cursor: str | None = None
    pages = 0
    while pages < PAGES and len(seen) + query.count < READABLE:
        page, cost = await seeded.page(query, remembered, cursor)
        _within(page, cost)
        seen += [version.last_updated_ms for version in page.versions]
        pages += 1
        cursor = page.next
        if cursor is None:
            break
    assert len(seen) > 0.7 * min(len(asked), pages * query.count), "pages are about as long as asked for"
    assert seen == (asked if query.oldest_first else asked[::-1])[: len(seen)]
    assert cursor is not None or len(seen) == len(asked)


def _within(page: HistoryPage, cost: Measurement, *, watermark: int = 0) -> None:
    assert cost.requests["LIST"] <= 2 or watermark, cost.requests
    assert cost.requests.get("GET", 0) <= 2 * len(page.versions) + watermark, cost.requests
    assert set(cost.requests) <= {"LIST", "GET"}


@pytest.mark.parametrize("distribution", [steady, bursts])
@pytest.mark.slow
async def test_on_the_embedded_store(tmp_path: Path, distribution: Callable[[int], list[int]]) -> None:
    """Events spread over months, and events in bursts."""
    async for seeded in _embedded(tmp_path, distribution(MANY)):
        await _check(seeded)


@pytest.mark.slow
async def test_on_s3(seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half spread over months, half in bursts; on a server that lists what it keeps on disk."""
    seaweedfs.use(monkeypatch)
    options = S3Options(endpoint_url=seaweedfs.endpoint_url, allow_http=True)
    store = await S3Store.open(seaweedfs.location("many"), options)
    try:
        seeded = Seeded(store, sorted(steady(MANY // 2) + bursts(MANY // 2)))
        await _put_in_filer(seaweedfs, "many", (key for key, body in seeded.objects() if not body))
        await _put_all(store, (item for item in seeded.objects() if item[1]))
        await _check(seeded)
    finally:
        await store.aclose()
