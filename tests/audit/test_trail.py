"""What is written to an audit trail is read by time, patient and agent, and what is taken away is noticed."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from fhirstore.audit.segment import SPAN, parse_name
from fhirstore.errors import CorruptRecord
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from tests.audit.trails import NOON, Trails, entry


async def _written(trails: Trails, segments: int = 4) -> None:
    """One process, so many segments, ten seconds from one to the next; then its end."""
    writer = trails.writer()
    for n in range(segments):
        trails.clock.at = NOON + n * 10_000
        await writer.add(entry(patient=f"p{n}", client=f"app{n % 2}"))
    await writer.close()


async def _found(trails: Trails, **asked: object) -> list[str]:
    events = trails.trail.events(**asked)  # type: ignore[arg-type]
    return [msgspec.json.decode(event)["entity"][0]["what"]["reference"] async for event in events]


async def test_events_are_read_by_time_patient_and_agent() -> None:
    """In the order of their times; the end of the time is not part of it."""
    trails = Trails()
    await _written(trails)
    assert await _found(trails) == [f"Patient/p{n}/_history/3" for n in range(4)]
    assert await _found(trails, since=NOON + 10_000, until=NOON + 30_000) == [
        "Patient/p1/_history/3",
        "Patient/p2/_history/3",
    ]
    assert await _found(trails, patient="p3") == ["Patient/p3/_history/3"]
    assert await _found(trails, patient="p") == []
    assert len(await _found(trails, agent="app1")) == 2
    assert len(await _found(trails, agent="192.0.2.7")) == 4


async def test_only_the_time_that_is_asked_for_is_listed_and_read() -> None:
    """A trail of 60 segments of which two concern the time: these are read, and those a span before."""
    meter = MeteredStore(MemoryStore())
    trails = Trails(meter)
    writer = trails.writer(seconds=0.0)
    for n in range(60):
        trails.clock.at = NOON + n * 60_000
        await writer.add(entry())
    await writer.close()
    with meter.measure() as cost:
        found = [event async for event in trails.trail.events(since=NOON + 30 * SPAN, until=NOON + 32 * SPAN)]
    assert len(found) == 2
    assert cost.requests["LIST"] == 1 and cost.requests["GET"] <= 4


async def test_events_of_several_processes_are_merged_by_time() -> None:
    """Their segments overlap in time."""
    trails = Trails()
    one, other = trails.writer(seconds=5), trails.writer(seconds=5)
    for n in range(6):
        trails.clock.at = NOON + n * 1000
        (one if n % 2 else other).add(entry(patient=f"p{n}"))
    await asyncio.gather(one.close(), other.close())
    assert await _found(trails) == [f"Patient/p{n}/_history/3" for n in range(6)]


async def test_a_segment_spans_a_minute_at_most() -> None:
    """However long the events waited: a reader that goes back a minute misses none."""
    trails = Trails()
    writer = trails.writer(seconds=30)
    for n in range(5):
        trails.clock.at = NOON + n * 25_000
        writer.add(entry())
    await writer.close()
    names = [parse_name(key.rpartition("/")[2]) for key in await trails.keys()]
    assert [name.t - NOON for name in names if name is not None] == [0, 75_000, 100_000]


async def test_a_whole_trail_passes_the_check() -> None:
    """Of two processes that ended and one that still runs."""
    trails = Trails()
    await _written(trails)
    await _written(trails)
    running = trails.writer()
    await running.add(entry())
    report = await trails.trail.verify()
    assert report.ok and (report.processes, report.open, report.events) == (3, 1, 9)
    await running.close()


@pytest.mark.parametrize("gone", [0, 1, 2, 3])
async def test_a_segment_that_was_removed_is_missed(gone: int) -> None:
    """The first one too; the finding names the segment after it. Only the last, "final", has none after it."""
    trails = Trails()
    await _written(trails)
    await trails.objects.delete((await trails.keys())[gone])
    report = await trails.trail.verify()
    assert len(report.findings) == 1 and not report.ok
    assert report.findings[0].key == (await trails.keys())[gone]


async def test_an_end_that_was_removed_shows_as_an_open_process() -> None:
    """A process that ended says so in its last segment."""
    trails = Trails()
    await _written(trails)
    assert (await trails.trail.verify()).open == 0
    await trails.objects.delete((await trails.keys())[-1])
    assert (await trails.trail.verify()).open == 1


async def test_a_process_that_was_removed_whole_is_missed_by_the_next_one() -> None:
    """Each process names the newest segment that it found when it began."""
    trails = Trails()
    await _written(trails)
    before = await trails.keys()
    await _written(trails)
    for key in before:
        await trails.objects.delete(key)
    report = await trails.trail.verify()
    assert [finding.detail for finding in report.findings] == [
        f"names {before[-1].rpartition('/')[2]}, which is missing"
    ]


async def test_a_segment_that_was_changed_is_noticed() -> None:
    """Replaced by another valid segment, by a damaged one, by one under a wrong name."""
    for damage in (b"no segment", None):
        trails = Trails()
        await _written(trails)
        keys = await trails.keys()
        other = (await trails.objects.get(keys[2])).body
        await trails.objects.put(keys[1], other if damage is None else damage)
        report = await trails.trail.verify()
        assert keys[1] in {finding.key for finding in report.findings}
        with pytest.raises(CorruptRecord):
            await _found(trails)


async def test_a_forged_event_is_noticed() -> None:
    """A segment with one event changed, sealed anew under its name: the next one has another hash."""
    import zstandard

    trails = Trails()
    await _written(trails)
    key = (await trails.keys())[1]
    text = zstandard.ZstdDecompressor().decompressobj().decompress((await trails.objects.get(key)).body)
    forged = zstandard.ZstdCompressor().compress(text.replace(b"Patient/p1", b"Patient/p9"))
    await trails.objects.put(key, forged)
    report = await trails.trail.verify()
    assert [finding.key for finding in report.findings] == [(await trails.keys())[2]]
    assert "was changed" in report.findings[0].detail


async def test_what_has_expired_is_removed_and_not_missed() -> None:
    """Only whole segments that are old; the check is told from when on all must be there."""
    trails = Trails()
    writer = trails.writer(seconds=0.0)
    for n in range(6):
        trails.clock.at = NOON + n * SPAN * 2
        await writer.add(entry())
    await writer.close()
    horizon = NOON + 6 * SPAN
    assert await trails.trail.expire(horizon) == 3
    assert (await trails.trail.verify(expired_before=horizon)).ok
    assert not (await trails.trail.verify()).ok
    assert len(await _found(trails)) == 3
