"""Takes the steps of an export on a store: runs protocols, writes files, keeps the progress.

An export shares the event loop and the store with the requests of a server. Its work goes by a `Pacer`: what it does on
the event loop is counted, each protocol is a piece, and between two steps that tell how far it is there may be a pause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from fhirstore.commit.drive import drive
from fhirstore.commit.messages import Protocol, Result
from fhirstore.export.progress import TaskProgress
from fhirstore.export.steps import Append, Ask, Begin, Close, Load, Note, Save, Step, Steps, Work
from fhirstore.jobs.pace import Pacer
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.facts import Facts
from fhirstore.runs.files import FileWriter, WrittenFile, writing
from fhirstore.threads import LARGE, offload_if

_END = b"\n"
_PIECE = 1024 * 1024  # bytes; the writer holds several pieces


@dataclass(slots=True)
class Acting:
    """Takes steps. `key_of`: the key of a file by its name. `load`, `save`: the progress of a task. `note`: see `Note`.
    `wrote`: called for each complete file. `at_once`: how many protocols that were begun ahead of time run at a time.
    `pacer`: of the worker. `facts`: of the files.
    """

    objects: ObjectStore
    key_of: Callable[[str], str]
    load: Callable[[str], Awaitable[TaskProgress]]
    save: Callable[[str, TaskProgress], Awaitable[None]]
    note: Callable[[Note], Awaitable[bool]]
    wrote: Callable[[WrittenFile], Awaitable[None]]
    at_once: int = 4
    pacer: Pacer = field(default_factory=Pacer)
    facts: Facts | None = None
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
                    began = self.pacer.clock()
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
                await self.pacer.turn()
                began = self.pacer.clock()
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
        async with self._gate, self.pacer.piece():
            return await drive(protocol, self.objects)

    async def _ask(self, protocol: Protocol[object]) -> object:
        task = self._begun.pop(id(protocol), None)
        return await (self._run(protocol) if task is None else task)

    async def _append(self, step: Append, files: AsyncExitStack) -> None:
        writer = self._writers.get(step.kind)
        if writer is None:
            file = writing(self.objects, self.key_of(step.name), name=step.name, facts=self.facts)
            writer = await files.enter_async_context(file)
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
