"""One seed about searches: servers write, search, die and come back; then faults end, and all must be found.

In the end each machine, and one that has no index yet, must show exactly what is in the bucket, soon.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections.abc import Collection, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

from fhirstore.errors import CursorExpired, FhirStoreError, Unavailable
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.definitions.load import definitions
from fhirstore.index.local.apply import IndexDamaged
from fhirstore.index.local.catalogue import Catalogue
from fhirstore.indexing import building, committed
from tests.simulation.model.bucket import Bucket, opaque_etags
from tests.simulation.model.network import Network
from tests.simulation.model.process import Process, Temper
from tests.simulation.model.truth import Truth
from tests.simulation.scenarios.scenario import weather
from tests.simulation.schedule import Verdict
from tests.simulation.searches.asking import SEARCHES, Asked, Search
from tests.simulation.searches.scripts import (
    KEPT,
    LIMITS,
    SHAPES,
    Delete,
    Look,
    Lose,
    MachinePlan,
    Prune,
    Purge,
    Put,
    Script,
    ServerPlan,
    Step,
    Together,
)
from tests.simulation.searches.servers import TENANT, LoopWorld, Server, Shown
from tests.simulation.transfers.world import VirtualLoop

_FAVOURITES = {
    "bundled": {"slow": 0.1},
    "shared": {"slow": 0.2},
    "dying": {"late": 0.08, "lost_answer": 0.04},
    "purged": {"duplicate": 0.05},
}
_IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - Linux's; quicker than a disk
_LONGEST = 3_600.0  # seconds that clients take together: some lose each fifth request, or never learn the time
_HEALED = 30.0  # seconds in which a search must be answered when there are no faults any more
_AGAIN = 0.3  # seconds before a page is asked for once more


class Machine:
    """A machine, and its servers. `folder`: of its index files. `lost`: when they were last deleted."""

    def __init__(self, plan: MachinePlan, folder: Path) -> None:
        self.plan = plan
        self.folder = folder
        self.servers: list[Server] = []
        self.lost = 0.0

    def alive(self) -> list[Server]:
        """The servers that have not crashed."""
        return [server for server in self.servers if server.is_alive()]


class SearchSchedule:
    """The parts of one schedule."""

    def __init__(self, seed: int, loop: VirtualLoop, folder: Path, trace: list[str] | None) -> None:
        self.seed = seed
        self.world = LoopWorld(seed, loop, trace)
        self._chance = chance = self.world.random
        shape = SHAPES[seed % len(SHAPES)]
        skies = weather(chance, LIMITS, _FAVOURITES.get(shape.__name__, {}))
        if chance.random() < 0.5:
            skies = replace(skies, rates=skies.rates.times(0.3))
        bucket = Bucket(
            self.world,
            resolution=chance.choice((1, 1, 1, 1_000)),
            tree_order=chance.random() < 0.3,
            opaque=opaque_etags(seed // len(SHAPES)),
        )
        self.truth = Truth(self.world, bucket, LIMITS)
        self.network = Network(self.world, bucket, LIMITS, skies, decides_together=seed // len(SHAPES) % 4 == 3)
        self.world.note("SCENARIO", f"seed {seed}: {shape.__name__}, {skies}")
        self.machines = [
            Machine(plan, folder / f"machine{number}") for number, plan in enumerate(shape(chance, LIMITS))
        ]
        self.asked: list[Asked] = []
        self.calls = self.acknowledged = self.transactions = 0
        self._born = 0
        self._busy: set[asyncio.Task[None]] = set()
        self._quiet = asyncio.Event()
        self._settled = False  # even a local index has heard of everything
        self._folder = folder

    async def run(self) -> None:
        """Play, heal, judge."""
        for machine in self.machines:
            for plan in machine.plan.servers:
                self._start(machine, plan)
        try:
            async with asyncio.timeout(_LONGEST):
                await self._quiet.wait()
        except TimeoutError:
            self.world.violated("does not come to an end")
        if not self.world.violations:
            try:
                await self._heal()
            except FhirStoreError as refusal:
                self.world.violated(f"refused without any fault: {refusal!r}")
        if not self.world.violations:
            for asked in self.asked:
                for finding in asked.judge(self.truth):
                    self.world.violated(f"{asked.who}: {asked.search.type}?{asked.search.query} {finding}")
        for machine in self.machines:
            for server in machine.servers:
                await server.aclose()

    def verdict(self) -> Verdict:
        """The figures of this schedule."""
        return Verdict(
            1,
            self.world.requests,
            self.calls,
            self.acknowledged,
            self.transactions,
            len(self.truth.landed),
            self.world.faults,
            [(self.seed, finding) for finding in self.world.violations],
        )

    # --- servers ------------------------------------------------------------------------------------------------

    def _start(self, machine: Machine, plan: ServerPlan) -> Server:
        process = Process(f"p{self._born}", self.world, self.network, LIMITS, plan.temper)
        self._born += 1
        self.world.note(process.name, f"starts, {plan.temper}")
        server = Server(process, machine.folder, machine.plan.index)
        machine.servers.append(server)
        left = [list(script) for script in plan.scripts]
        tasks = [self._begin(self._client(machine, server, script)) for script in left]

        def crashed() -> None:
            server.died()
            if plan.temper.back_after is not None:
                self._begin(self._restart(machine, plan.temper.back_after, left))
            for task in tasks:
                self._over(task)

        process.on_crash = crashed
        return server

    def _begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Begins work that the schedule waits for."""
        task = asyncio.create_task(work)
        self._busy.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[None]) -> None:
        """It is done, or its process is dead."""
        self._busy.discard(task)
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            self.world.violated(f"an error that nobody expects: {error!r}")
        if not self._busy or self.world.violations:
            self._quiet.set()

    async def _restart(self, machine: Machine, after: float, left: Sequence[Script]) -> None:
        await asyncio.sleep(after / 1000.0)
        self._start(machine, ServerPlan(Temper(), tuple(left)))

    async def _client(self, machine: Machine, server: Server, script: Script) -> None:
        """Works off the script, from which it takes what it has begun."""
        while script and server.is_alive():
            await asyncio.sleep(script[0][0] / 1000.0)
            if not server.is_alive():
                return
            _, step = script.pop(0)
            self.calls += 1
            self.world.note(server.process.name, f"BEGINS {step}")
            try:
                await self._do(machine, server, step)
                told = "done"
            except IndexDamaged as damage:
                self.world.violated(f"{server.process.name}: a client was told {damage!r}")
                return
            except FhirStoreError as refusal:
                told = f"{type(refusal).__name__}: {refusal}"
            if server.is_alive():
                self.world.note(server.process.name, f"ENDS {step}: {told}")

    async def _do(self, machine: Machine, server: Server, step: Step) -> None:
        match step:
            case Put():
                made = await server.clinic.update({"resourceType": step.type, "id": step.id, **step.members})
                server.acknowledged((made,))
                self.acknowledged += 1
            case Delete():
                server.acknowledged((await server.clinic.delete(step.type, step.id),))
                self.acknowledged += 1
            case Together():
                bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [_entry(one) for one in step.parts]}
                server.acknowledged(one.version for one in (await server.clinic.transaction(bundle)).results)
                self.transactions += 1
            case Purge():
                await server.clinic.upkeep.purge("Patient", step.id, by="somebody")
            case Look():
                await self._look(machine, server, step)
            case Prune():
                await server.prune(int(self.world.time) - KEPT)
            case Lose():
                machine.lost = self.world.time
                (machine.folder / f"{TENANT}.sqlite").unlink(missing_ok=True)

    # --- searches -----------------------------------------------------------------------------------------------

    async def _look(self, machine: Machine, server: Server, look: Look) -> None:
        search = SEARCHES[look.number]
        began = self.world.time
        since, known = (0.0, dict(server.known)) if server.local and not self._settled else (began, {})
        asked = Asked(search, server.process.name, began, since, known)
        cursor: str | None = None
        query = f"{search.query}&_count={look.count}&_total=accurate".removeprefix("&")
        while True:
            by = server
            if cursor is not None and (look.elsewhere or look.abroad):
                there = self.machines if look.abroad else [machine]
                by = self._chance.choice([one for each in there for one in each.alive()] or [server])
                asked.abroad = asked.abroad or by not in machine.servers
            at = self.world.time
            try:
                shown = await (by.search if by is server else by.asked)(search.type, query, cursor)
            except CursorExpired:
                if not look.abroad and machine.lost < asked.began and self.world.time < asked.began + KEPT - 2_000.0:
                    self.world.violated(f"{asked.who}: the cursor expired after {self.world.time - asked.ended:.0f} ms")
                break
            if not (by.is_alive() and server.is_alive()):
                return
            asked.add(shown, at, self.world.time)
            asked.abroad = asked.abroad or machine.lost >= asked.began  # a file that was built anew is another index
            self.world.note(server.process.name, f"is shown {asked.matches}, total {shown.total}")
            cursor = shown.next
            if cursor is None:
                if look.back:
                    await self._back(server, search, query, shown, asked)
                break
            await asyncio.sleep(look.pause / 1000.0)
        if asked.ended:
            self.asked.append(asked)

    async def _back(self, server: Server, search: Search, query: str, last: Shown, asked: Asked) -> None:
        """From the last page back to the first one: the same pages."""
        shown, back = last, [f"{one.type}/{one.id}" for one in last.matches]
        while shown.previous is not None and server.is_alive():
            shown = await server.search(search.type, query, shown.previous)
            back[:0] = [f"{one.type}/{one.id}" for one in shown.matches]
        asked.back, asked.read = back, self.world.time

    async def _heal(self) -> None:
        """Each machine, and a new one, must find what there is."""
        self.world.note("HEALING", "no more faults")
        self.network.clear()
        new = Machine(MachinePlan(), self._folder / "machine")
        self.machines.append(new)
        if self._chance.random() < 0.5 or any(machine.plan.index.consistency == "local" for machine in self.machines):
            await asyncio.sleep(10.0 * LIMITS.settled / 1000.0)
            self._settled = True
        for machine in self.machines:
            server = self._start(machine, ServerPlan(Temper(), ()))
            if server.local:
                await self._found(machine, server, 0)  # it follows from now on
                self.asked.pop()
                await asyncio.sleep(5.0)
            for number in range(len(SEARCHES)):
                await self._found(machine, server, number)

    async def _found(self, machine: Machine, server: Server, number: int) -> None:
        began, already = self.world.time, len(self.asked)
        while self.world.time < began + 1000.0 * _HEALED and not self.world.violations:
            with suppress(Unavailable):
                await self._look(machine, server, Look(number, self._chance.choice((2, 100)), 0.0))
            if len(self.asked) > already:
                return
            await asyncio.sleep(_AGAIN)
        self.world.violated(f"{server.process.name}: {SEARCHES[number]} is not answered, without any fault")


def _entry(part: Put | Delete) -> dict[str, object]:
    url = f"{part.type}/{part.id}"
    if isinstance(part, Delete):
        return {"request": {"method": "DELETE", "url": url}}
    resource = {"resourceType": part.type, "id": part.id, **part.members}
    return {"resource": resource, "request": {"method": "PUT", "url": url}}


def simulate_searches(seed: int, trace: list[str] | None = None) -> Verdict:
    """Run the schedule of this seed. The same seed gives the same trace."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    dice = random.getstate()
    random.seed(seed)  # the waits of `drive`
    try:
        with tempfile.TemporaryDirectory(dir=_IN_MEMORY) as folder, _small_pages():
            schedule = SearchSchedule(seed, loop, Path(folder), trace)
            loop.run_until_complete(schedule.run())
            _end(loop)
            return schedule.verdict()
    finally:
        random.setstate(dice)
        loop.close()
        asyncio.set_event_loop(None)


@contextmanager
def _small_pages() -> Iterator[None]:
    """The log is read in pages of few events, so that a build has several. All servers share one catalogue."""
    was = committed.LIST, building.PAGE, Catalogue.of
    committed.LIST, building.PAGE, Catalogue.of = 4, 3, _catalogue  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        committed.LIST, building.PAGE, Catalogue.of = was  # type: ignore[method-assign]


_of = Catalogue.of


@cache
def _made(bases: frozenset[str]) -> Catalogue:
    return _of(definitions(), bases)


def _catalogue(_: Definitions, bases: Collection[str] = (), **_options: object) -> Catalogue:
    return _made(frozenset(bases))


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """Ends what is left of processes that crashed."""
    while tasks := asyncio.all_tasks(loop):
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
