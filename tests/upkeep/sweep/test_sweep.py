"""The sweeper removes exactly what dead attempts left, harms no live writer, and says how far it got."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Limits
from fhirstore.commit.messages import Batch, Delete, Protocol, Replies
from fhirstore.commit.purge import purge
from fhirstore.commit.reading import look, vread
from fhirstore.commit.single import write
from fhirstore.errors import Contention, OutcomeUnknown
from fhirstore.format.keyspace import parse_event
from fhirstore.format.record import decode
from fhirstore.history.watermark import read_watermark
from fhirstore.objects import open_objects
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.upkeep.sweep.removal import remove_slot
from fhirstore.upkeep.sweep.run import Pace, SweepReport, sweep
from server.cli import app
from tests.commit.hurried import HandClock, hurried, hurry
from tests.commit.writing import once
from tests.upkeep.sweep.attempts import KEYS, SETTLED, basic, context, die, keys_of, put

TIGHT = Pace(page=3, at_once=2)


async def _sweep(store: ObjectStore, clock: HandClock, pace: Pace | None = None) -> SweepReport:
    return await hurry(sweep(KEYS, context=context(store), pace=pace), store, clock)


@pytest.mark.parametrize("pace", [Pace(), TIGHT])
async def test_orphans_go_and_versions_stay(pace: Pace) -> None:
    """Of committed versions nothing changes; of dead attempts nothing is left, with and without a current."""
    clock = HandClock()
    store = MemoryStore(clock)
    for n in range(5):
        await put(store, clock, f"a{n}")
        await put(store, clock, "b", type="Patient")
    await put(store, clock, "a1", method="DELETE")
    before = await keys_of(store)
    await die(store, "a3")
    await die(store, "b", type="Patient")
    await die(store, "new", type="Group")
    clock.ms += SETTLED
    report = await _sweep(store, clock, pace)
    assert (report.outcome, report.checked, report.orphans, report.slots) == ("swept", 14, 3, 3)
    stub = KEYS.resource("Group", "new").current
    assert await keys_of(store) == sorted([*before, stub, KEYS.sweep_state])
    assert decode((await store.get(stub)).body, stub).version == 0


async def test_attempts_that_may_still_commit_are_left_alone() -> None:
    """Nothing younger than `settled` is touched, and the watermark stays below it."""
    clock = HandClock()
    store = MemoryStore(clock)
    await put(store, clock, "a")
    clock.ms += 1_000
    await die(store, "a")
    young = clock.ms
    clock.ms += SETTLED - 1_100
    report = await _sweep(store, clock)
    assert (report.checked, report.orphans) == (1, 0)
    assert report.watermark <= young
    assert len(await keys_of(store, "t/history/")) == 4


async def test_an_overwritten_attempt_leaves_only_events_and_they_go() -> None:
    """Its slot belongs to the version that was committed there; so there is nothing to hold."""
    clock = HandClock()
    store = MemoryStore(clock)
    await put(store, clock, "a")
    await die(store, "a")
    await put(store, clock, "a")  # fences, and so gives up a first attempt of its own
    await put(store, clock, "a")
    clock.ms += SETTLED
    report = await _sweep(store, clock)
    assert (report.orphans, report.slots) == (2, 0)
    base, _ = await drive(look(KEYS.resource("Basic", "a")), store)
    assert base.record is not None
    assert (base.record.version, base.record.hold) == (3, 0)
    assert await drive(vread(KEYS.resource("Basic", "a"), 2, limits=Limits()), store) is not None
    assert len(await keys_of(store, "t/history/")) == 6


async def test_the_next_pass_starts_at_the_watermark() -> None:
    """Requests of a second pass do not grow with what the first one checked."""
    clock = HandClock()
    inner = MemoryStore(clock)
    for n in range(30):
        await put(inner, clock, f"a{n}")
    clock.ms += SETTLED
    store = MeteredStore(inner)
    with store.measure() as first:
        report = await drive(sweep(KEYS, context=context(store)), store)
    assert report.checked == 30
    assert first.requests == {"GET": 1 + 30, "PUT": 2, "LIST": 5}
    clock.ms += SETTLED
    with store.measure() as second:
        report = await drive(sweep(KEYS, context=context(store)), store)
    assert report.checked == 0
    assert second.requests == {"GET": 1, "PUT": 2, "LIST": 5}
    assert await drive(read_watermark(KEYS), store) == report.watermark == clock.ms - Limits().settled - 1_000


async def test_an_orphan_costs_what_its_docstring_says() -> None:
    """With a slot: 2 GET to judge it, 2 GET, 1 PUT and 2 DELETE to remove it."""
    clock = HandClock()
    inner = MemoryStore(clock)
    await put(inner, clock, "a")
    clock.ms += 10
    await die(inner, "a")
    clock.ms += SETTLED
    store = MeteredStore(inner)
    with store.measure() as cost:
        report = await drive(sweep(KEYS, context=context(store)), store)
    assert (report.checked, report.slots) == (2, 1)
    assert cost.requests == {"GET": 1 + 2 + 2, "PUT": 2 + 1, "LIST": 5, "DELETE": 2}


async def test_a_tenant_without_anything_is_swept_in_seven_requests() -> None:
    """1 GET, 2 PUT, 4 LIST; and the watermark moves."""
    clock = HandClock()
    store = MeteredStore(MemoryStore(clock))
    with store.measure() as cost:
        report = await drive(sweep(KEYS, context=context(store)), store)
    assert cost.requests == {"GET": 1, "PUT": 2, "LIST": 4}
    assert report.watermark == clock.ms - Limits().settled - 1_000


async def test_a_pass_that_dies_anywhere_is_finished_by_the_next() -> None:
    """Killed at each of its requests in turn; the next pass, once the lease is over, cleans up."""
    killed_at = 0
    finished = False
    while not finished:
        clock = HandClock()
        store = MemoryStore(clock)
        await put(store, clock, "a")
        before = await keys_of(store)
        await die(store, "a")
        clock.ms += SETTLED
        finished = await drive(_killed(hurried(sweep(KEYS, context=context(store)), clock), killed_at), store)
        clock.ms += Pace().lease + SETTLED
        report = await _sweep(store, clock)
        assert report.outcome == "swept"
        assert await keys_of(store) == [*before, KEYS.sweep_state]
        killed_at += 1
    assert killed_at > 8


def _killed(protocol: Protocol[SweepReport], at: int) -> Protocol[bool]:
    """Die after `at` batches; True when the protocol ended before."""
    replies: Replies | None = None
    for _ in range(at):
        try:
            batch: Batch = next(protocol) if replies is None else protocol.send(replies)
        except StopIteration:
            return True
        replies = yield batch
    protocol.close()
    return False


async def test_one_sweeper_at_a_time() -> None:
    """While one holds the lease another does nothing; a lease that ran out is taken, and its owner stops."""
    clock = HandClock()
    store = MemoryStore(clock)
    for n in range(4):
        await put(store, clock, f"a{n}")
        clock.ms += 1
    clock.ms += SETTLED
    slow = sweep(KEYS, context=context(store), pace=TIGHT)
    batch = next(slow)
    for _ in range(6):  # claims, lists, begins to check
        batch = slow.send(await drive(once(batch), store))
    assert (await _sweep(store, clock)).outcome == "held"
    clock.ms += TIGHT.lease + 1
    other = await _sweep(store, clock)
    assert (other.outcome, other.checked) == ("swept", 4)
    report = await hurry(_rest(slow, batch), store, clock)
    assert report.outcome == "lost"
    assert await drive(read_watermark(KEYS), store) == other.watermark


async def test_a_pass_that_is_asked_to_stop_hands_its_lease_back() -> None:
    """After the batch under way; another sweeper begins at once where this one ended."""
    clock = HandClock()
    store = MemoryStore(clock)
    for n in range(6):
        await put(store, clock, f"a{n}")
    clock.ms += SETTLED
    asked: list[None] = []

    def stopping() -> bool:
        asked.append(None)
        return len(asked) == 2

    stopped = await hurry(sweep(KEYS, context=context(store), pace=TIGHT, stopping=stopping), store, clock)
    assert (stopped.outcome, stopped.checked) == ("stopped", 4)
    assert msgspec.json.decode((await store.get(KEYS.sweep_state)).body)["owner"] is None
    rest = await _sweep(store, clock, TIGHT)
    assert (rest.outcome, rest.checked) == ("swept", 6)


def _rest(protocol: Protocol[SweepReport], batch: Batch) -> Protocol[SweepReport]:
    while True:
        replies = yield batch
        try:
            batch = protocol.send(replies)
        except StopIteration as end:
            report: SweepReport = end.value
            return report


async def test_a_writer_that_comes_during_a_removal_waits_out_the_hold_and_loses_nothing() -> None:
    """Between the hold and the DELETE a writer starts: it reserves the slot only after the hold is over."""
    clock = HandClock()
    store = MemoryStore(clock)
    await put(store, clock, "a")
    await die(store, "a")
    clock.ms += SETTLED
    keys = KEYS.resource("Basic", "a")
    op = decode((await store.get(keys.version(2))).body, "k").op
    removal = remove_slot(keys, 2, op, context=context(store))
    batch = next(removal)
    while not (isinstance(batch, tuple) and isinstance(batch[0], Delete)):
        batch = removal.send(await drive(once(batch), store))
    held_from = clock.ms
    record = await put(store, clock, "a")
    assert clock.ms > held_from + Limits().window
    assert record.version == 2
    late = await drive(once(batch), store)  # the DELETE, late: refused by its window
    with pytest.raises(StopIteration) as end:
        batch = removal.send(late)
        while True:
            batch = removal.send(await drive(once(batch), store) if isinstance(batch, tuple) else ())
    assert end.value.value is False
    assert decode((await store.get(keys.version(2))).body, "k").op == record.op


class Losing(MemoryStore):
    """A memory store that applies the first DELETE with a window, and loses the answer."""

    lost = False

    async def delete(self, key: str, *, expires: int | None = None) -> None:
        await super().delete(key, expires=expires)
        if not self.lost and expires is not None:
            self.lost = True
            raise OutcomeUnknown(key)


async def test_a_lost_answer_to_the_delete_is_sent_again() -> None:
    """DELETE is harmless to repeat inside its window."""
    clock = HandClock()
    store = Losing(clock)
    await put(store, clock, "a")
    await die(store, "a")
    clock.ms += SETTLED
    report = await _sweep(store, clock)
    assert (report.orphans, report.slots, store.lost) == (1, 1, True)


async def test_events_of_purged_versions_go_with_their_objects() -> None:
    """A purge that died after its commit point: the sweeper removes what the events still point to."""
    clock = HandClock()
    store = MemoryStore(clock)
    await put(store, clock, "a")
    await put(store, clock, "a")
    clock.ms += SETTLED
    keys = KEYS.resource("Basic", "a")
    protocol = hurried(purge(keys, by="x", context=context(store)), clock)
    replies: Replies = ()
    batch = next(protocol)
    for _ in range(3):
        replies = await drive(once(batch), store)
        batch = protocol.send(replies)
    report = await _sweep(store, clock)
    assert (report.orphans, report.slots) == (2, 2)
    assert await keys_of(store, "t/history/") == []
    assert await keys_of(store, "t/resources/") == [keys.current]


async def test_damage_is_left_to_fsck_and_holds_the_watermark_back() -> None:
    """An unreadable current: its events stay, the watermark stays below them, orphans behind it go all the same."""
    clock = HandClock()
    store = MemoryStore(clock)
    record = await put(store, clock, "bad")
    clock.ms += 1
    await put(store, clock, "a")
    await die(store, "a")
    await store.put(KEYS.resource("Basic", "bad").current, b"{")
    clock.ms += SETTLED
    report = await _sweep(store, clock, TIGHT)
    assert (report.unclear, report.orphans) == (1, 1)
    assert report.watermark <= record.t
    events = [parse_event(key) for key in await keys_of(store, "t/history/")]
    assert sorted({event.id for event in events}) == ["a", "bad"]


@pytest.mark.parametrize("lost", [None, 1, 2])
async def test_a_lost_or_outdated_current_makes_no_version_an_orphan(lost: int | None) -> None:
    """Three committed versions whose current.json is gone, or an old copy of it: everything stays for fsck."""
    clock = HandClock()
    store = MemoryStore(clock)
    keys = KEYS.resource("Basic", "a")
    for _ in range(3):
        await put(store, clock, "a")
    if lost is None:
        await store.delete(keys.current)
    else:
        await store.put(keys.current, (await store.get(keys.version(lost))).body)
    before = await keys_of(store)
    clock.ms += SETTLED
    report = await _sweep(store, clock)
    kept = {None: 3, 1: 2, 2: 0}[lost]
    assert (report.unclear, report.slots) == (kept, 1 if lost == 2 else 0)
    if lost != 2:  # with one version above it, it looks exactly like a dead attempt
        assert await keys_of(store) == [*before, KEYS.sweep_state]


async def test_stray_keys_among_the_events_are_counted_and_left() -> None:
    """What is no event's key is none of the sweeper's business."""
    clock = HandClock()
    store = MemoryStore(clock)
    await put(store, clock, "a")
    await store.put("t/history/system/0000_x.json", b"")
    await store.put("t/history/type/note.txt", b"")
    clock.ms += SETTLED
    assert (await _sweep(store, clock)).strays == 2
    assert len(await keys_of(store, "t/history/")) == 4


@pytest.mark.slow
async def test_sweeping_beside_live_writers_loses_no_update(tmp_path: Path) -> None:
    """Writers, some dying, and two sweepers with short windows on an embedded store: versions stay contiguous."""
    limits = Limits(window=120, apply=40, transaction_window=120)
    store = await open_objects(f"file:{tmp_path}")
    try:
        ctx = context(store)
        ctx = type(ctx)(ctx.now, ctx.ids, limits)
        made: dict[str, int] = {}

        async def writer(n: int) -> None:
            for turn in range(12):
                id_ = f"r{(n + turn) % 3}"
                keys = KEYS.resource("Basic", id_)
                if turn % 4 == 3:
                    await die(store, id_, limits=limits)
                else:
                    with suppress(Contention):
                        await drive(write(keys, basic(keys), context=ctx), store)
                        made[id_] = made.get(id_, 0) + 1
                await asyncio.sleep(0.02)

        async def sweeper() -> None:
            for _ in range(6):
                await drive(sweep(KEYS, context=ctx, pace=Pace(margin=10, lease=100)), store)
                await asyncio.sleep(0.1)

        await asyncio.gather(writer(0), writer(1), writer(2), sweeper(), sweeper())
        for id_, count in made.items():
            base, _ = await drive(look(KEYS.resource("Basic", id_)), store)
            assert base.version == count
            for version in range(1, count + 1):
                found = await drive(vread(KEYS.resource("Basic", id_), version, limits=limits), store)
                assert found is not None
                assert found.version == version
    finally:
        await store.aclose()


async def test_the_state_is_readable_and_keeps_lease_and_watermark() -> None:
    """sweep/state.json: waiting, nobody's, one claim, the watermark."""
    clock = HandClock()
    store = MemoryStore(clock)
    report = await _sweep(store, clock)
    state = msgspec.json.decode((await store.get(KEYS.sweep_state)).body)
    assert state == {
        "status": "waiting",
        "epoch": 1,
        "owner": None,
        "expires": 0,
        "attempts": 0,  # it was handed back
        "watermark": report.watermark,
    }


async def _made(folder: Path) -> None:
    await (await open_objects(f"file:{folder}")).aclose()


def test_the_command_sweeps_every_tenant(tmp_path: Path) -> None:
    """`fhirstore sweep --json` on an embedded store: a report per tenant, exit code 0; nonsense: 2."""
    asyncio.run(_made(tmp_path))
    runner = CliRunner()
    env = {"FHIRSTORE_TENANTS": "a,b", "FHIRSTORE_TENANT_SOURCE": "header"}
    result = runner.invoke(app, ["sweep", "--store", f"file:{tmp_path}", "--json"], env=env)
    assert result.exit_code == 0
    assert {name: report["outcome"] for name, report in msgspec.json.decode(result.stdout).items()} == {
        "a": "swept",
        "b": "swept",
    }
    told = runner.invoke(app, ["sweep", "--store", f"file:{tmp_path}", "--tenant", "a"], env=env).stdout
    assert re.fullmatch(r"a: swept; \d+ events checked; removed nothing; swept up to \S+Z\n", told)
    assert runner.invoke(app, ["sweep", "--store", f"file:{tmp_path}", "--tenant", "c"], env=env).exit_code == 2
