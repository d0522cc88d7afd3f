"""The events of a process become few segments, and none is lost that was said to be stored."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from fhirstore.audit.writer import Held
from fhirstore.errors import OutcomeUnknown, StoreUnavailable
from fhirstore.objects.base import Condition, Written
from fhirstore.objects.facts import Facts
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.version import Version
from tests.audit.trails import Trails, entry


class Shaky(MemoryStore):
    """Fails PUTs while `failing`: before they are applied, or after (`applies`)."""

    failing = False
    applies = False

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        if self.failing and self.applies:
            await super().put(key, body, condition=condition, expires=expires, facts=facts)
            raise OutcomeUnknown(key, "no answer")
        if self.failing:
            raise StoreUnavailable(key, "down")
        return await super().put(key, body, condition=condition, expires=expires, facts=facts)


async def test_many_events_cost_one_put() -> None:
    """A thousand events in a moment: one segment, and one LIST at the start of the process."""
    meter = MeteredStore(MemoryStore())
    trails = Trails(meter)
    writer = trails.writer(seconds=0.05)
    await asyncio.gather(*[asyncio.shield(writer.add(entry())) for _ in range(1000)])
    assert meter.totals.requests == {"LIST": 1, "PUT": 1}
    assert (await trails.trail.verify()).events == 1000
    await writer.close()


async def test_who_waits_goes_on_when_the_event_is_stored() -> None:
    """Not before; and while one segment is under way, the next ones gather."""
    trails = Trails()
    writer = trails.writer()
    stored = writer.add(entry())
    assert not stored.done() and not await trails.keys()
    await stored
    assert len(await trails.keys()) == 1 and trails.held.used == 0
    await writer.close()


@pytest.mark.parametrize("applies", [False, True])
async def test_a_segment_is_sent_until_it_is_stored_once(applies: bool) -> None:
    """Whether the attempt that failed was applied or not; the chain stays whole, and failures are told."""
    store = Shaky()
    store.failing, store.applies = True, applies
    trails = Trails(store)
    writer = trails.writer()
    stored = writer.add(entry())
    async with asyncio.timeout(30):
        await trails.failed.wait()
        assert not stored.done()
        store.failing = False
        await stored
    await writer.add(entry())
    await writer.close()
    report = await trails.trail.verify()
    assert report.ok and (report.segments, report.events, report.open) == (3, 2, 0)


async def test_a_store_that_is_down_fills_the_room_and_no_more() -> None:
    """The caller sees that there is no room; what was dropped is counted in the trail itself."""
    store = Shaky()
    store.failing = True
    trails = Trails(store, held=Held(20_000))
    writer = trails.writer()
    added = dropped = 0
    for _ in range(100):
        if trails.held.full:
            writer.lose()
            dropped += 1
        else:
            writer.add(entry())
            added += 1
    assert (added, dropped) == (20, 80)
    await asyncio.sleep(0.05)
    store.failing = False
    await writer.close()
    report = await trails.trail.verify()
    assert (report.events, report.lost) == (20, 80) and trails.held.used == 0


async def test_a_waiter_that_is_cancelled_takes_nothing_from_others() -> None:
    """Each shields the future that all share."""
    trails = Trails()
    writer = trails.writer(seconds=0.05)

    async def wait() -> None:
        await asyncio.shield(writer.add(entry()))

    one, other = asyncio.create_task(wait()), asyncio.create_task(wait())
    await asyncio.sleep(0.01)
    one.cancel()
    await other
    assert (await trails.trail.verify()).events == 2
    await writer.close()


async def test_an_event_is_kept_though_its_resource_cannot_be_read() -> None:
    """Without the patients that the content would tell; that it failed is told."""

    def broken(content: bytes) -> list[str]:
        raise ValueError("no resource")

    trails = Trails()
    writer = trails.writer(patients_of=broken)
    version = Version("Observation", "o1", 1, 0, "PUT", b"{}")
    await writer.add(msgspec.structs.replace(entry(), versions=(version,)))
    await writer.add(entry())
    await writer.close()
    assert len(trails.failures) == 1
    report = await trails.trail.verify()
    assert report.ok and report.events == 2
