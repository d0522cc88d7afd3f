"""A copy has all that was committed in the source, byte for byte, and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from msgspec import structs

from fhirstore import CopyProgress, CopyRefused, FhirStore, StoreMisconfigured, Tags
from fhirstore.commit.drive import drive
from fhirstore.errors import NotFound
from fhirstore.format.keyspace import copy_state
from fhirstore.format.record import Record, decode
from fhirstore.jobs.lease import claim
from fhirstore.objects.memory import MemoryStore
from fhirstore.tags import VERSION
from fhirstore.upkeep.copy.resource import Start, start_of
from fhirstore.upkeep.copy.state import EVENTS, PHASES, TABLE, CopyState
from tests.commit.hurried import HandClock
from tests.upkeep.copy.places import (
    MINUTE,
    QUICK,
    TENANT,
    Side,
    checked,
    committed,
    copy,
    fill,
    histories,
    patient,
    transact,
)
from tests.upkeep.copy.test_crashes import Stopping
from tests.upkeep.sweep import attempts


@pytest.fixture
async def source() -> Side:
    side = Side(HandClock())
    await fill(side)
    return side


def target_of(source: Side, *, bucket: bool = False) -> Side:
    return Side(source.clock, bucket=bucket)


@pytest.mark.parametrize("bucket", [False, True])
async def test_a_copy_has_every_version_event_and_payload_and_is_sound(source: Side, bucket: bool) -> None:
    """Also where the target gives the tenant a bucket instead of a prefix. What dead writers left stays behind."""
    target = target_of(source, bucket=bucket)
    report = await copy(source, target)
    assert report.outcome == "complete"
    assert report.verified is not None
    assert report.verified.source.as_json() == report.verified.target.as_json()
    assert await committed(target) == await committed(source)
    assert await histories(target.clinic) == await histories(source.clinic)
    assert await checked(target) == await checked(source) == 0
    with pytest.raises(NotFound):
        await target.clinic.read("Patient", "p3")


async def test_orphans_intents_and_claims_stay_behind(source: Side) -> None:
    """Slots and events of attempts that died, and of a transaction that was not decided, are not copied."""
    before = await committed(source)
    keys = source.place.keys
    for id_ in ("p4", "never"):
        await attempts.die(source.objects, id_, type="Patient", clock=source.clock, keys=keys)
    assert await committed(source) != before
    source.clock.ms += MINUTE
    target = target_of(source)
    assert (await copy(source, target)).outcome == "complete"
    assert await committed(target) == before
    assert await checked(target) == 0


async def test_a_second_run_copies_only_what_changed(source: Side) -> None:
    """New versions, deletions and purges of all kinds of resources arrive; the rest is not written again."""
    target = target_of(source)
    await copy(source, target)
    again = await copy(source, target)
    assert (again.outcome, again.versions) == ("complete", 0)
    await source.clinic.update(patient("p5", active=False))
    await source.clinic.delete("Patient", "p6")
    await transact(source.clinic, "p7", "new")
    source.clock.ms += MINUTE
    await source.clinic.upkeep.purge("Patient", "p8", by="tester")
    await source.clinic.upkeep.purge("Patient", "p9", by="tester")
    await source.clinic.update(patient("p9"))
    source.clock.ms += MINUTE
    report = await copy(source, target)
    assert (report.outcome, report.versions) == ("complete", 5)
    assert await committed(target) == await committed(source)
    assert await histories(target.clinic) == await histories(source.clinic)
    assert await checked(target) == 0


async def test_a_copy_of_what_is_still_written_says_so(source: Side) -> None:
    """Not complete while versions are so young that older ones may still appear; then the next run completes it."""
    target = target_of(source)
    await source.clinic.update(patient("p5", active=False))
    waits = False

    def show(progress: CopyProgress) -> None:
        nonlocal waits
        waits = progress.phase == "waiting"

    report = await source.store.copy_to(target.store, TENANT, options=QUICK, on_progress=show, stop=lambda: waits)
    assert report.outcome == "interrupted"
    with pytest.raises(StoreMisconfigured, match="unfinished copy"):
        await target.store.refuse_unfinished_copies()
    source.clock.ms += MINUTE
    assert (await copy(source, target)).outcome == "complete"
    await target.store.refuse_unfinished_copies()


async def test_a_target_with_data_of_its_own_is_refused_and_not_touched(source: Side) -> None:
    """Other data, data written since the copy, the copy of another source, and the source itself."""
    other = target_of(source)
    await other.clinic.update(patient("mine"))
    before = await other.keys()
    with pytest.raises(CopyRefused, match="no copy"):
        await copy(source, other)
    assert await other.keys() == before
    await other.store.refuse_unfinished_copies()

    target = target_of(source)
    await copy(source, target)
    source.clock.ms += MINUTE
    await target.clinic.update(patient("p0", active=True))
    source.clock.ms += MINUTE
    with pytest.raises(CopyRefused, match="written to since"):
        await copy(source, target)
    with pytest.raises(CopyRefused, match="no copy"):
        await copy(source, source)
    empty = target_of(source)
    with pytest.raises(CopyRefused, match="same store"):
        await copy(empty, empty)
    await empty.store.refuse_unfinished_copies()

    stranger = Side(source.clock)
    await stranger.clinic.update(patient("p0"))
    source.clock.ms += MINUTE
    taken = target_of(source)
    await copy(source, taken)
    with pytest.raises(CopyRefused, match="has not the versions"):
        await copy(stranger, taken)


@pytest.mark.parametrize("damage", ["content", "another attempt's", "lost"])
async def test_what_cannot_be_read_is_named_and_keeps_the_copy_incomplete(source: Side, damage: str) -> None:
    """Everything else is copied; once the source is repaired, the next run completes the copy."""
    key = source.place.keys.resource("Patient", "p7").version(1)
    sound = (await source.objects.get(key)).body
    if damage == "content":
        await source.objects.put(key, sound.replace(b'"p7"', b'"pX"'))
    elif damage == "lost":
        await source.objects.delete(key)
    else:
        await source.objects.put(key, structs.replace(decode(sound, key), op="01AAAAAAAAAAAAAAAAAAAAAAAA").encode())
    target = target_of(source)
    report = await copy(source, target)
    assert (report.outcome, report.failed) == ("incomplete", ("Patient/p7",))
    assert (await target.clinic.read("Patient", "p8")).version_id == 1
    await source.objects.put(key, sound)
    assert (await copy(source, target)).outcome == "complete"
    assert await committed(target) == await committed(source)


async def test_the_verification_finds_what_differs_and_the_next_run_mends_it(source: Side) -> None:
    """A changed version, a lost one, a lost event, a damaged payload, and a damaged file of a run."""
    target = target_of(source)
    await copy(source, target)
    keys = target.place.keys
    version = keys.resource("Patient", "p7").version(2)
    body = (await target.objects.get(version)).body
    await target.objects.put(version, body.replace(b'"other"', b'"wrong"'))
    await target.objects.delete(keys.resource("Patient", "p11").version(3))
    event = next(key for key in await target.keys() if key.startswith("history/system/") and "_p5_" in key)
    await target.objects.delete(keys.prefix + event)
    payload = next(key for key in await target.keys() if key.startswith("binary/payload/"))
    file = next(key for key in await target.keys() if key.startswith("runs/") and not key.endswith(".json"))
    for key in (payload, file):  # as many bytes as before
        size = (await target.objects.stat(keys.prefix + key)).size
        await target.objects.put(keys.prefix + key, b"x" * size)
    found = await source.store.compare_to(target.store, TENANT)
    assert sorted(found.names) == sorted(["Patient/p11", "Patient/p7", event, payload, file])
    report = await copy(source, target)
    assert report.outcome == "differs"
    assert (await copy(source, target)).outcome == "complete"
    assert await committed(target) == await committed(source)


async def test_versions_get_the_tags_that_the_target_is_to_have(source: Side) -> None:
    """So a rule of the bucket that archives versions holds for copied ones, too."""
    target = target_of(source)
    target.store = FhirStore(target.store.tenancy, tags=Tags(frozenset({VERSION})))
    await copy(source, target)
    keys = target.place.keys.resource("Patient", "p7")
    tags = {"kind": VERSION, "tenant": TENANT, "type": "Patient"}
    assert [await target.objects.get_tags(keys.version(n)) for n in (1, 2)] == [tags, tags]
    assert await target.objects.get_tags(keys.current) == {}


async def test_the_newest_version_is_not_ahead_of_the_clock_of_the_target(source: Side) -> None:
    """A target whose clock is far behind is refused as complete: its new versions would sort below the copied ones."""
    clock = HandClock(source.clock.ms - 3_600_000)
    target = Side(clock)
    with pytest.raises(CopyRefused, match="ahead of the target's clock"):
        await copy(source, target)
    with pytest.raises(StoreMisconfigured):
        await target.store.refuse_unfinished_copies()
    clock.ms = source.clock.ms
    assert (await copy(source, target)).outcome == "complete"


class Ticking(HandClock):
    """A clock that goes on by `step` ms each time it is read."""

    def __init__(self, ms: int, step: int) -> None:
        super().__init__(ms)
        self.step = step

    def now(self) -> int:
        self.ms += self.step
        return self.ms


async def test_a_second_copier_is_refused_while_the_first_is_at_work(source: Side) -> None:
    """The first renews its lease even while it waits for the source."""
    clock = Ticking(source.clock.ms, 1)
    objects = MemoryStore(clock)
    stopping = Stopping(objects, source.place.keys.resource("Patient", "p0").current)
    options = replace(QUICK, lease=4_000)
    first = asyncio.create_task(copy(source, Side(clock, given=stopping), options))
    await stopping.stopped.wait()
    with pytest.raises(CopyRefused, match="Another process"):
        await copy(source, Side(clock, given=objects), options)
    stopping.goes_on.set()
    assert (await first).complete


async def test_the_lease_of_a_dead_copier_is_waited_for(source: Side) -> None:
    """It is not renewed, so it ends, and the next copier goes on."""
    clock = Ticking(source.clock.ms, 3)
    target = Side(clock)
    await drive(claim(copy_state(TENANT), "dead", context=target.context, length=20), target.objects)
    assert (await copy(source, target)).complete
    assert await committed(target) == await committed(source)


def test_every_phase_has_an_answer_to_every_event() -> None:
    """A transition that is not in the table is refused."""
    for phase in PHASES:
        for event in EVENTS:
            state = CopyState("memory:", phase=phase, cursor="c")
            if (phase, event) in TABLE:
                assert state.after(event).phase == TABLE[phase, event]
            else:
                with pytest.raises(ValueError, match="cannot be"):
                    state.after(event)


@pytest.mark.parametrize(
    ("source", "target", "start"),
    [
        ((3, "c", 0), None, Start.NOTHING),
        ((3, "c", 0), (3, "c", 0), Start.DONE),
        ((3, "c", 0), (2, "b", 0), Start.BEHIND),
        ((3, "c", 0), (3, "x", 0), None),
        ((3, "c", 0), (4, "d", 0), None),
        ((5, "e", 3), (2, "b", 0), Start.NOTHING),
        ((5, "e", 3), (3, "c", 0), Start.NOTHING),
        ((5, "e", 3), (4, "d", 3), Start.BEHIND),
        ((5, "e", 3), (4, "d", 0), None),
        ((5, "e", 3), (3, "stub", 3), Start.NOTHING),
        ((3, "p", 3), (3, "c", 0), Start.NOTHING),
        ((3, "p", 3), (3, "stub", 3), Start.NOTHING),
        ((3, "p", 3), (3, "p", 3), Start.DONE),
        ((2, "b", 0), (3, "p", 3), None),
    ],
)
def test_where_a_copy_goes_on(
    source: tuple[int, str, int], target: tuple[int, str, int] | None, start: Start | None
) -> None:
    """(version, op, floor) on both sides decide; what the source never had is refused."""

    def record(it: tuple[int, str, int]) -> Record:
        return Record(it[0], 1, it[1], "PUT", floor=it[2])

    assert start_of(record(source), None if target is None else record(target)) is start
