"""Takes the steps of an export on a store: runs protocols, writes files, keeps the progress.

An export shares the event loop with the requests of a server. `Pacer` lets it have the time that they leave: after each
piece of work it gives the loop a turn, and if others had work in that turn, it waits until they had a multiple of the
time that it took itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from fhirstore.commit.drive import drive
from fhirstore.commit.messages import Protocol, Result
from fhirstore.export.progress import TaskProgress
from fhirstore.export.steps import Append, Ask, Begin, Close, Load, Note, Save, Step, Steps, Work
from fhirstore.objects.base import ObjectStore
from fhirstore.runs.files import FileWriter, WrittenFile, writing
from fhirstore.threads import LARGE, offload_if

_END = b"\n"
_PIECE = 1024 * 1024  # bytes; the writer holds several pieces


@dataclass(slots=True)
class Pacer:
    """`share`: of the time of a busy event loop, at most, that goes to the work that is paced. Times are in seconds.

    `factor`: the work with the requests that it causes, which run in tasks of their own, takes so many times as long.
    `slice`: work that is done between two turns. `idle`: a turn of the loop in which nothing else was ready is shorter.
    `longest`: the most that one call waits.
    """

    share: float = 0.3
    factor: float = 3.0
    slice: float = 0.000_2
    idle: float = 0.000_05
    longest: float = 0.05
    _spent: float = 0.0

    def spend(self, began: float) -> None:
        """Takes note of work that began then, by `time.perf_counter`, and has just ended."""
        self._spent += time.perf_counter() - began

    async def turn(self) -> None:
        """Lets others run: one turn of the event loop, and more of them as long as they have work and it is due."""
        if self._spent < self.slice:
            return
        owed = min(self._spent * self.factor * (1 - self.share) / self.share, self.longest)
        self._spent = 0.0
        others = 0.0
        while others < owed:
            before = time.perf_counter()
            await asyncio.sleep(0)
            turn = time.perf_counter() - before
            if turn <= self.idle:
                break
            others += turn


@dataclass(slots=True)
class Acting:
    """Takes steps. `key_of`: the key of a file by its name. `load`, `save`: the progress of a task. `note`: see `Note`.
    `wrote`: called for each complete file. `at_once`: how many protocols that were begun ahead of time run at a time.
    """

    objects: ObjectStore
    key_of: Callable[[str], str]
    load: Callable[[str], Awaitable[TaskProgress]]
    save: Callable[[str, TaskProgress], Awaitable[None]]
    note: Callable[[Note], Awaitable[bool]]
    wrote: Callable[[WrittenFile], Awaitable[None]]
    at_once: int = 4
    pacer: Pacer = field(default_factory=Pacer)
    _gate: asyncio.Semaphore = field(init=False)
    _begun: dict[int, asyncio.Task[object]] = field(default_factory=dict)
    _writers: dict[str, FileWriter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._gate = asyncio.Semaphore(self.at_once)

    async def take(self, steps: Steps[Result]) -> Result:
        """Takes all steps. Returns what they return. Raises what a step raises; then no open file appears."""
        async with AsyncExitStack() as files:
            try:
                reply: object = None
                while True:
                    began = time.perf_counter()
                    try:
                        step = steps.send(reply)
                    except StopIteration as end:
                        result: Result = end.value
                        return result
                    self.pacer.spend(began)
                    reply = await self._step(step, files)
            finally:
                steps.close()
                await self._drop_begun()

    async def _step(self, step: Step, files: AsyncExitStack) -> object:
        match step:
            case Ask(protocol):
                return await self._ask(protocol)
            case Begin(protocol):
                self._begun[id(protocol)] = asyncio.create_task(self._run(protocol))
            case Append():
                await self._append(step, files)
            case Note():
                await self.pacer.turn()
                return await self.note(step)
            case Work(do, size):
                began = time.perf_counter()
                done = await offload_if(size > LARGE, do)
                self.pacer.spend(began)
                return done
            case Close():
                return await self._close(files)
            case Load(task):
                return await self.load(task)
            case Save(task, progress):
                await self.save(task, progress)
        return None

    async def _run(self, protocol: Protocol[object]) -> object:
        async with self._gate:
            return await drive(protocol, self.objects)

    async def _ask(self, protocol: Protocol[object]) -> object:
        task = self._begun.pop(id(protocol), None)
        return await (drive(protocol, self.objects) if task is None else task)

    async def _append(self, step: Append, files: AsyncExitStack) -> None:
        writer = self._writers.get(step.kind)
        if writer is None:
            writer = await files.enter_async_context(writing(self.objects, self.key_of(step.name), name=step.name))
            self._writers[step.kind] = writer
        if sum(map(len, step.lines)) < _PIECE:
            await writer.write(_END.join([*step.lines, b""]))
            return
        for line in step.lines:
            for begin in range(0, len(line), _PIECE):
                await writer.write(line[begin : begin + _PIECE])
            await writer.write(_END)

    async def _close(self, files: AsyncExitStack) -> dict[str, WrittenFile]:
        written = {kind: await writer.close() for kind, writer in self._writers.items()}
        self._writers.clear()
        await files.aclose()
        for file in written.values():
            await self.wrote(file)
        return written

    async def _drop_begun(self) -> None:
        tasks = list(self._begun.values())
        self._begun.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
