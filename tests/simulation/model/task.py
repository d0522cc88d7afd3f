"""One line of work in a process: operations one after another, each a protocol that is fed with replies."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Protocol

from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Batch, NotApplied, Pause, Put, Replies, Request, Unknown
from fhirstore.commit.staging import in_stages
from fhirstore.errors import FhirStoreError, StoreFull, Unavailable
from tests.simulation.model.network import EXPIRED, UNKNOWN, Full
from tests.simulation.model.process import Process
from tests.simulation.model.truth import Truth
from tests.simulation.model.world import World

_IMPATIENT = 5  # one in so many calls
_GIVES_UP = 500.0  # ms that a process waits for answers it will never hear


@dataclass(slots=True)
class Call:
    """One run of an operation. `outcome`: what the protocol returned, or the error it raised.

    `ended` stays None when the process crashed meanwhile. `tokens`: the op tokens and nonces its attempts drew.
    """

    number: int
    who: str
    operation: Operation
    began: float
    ended: float | None = None
    outcome: object = None
    requests: int = 0
    skew: float = 0.0  # of the clock it was made by
    tokens: list[str] = field(default_factory=list)
    rest: Generator[Batch, Replies, object] | None = None  # goes on when the client has been answered


class Operation(Protocol):
    """Something a client wants. A further protocol joins the simulation as one more class of this shape."""

    def start(self, process: Process, context: Context, call: Call) -> Generator[Batch, Replies, object]:
        """The protocol to run. `context` is for this call alone; `process.memory` outlives it."""
        ...

    def judge(self, call: Call, truth: Truth) -> list[str]:
        """What is wrong with what the call was told, in the light of what was truly committed."""
        ...


Plan = list[tuple[float, Operation]]
"""What a task does: after so many ms, this; then the next."""


@dataclass(frozen=True, slots=True)
class SeededIds:
    """Op tokens that tell whose they are, and jitter by seed."""

    call: Call
    world: World

    def new(self) -> str:
        token = f"c{self.call.number}n{len(self.call.tokens)}"
        self.call.tokens.append(token)
        return token

    def jitter(self, low: float, high: float) -> float:
        return low + (high - low) * self.world.random.random()


class Task:
    """Works off a plan as far as its process lives. `calls` collects every call of the schedule; `done` is called
    when the plan is worked off."""

    __slots__ = ("_call", "_calls", "_done", "_failed", "_name", "_process", "_protocol", "plan")

    def __init__(self, process: Process, name: str, plan: Plan, calls: list[Call], done: Callable[[], None]) -> None:
        self.plan = plan
        self._process = process
        self._name = name
        self._calls = calls
        self._done = done
        self._failed = False  # a request, since the last Pause
        self._call: Call | None = None
        self._protocol: Generator[Batch, Replies, object] | None = None
        self._wait()

    def _wait(self) -> None:
        if self.plan:
            self._process.world.at(self._process.world.time + self.plan[0][0], self._begin)
        else:
            self._done()

    def _begin(self) -> None:
        process, world = self._process, self._process.world
        if not process.alive:
            return
        if process.stopped:
            world.at(process.stopped_until, self._begin)
            return
        self._failed = False
        operation = self.plan[0][1]
        self.plan = self.plan[1:]
        self._call = call = Call(len(self._calls), self._name, operation, world.time, skew=process.now() - world.time)
        self._calls.append(call)
        world.note(self._name, f"BEGINS {operation}")
        context = Context(process.now, SeededIds(call, world), process.limits)
        protocol = operation.start(process, context, call)
        self._protocol = protocol if process.network.decides_together else in_stages(protocol)
        self._step(None)

    def _received(self, replies: Replies) -> None:
        """All replies are there, or given up. A stopped process finds them later, some of them too late."""
        process = self._process
        if not process.alive:
            return
        if process.stopped:
            chance = process.world.random.random
            late = tuple([UNKNOWN if chance() < 0.3 else reply for reply in replies])
            process.world.at(process.stopped_until, self._received, late)
            return
        if EXPIRED in replies:
            process.learn()
        self._failed = self._failed or any(isinstance(reply, Unknown | NotApplied) for reply in replies)
        full = any(isinstance(reply, Full) for reply in replies)
        self._step(replies, StoreFull(detail="the disk is full") if full else None)

    def _step(self, replies: Replies | None, error: FhirStoreError | None = None) -> None:
        call, protocol = self._call, self._protocol
        if call is None or protocol is None:
            return
        try:
            if error is not None:
                batch = protocol.throw(error)
            else:
                batch = next(protocol) if replies is None else protocol.send(replies)
        except StopIteration as end:
            self._ended(call, end.value)
        except StoreFull as refusal:
            self._ended(call, Unavailable(str(refusal)))  # both say that nothing was written
        except FhirStoreError as refusal:
            self._ended(call, refusal)
        except AssertionError as untrue:
            self._process.world.violated(f"{self._name}: an assertion does not hold: {untrue}")
        else:
            if isinstance(batch, Pause):
                self._pause(batch, call)
            else:
                self._send(batch, call)

    def _pause(self, pause: Pause, call: Call) -> None:
        """As `drive` does: the clients of some calls have no patience with requests that fail."""
        world = self._process.world
        failed, self._failed = self._failed, False
        if failed and not pause.settling and call.number % _IMPATIENT == 0 and not isinstance(call.operation, Rest):
            world.faults["impatience"] += 1
            world.at(world.time, self._step, None, Unavailable("The client's request may repeat nothing more"))
        else:
            world.at(world.time + 1000.0 * pause.seconds, self._received, ())

    def _send(self, batch: tuple[Request, ...], call: Call) -> None:
        process, world = self._process, self._process.world
        call.requests += len(batch)
        process.boundary()
        if not process.alive:
            half = tuple([request for request in batch if world.random.random() < 0.5])
            if half and process.network.decides_together and isinstance(batch[-1], Put) and batch[-1].follows:
                half = batch
            process.network.send(self._name, half, None)
        elif process.stopped and not process.temper.sends_first:
            world.at(process.stopped_until, self._leave, batch, self._received)
        else:
            self._leave(batch, self._missed if process.deaf else self._received)

    def _leave(self, batch: tuple[Request, ...], receive: Callable[[Replies], None]) -> None:
        if self._process.alive:
            self._process.network.send(self._name, batch, receive, stuck=self._process.stopped)

    def _missed(self, replies: Replies) -> None:
        world = self._process.world
        world.at(world.time + _GIVES_UP, self._received, tuple([UNKNOWN for _ in replies]))

    def _ended(self, call: Call, outcome: object) -> None:
        self._process.boundary()
        if not self._process.alive:
            return  # before the client heard of it
        call.ended, call.outcome = self._process.world.time, outcome
        self._process.world.note(self._name, f"ENDS {call.operation}: {told(outcome)}")
        self._call = self._protocol = None
        if call.rest is not None:
            Task(self._process, f"{self._name}+", [(0.0, Rest(call.rest))], self._calls, lambda: None)
        self._wait()


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left to do of a call once its client was answered."""

    protocol: Generator[Batch, Replies, object] = field(repr=False)

    def start(self, process: Process, context: Context, call: Call) -> Generator[Batch, Replies, object]:
        return self.protocol

    def judge(self, call: Call, truth: Truth) -> list[str]:
        return []


def told(outcome: object) -> str:
    """An outcome in few words."""
    return f"{type(outcome).__name__}: {outcome}" if isinstance(outcome, FhirStoreError) else str(outcome)
