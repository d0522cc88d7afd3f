"""A lease has one owner at a time, and whoever lost it learns so at the next write."""

from __future__ import annotations

import pytest

from fhirstore.clock import SystemIds
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context, Limits
from fhirstore.errors import CorruptRecord, ObjectError, OutcomeUnknown, PreconditionFailed, StoreBusy
from fhirstore.jobs.lease import Lease, LeaseLost, checkpoint, claim, end
from fhirstore.jobs.state import (
    CANCEL,
    CANCELLED,
    CLAIM,
    COMPLETE,
    EVENTS,
    FAIL,
    GOING,
    LIVE,
    RELEASE,
    REMOVING,
    RENEW,
    RETRY,
    RUNNING,
    STATUSES,
    TABLE,
    WAITING,
    WAKE,
    State,
    after,
    claimed,
    decode_state,
    outgoing,
    renewed,
)
from fhirstore.objects.base import Condition, Written
from fhirstore.objects.facts import Facts
from fhirstore.objects.memory import MemoryStore
from tests.commit.hurried import HandClock, hurry

KEY = "job/state.json"
LENGTH = 30_000


def _context(store: MemoryStore) -> Context:
    return Context(store.now, SystemIds(), Limits())


async def _claim(store: MemoryStore, owner: str) -> Lease | State:
    got = await drive(claim(KEY, owner, context=_context(store), length=LENGTH), store)
    return got if isinstance(got, State) else got[0]


async def _claimed(store: MemoryStore, owner: str) -> Lease:
    lease = await _claim(store, owner)
    assert isinstance(lease, Lease)
    return lease


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("event", EVENTS)
def test_every_status_and_event_does_what_the_table_says(status: str, event: str) -> None:
    """What is not in the table is refused, what is leads to its status."""
    state = State(status, epoch=1, owner="a", expires=10)
    if event == CLAIM:
        result = claimed(state, "b", now=11, length=5)
    elif event == RENEW:
        result = renewed(state, now=9, length=5)
    else:
        result = after(state, event)
    expected = TABLE.get((status, event))
    assert (None if result is None else result.status) == expected


@pytest.mark.parametrize("status", STATUSES)
def test_every_job_can_go_once(status: str) -> None:
    """Live ones are cancelled, ended ones removed; not before late requests and the owner's lease are over."""
    state = outgoing(State(status, epoch=1, owner="a", expires=500), now=100, settled=50)
    if status in GOING:
        assert state is None
        return
    assert state is not None
    assert state.status == (CANCELLED if status in LIVE else REMOVING)
    assert (state.owner, state.expires) == (None, 500 if status == RUNNING else 150)


@pytest.mark.parametrize(("event", "attempts"), [(RELEASE, 1), (RETRY, 2), (COMPLETE, 2), (FAIL, 2)])
def test_only_an_attempt_that_was_handed_back_does_not_count(event: str, attempts: int) -> None:
    """A job that waits cannot be claimed before its time; once woken, it can."""
    state = after(State(RUNNING, epoch=3, owner="a", expires=10, attempts=2), event, until=77)
    assert state is not None
    assert (state.attempts, state.owner) == (attempts, None)
    if state.status == WAITING:
        assert claimed(state, "b", now=77, length=5) is None
        assert claimed(state, "b", now=78, length=5) is not None
        woken = after(state, WAKE)
        assert woken is not None
        assert claimed(woken, "b", now=1, length=5) is not None


async def test_a_held_lease_is_refused_until_the_stores_date_has_passed_it() -> None:
    """Takeover raises the epoch and counts the attempt."""
    clock = HandClock()
    store = MemoryStore(clock)
    first = await _claimed(store, "a")
    assert first.state == State(RUNNING, 1, "a", clock.ms + LENGTH, 1)
    assert isinstance(await _claim(store, "b"), State)
    clock.ms += LENGTH + 1
    second = await _claimed(store, "b")
    assert (second.state.epoch, second.state.owner, second.state.attempts) == (2, "b", 2)


async def test_a_zombie_fails_at_its_next_write() -> None:
    """Checkpoint, release and complete of an owner whose lease was taken raise LeaseLost and change nothing."""
    clock = HandClock()
    store = MemoryStore(clock)
    zombie = await _claimed(store, "a")
    clock.ms += LENGTH + 1
    await _claimed(store, "b")
    body = (await store.get(KEY)).body
    with pytest.raises(LeaseLost):
        await drive(checkpoint(zombie, context=_context(store), work={"n": 1}), store)
    for event in (RELEASE, COMPLETE, FAIL):
        with pytest.raises(LeaseLost):
            await drive(end(zombie, event), store)
    assert (await store.get(KEY)).body == body


async def test_checkpoints_keep_work_and_renew() -> None:
    """The work survives release and the next claim; attempts are counted from the last checkpoint with work."""
    clock = HandClock()
    store = MemoryStore(clock)
    lease = await _claimed(store, "a")
    assert not lease.due(clock.ms)
    clock.ms += LENGTH // 3
    assert lease.due(clock.ms)
    lease = await drive(checkpoint(lease, context=_context(store), work={"part": 7}), store)
    assert (lease.state.expires, lease.state.attempts) == (clock.ms + LENGTH, 0)
    await drive(end(lease, RELEASE), store)
    again = await _claimed(store, "b")
    assert (again.state.work, again.state.epoch) == ({"part": 7}, 2)


async def test_a_finished_job_cannot_be_claimed() -> None:
    """Completed, failed and cancelled are final."""
    for event in (COMPLETE, FAIL, CANCEL):
        store = MemoryStore(HandClock())
        await drive(end(await _claimed(store, "a"), event), store)
        assert isinstance(await _claim(store, "b"), State)


class Answering(MemoryStore):
    """A memory store that answers its next PUT with an error, applied or not."""

    error: ObjectError | None = None
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
        error, self.error = self.error, None
        if error is None:
            return await super().put(key, body, condition=condition, expires=expires, facts=facts)
        if self.applies:
            await super().put(key, body, condition=condition, expires=expires, facts=facts)
        raise error


@pytest.mark.parametrize(
    ("error", "applies"),
    [
        (OutcomeUnknown("k"), True),
        (OutcomeUnknown("k"), False),
        (PreconditionFailed("k"), True),
        (StoreBusy("k"), False),
    ],
)
async def test_lost_answers_are_settled_by_reading_back(error: ObjectError, applies: bool) -> None:
    """Claim, checkpoint and release each get through once, whatever the store says."""
    clock = HandClock()
    store = Answering(clock)
    store.applies = applies
    store.error = error
    got = await hurry(claim(KEY, "a", context=_context(store), length=LENGTH), store, clock)
    assert not isinstance(got, State)
    store.error = error
    lease = await hurry(checkpoint(got[0], context=_context(store), work={"n": 1}), store, clock)
    store.error = error
    await hurry(end(lease, RELEASE), store, clock)
    state = decode_state((await store.get(KEY)).body, KEY)
    assert (state.epoch, state.owner, state.work) == (1, None, {"n": 1})


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"status":"odd","epoch":1,"owner":null,"expires":0,"attempts":0}']
)
async def test_what_is_no_state_is_said_to_be_corrupt(body: bytes) -> None:
    """A claim does not overwrite what it cannot read."""
    store = MemoryStore(HandClock())
    await store.put(KEY, body)
    with pytest.raises(CorruptRecord):
        await _claim(store, "a")
