"""A server of the simulation: `FhirStore` on the simulator's network, with the index file of its machine.

The simulator's network, machines and truth run here on a loop whose time is virtual: what is to come in the world comes
as a timer of the loop. What a server does in threads happens at one instant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, TypeVarTuple

from fhirstore import FhirStore, Version
from fhirstore.commit.messages import (
    Absent,
    Delete,
    Expired,
    Get,
    List,
    NotApplied,
    NotSent,
    Put,
    Refused,
    Replies,
    Reply,
    Request,
    Unknown,
)
from fhirstore.errors import (
    NotFollowed,
    ObjectError,
    ObjectNotFound,
    OutcomeUnknown,
    PreconditionFailed,
    StoreBusy,
    StoreFull,
    StoreUnavailable,
    WriteWindowClosed,
)
from fhirstore.indexing.indexer import Indexer
from fhirstore.indexing.options import IndexOptions
from fhirstore.objects.base import Condition, Page, PutAnswer, PutRequest, StoredObject, Written
from fhirstore.objects.facts import Facts
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.parallel_puts import put_each
from fhirstore.objects.wrappers.passing_on import PassingOn
from fhirstore.search.criteria.query import parse_query
from fhirstore.tenancy import BucketTenancy
from tests.simulation.model.network import EXPIRED, UNKNOWN, Full
from tests.simulation.model.process import Process
from tests.simulation.model.world import BEGINNING, World

TENANT = "clinic"
_Args = TypeVarTuple("_Args")
CLOCK_ERROR = 900
"""ms that the clock of a process which searches may be off the store's."""
_UNANSWERED = 0.3  # of what arrived while a process was stopped


class LoopWorld(World):
    """The world on a loop: its time is the loop's."""

    __slots__ = ("_loop",)

    def __init__(self, seed: int, loop: asyncio.AbstractEventLoop, trace: list[str] | None) -> None:
        self._loop = loop
        super().__init__(seed, trace)

    @property
    def time(self) -> float:
        """Epoch ms."""
        return BEGINNING + 1000.0 * self._loop.time()

    @time.setter
    def time(self, _: float) -> None:
        pass

    def at(self, time: float, call: Callable[[*_Args], None], *args: *_Args) -> None:
        """Call it when the clock shows `time`."""
        self._loop.call_at((time - BEGINNING) / 1000.0, call, *args)


class Connection(PassingOn):
    """What a process sees of the store. Whoever crashed waits for ever, and so does all that it was about to do."""

    def __init__(self, process: Process) -> None:
        super().__init__(MemoryStore())
        self._process = process

    @property
    def location(self) -> str:
        return "memory:"

    @property
    def decides_together(self) -> bool:
        return self._process.network.decides_together

    def now(self) -> int:
        return self._process.now()

    @property
    def clock_error(self) -> int:
        return CLOCK_ERROR

    def writes(self) -> int | None:
        return self._process.network.changes if self.decides_together else None

    async def get(self, key: str) -> StoredObject:
        reply = await self._one(Get(key))
        return reply if isinstance(reply, StoredObject) else _raise(reply, key, StoreUnavailable)

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        return _written(await self._one(Put(key, bytes(body), condition, expires, facts=facts)), key)

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        if not self.decides_together:
            return await put_each(self, puts)
        batch = tuple(Put(put.key, bytes(put.body), put.condition, put.expires, put.follows, put.facts) for put in puts)
        answers: list[PutAnswer] = []
        for put, reply in zip(puts, await self._asked(batch), strict=True):
            try:
                answers.append(_written(reply, put.key))
            except ObjectError as refusal:
                answers.append(refusal)
        return answers

    async def delete(self, key: str, *, expires: int | None = None) -> None:
        await self._one(Delete((key,), expires))

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self._one(Delete(tuple(keys)))

    async def list(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        cursor: str | None = None,
        delimiter: bool = False,
        limit: int = 1000,
    ) -> Page:
        reply = await self._one(List(prefix, start_after, cursor, delimiter, limit))
        return reply if isinstance(reply, Page) else _raise(reply, prefix, StoreUnavailable)

    async def _one(self, request: Request) -> Reply:
        return (await self._asked((request,)))[0]

    async def _asked(self, batch: tuple[Request, ...]) -> Replies:
        """Sends a batch as `Task` does."""
        process, world = self._process, self._process.world
        if process.alive:
            process.boundary()
            if self._is_dead():
                half = batch if self.decides_together else tuple(one for one in batch if world.random.random() < 0.5)
                if half:
                    process.network.send(process.name, half, None)
        await self._awake(before=not process.temper.sends_first)
        answered: asyncio.Future[Replies] = asyncio.get_running_loop().create_future()

        def receive(replies: Replies) -> None:
            if not answered.done():
                answered.set_result(replies)

        process.network.send(process.name, batch, receive, stuck=process.stopped)
        replies = await answered
        if process.stopped:
            replies = tuple([UNKNOWN if world.random.random() < _UNANSWERED else reply for reply in replies])
        await self._awake()
        if EXPIRED in replies:
            process.learn()
        return replies

    def _is_dead(self) -> bool:
        return not self._process.alive

    async def _awake(self, *, before: bool = True) -> None:
        process = self._process
        if before and process.stopped:
            await asyncio.sleep((process.stopped_until - process.world.time + 0.001) / 1000.0)
            await self._awake()  # another stop may have come
        if not process.alive:
            await asyncio.get_running_loop().create_future()


def _written(reply: Reply, key: str) -> Written:
    return reply if isinstance(reply, Written) else _raise(reply, key, OutcomeUnknown)


def _raise(reply: Reply, key: str, unknown: type[ObjectError]) -> NoReturn:
    match reply:
        case Absent():
            raise ObjectNotFound(key, date=reply.date)
        case Refused():
            raise PreconditionFailed(key)
        case Expired():
            raise WriteWindowClosed(key)
        case NotSent():
            raise NotFollowed(key)
        case Full():
            raise StoreFull(key)
        case NotApplied():
            raise StoreBusy(key)
        case Unknown():
            raise unknown(key)
    raise AssertionError(reply)


class _Ids:
    """Op tokens that tell whose they are, and jitter by seed."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._made = 0

    def new(self) -> str:
        self._made += 1
        return f"{self._process.name}n{self._made}"

    def jitter(self, low: float, high: float) -> float:
        return low + (high - low) * self._process.world.random.random()


@dataclass(frozen=True, slots=True)
class Shown:
    """A page as a client has it."""

    matches: tuple[Version, ...]
    next: str | None
    previous: str | None
    total: int | None


class Server:
    """A process of a machine, whose index files are in `folder`. `known`: the newest version of each resource whose
    write it has acknowledged, by name."""

    def __init__(self, process: Process, folder: Path, options: IndexOptions) -> None:
        self.process = process
        self.local = options.consistency == "local"
        self.known: dict[str, int] = {}
        self._answers: list[asyncio.Task[Shown]] = []
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = BucketTenancy({TENANT: Connection(process)})
        self.store = FhirStore(
            place,
            limits=process.limits,
            ids=_Ids(process),
            validation="off",
            index=replace(options, folder=folder),
        )
        self.clinic = self.store.tenant(TENANT)

    def is_alive(self) -> bool:
        """Whether it has not crashed."""
        return self.process.alive

    async def asked(self, type: str, query: str, cursor: str | None) -> Shown:
        """Does as `search` for a client that is told when this server dies. Raises StoreUnavailable then."""
        answer = asyncio.get_running_loop().create_task(self.search(type, query, cursor))
        self._answers.append(answer)
        await asyncio.wait((answer, self._gone), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise StoreUnavailable("", "the server is gone")
        return answer.result()

    async def search(self, type: str, query: str, cursor: str | None) -> Shown:
        """Returns the first page, or the one of the cursor."""
        found = await self.clinic.search_page(self.clinic.query(type, parse_query(query)), cursor=cursor)
        return Shown(found.matches, found.next, found.previous, found.total)

    def acknowledged(self, versions: Iterable[Version | None]) -> None:
        """These were acknowledged."""
        for one in versions:
            if one is not None and self.is_alive():
                name = f"{one.type}/{one.id}"
                self.known[name] = max(self.known.get(name, 0), one.version_id)

    async def prune(self, before: int) -> None:
        """Drops what was ended before this time, epoch ms."""
        self._indexer.opened().prune(before)

    @property
    def _indexer(self) -> Indexer:
        return self.clinic._engine.indexer(self.clinic._place)

    def died(self) -> None:
        """What the operating system does with what a process had open."""
        self._gone.set_result(None)
        for indexer in self.store._engine.indexes.opened:
            ending = asyncio.get_running_loop().create_task(indexer.aclose())
            ending.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def aclose(self) -> None:
        """Closes the files."""
        await self.store._engine.indexes.aclose()
