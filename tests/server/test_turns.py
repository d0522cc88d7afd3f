"""A busy process works on its tenants' requests in turns: whoever floods it waits in a line of its own."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from starlette.types import Message

from server.access.turns import RequestTurn, TooManyWaiting, Turns


def _turns(limit: int, *, patience: float = 60.0, most_waiting: int = 1_000, **weights: int) -> Turns:
    return Turns(limit, weight=lambda name: weights.get(name, 1), patience=patience, most_waiting=most_waiting)


class _Requests:
    """Requests that have asked for their turn; `order`: tenants in the order in which theirs began."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.order: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def ask(self, tenant: str, count: int = 1) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self._one(tenant)) for _ in range(count)]
        self._tasks += tasks
        await self.settled()
        return tasks

    async def end(self, tenant: str) -> None:
        self.turns.end(tenant)
        await self.settled()

    async def settled(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)

    async def _one(self, tenant: str) -> None:
        if not self.turns.begin(tenant):
            await self.turns.wait(tenant)
        self.order.append(tenant)


async def test_a_tenant_below_its_share_never_waits_for_one_that_floods() -> None:
    """Even when the flood holds every place; and the flood gets no place back before it is down to its share."""
    turns = _turns(4)
    requests = _Requests(turns)
    await requests.ask("flood", 100)
    assert (turns.active, turns.waiting("flood")) == (4, 96)
    await requests.ask("clinic", 3)
    assert requests.order[4:] == ["clinic", "clinic"]
    assert (turns.active, turns.waiting("clinic")) == (6, 1)
    await requests.end("flood")
    await requests.end("flood")
    assert requests.order[6:] == []
    await requests.end("flood")
    assert requests.order[6:] == ["flood"]


async def test_lines_take_turns_by_their_weights() -> None:
    """Of the places that become free, a tenant with weight 3 gets three times those of one with 1."""
    turns = _turns(10, big=3)
    requests = _Requests(turns)
    for tenant in ("other", "big", "small"):  # the share of `other`, who asks for one place, is for the two
        await requests.ask(tenant, 1 if tenant == "other" else 200)
    holders = list(requests.order)
    holders.remove("other")
    while len(requests.order) < 200:
        before = len(requests.order)
        await requests.end(holders.pop(0))
        holders += requests.order[before:]
    later = Counter(requests.order[40:])
    assert 2.5 < later["big"] / later["small"] < 3.5, later
    assert turns.active == 10


async def test_a_single_tenant_has_every_place() -> None:
    """Nothing is kept free for tenants that are not there; afterwards nothing counts any more."""
    turns = _turns(8)
    requests = _Requests(turns)
    await requests.ask("clinic", 20)
    assert turns.active == 8
    for _ in range(20):
        await requests.end("clinic")
    assert requests.order == ["clinic"] * 20
    assert (turns.active, turns._weights, list(turns._next)) == (0, 0, [])


async def test_places_are_bounded_however_many_tenants_there_are() -> None:
    """Each tenant may have one request under way, and none more beyond the limit."""
    turns = _turns(4)
    requests = _Requests(turns)
    for number in range(50):
        await requests.ask(f"t{number}", 3)
    assert turns.active <= 50 + 4
    assert Counter(requests.order).keys() == {f"t{number}" for number in range(50)}


async def test_a_request_that_waits_too_long_is_refused() -> None:
    """It leaves the line; those behind it are not held up."""
    turns = _turns(1, patience=0.01)
    assert turns.begin("flood")
    assert not turns.begin("flood")
    with pytest.raises(TooManyWaiting) as refused:
        await turns.wait("flood")
    assert (refused.value.status_code, refused.value.headers) == (429, {"Retry-After": "2"})
    assert turns.waiting("flood") == 0
    turns.end("flood")
    assert turns.active == 0


async def test_a_line_that_is_too_long_refuses_at_once() -> None:
    """Of its own tenant alone: another one's line is as long as before."""
    turns = _turns(1, most_waiting=2)
    requests = _Requests(turns)
    await requests.ask("flood", 3)
    assert not turns.begin("flood")
    with pytest.raises(TooManyWaiting):
        await turns.wait("flood")
    await requests.ask("clinic", 3)
    assert (turns.waiting("flood"), turns.waiting("clinic")) == (2, 2)


@pytest.mark.parametrize("granted", [False, True])
async def test_a_client_that_goes_away_gives_its_turn_to_the_next(granted: bool) -> None:
    """Whether it still waited or had got its turn in the same moment."""
    turns = _turns(1)
    requests = _Requests(turns)
    await requests.ask("clinic")
    (gone,) = await requests.ask("clinic")
    await requests.ask("clinic")
    if granted:
        turns.end("clinic")
    gone.cancel()
    await requests.settled()
    assert len(requests.order) == 1 + granted
    if not granted:
        await requests.end("clinic")
    assert (turns.active, turns.waiting("clinic"), len(requests.order)) == (1, 0, 2)


async def test_a_turn_given_back_in_the_moment_of_a_cancellation_is_not_lost() -> None:
    """The place goes past the one that gives up, to a request that still waits."""
    turns = _turns(1)
    requests = _Requests(turns)
    await requests.ask("clinic")
    (gone,) = await requests.ask("clinic")
    await requests.ask("flood")
    gone.cancel()
    turns.end("clinic")
    await requests.settled()
    assert requests.order == ["clinic", "flood"]
    await requests.end("flood")
    assert (turns.active, turns._weights) == (0, 0)


async def test_a_body_that_arrives_slowly_holds_no_place() -> None:
    """The turn begins with the last piece; a body that is stored as it arrives needs none."""
    turns = _turns(1)
    pieces: list[Message] = [{"type": "http.request", "body": b"ab", "more_body": more} for more in (True, False)]

    async def receive() -> Message:
        return pieces.pop(0)

    turn = RequestTurn(turns, "clinic", receive, most=4)
    await turn.receive()
    assert turns.active == 0
    await turn.receive()
    assert turns.active == 1
    turn.end()
    turn.end()
    assert turns.active == 0
    pieces = [{"type": "http.request", "body": b"abcde", "more_body": False}]
    turn = RequestTurn(turns, "clinic", receive, most=4)
    await turn.receive()
    assert turns.active == 0


async def test_tenants_without_requests_are_forgotten() -> None:
    """Where any tenant may exist, made-up ones do not fill the memory; one that has a request stays."""
    turns = _turns(4)
    assert turns.begin("clinic")
    for number in range(5_000):
        assert turns.begin(f"t{number}")
        turns.end(f"t{number}")
    assert len(turns._lines) < 1_100
    assert turns._lines["clinic"].active == 1
