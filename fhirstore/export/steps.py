"""The steps of an export: what it needs done, as values. An export is a generator that yields them; it does no I/O.

`act` takes the steps on a store. The simulator takes the same steps in its own way, so the code that decides what an
export holds, and when it is complete, is the code that is simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TypeAlias, TypeVar, cast

import msgspec

from fhirstore.commit.messages import Protocol
from fhirstore.export.progress import TaskProgress
from fhirstore.runs.files import WrittenFile

_Result = TypeVar("_Result")


class Ask(msgspec.Struct, frozen=True):
    """Run a protocol, or wait for it if it has begun. Replies: what it returns."""

    protocol: Protocol[object]


class Begin(msgspec.Struct, frozen=True):
    """Begin a protocol that is asked for later. Replies: None."""

    protocol: Protocol[object]


class Append(msgspec.Struct, frozen=True):
    """Append lines, given without their ends, to the open file `name`; opens it if it is not. Replies: None."""

    kind: str
    name: str
    lines: Sequence[bytes]


class Close(msgspec.Struct, frozen=True):
    """Complete all open files. Replies: the files written, by kind."""


class Work(msgspec.Struct, frozen=True):
    """Call `do`, which works on `size` bytes; beside the event loop if they are many. Replies: what it returns."""

    do: Callable[[], object]
    size: int


class Load(msgspec.Struct, frozen=True):
    """Read the progress of a task, and make it this worker's. Replies: TaskProgress."""

    task: str


class Save(msgspec.Struct, frozen=True):
    """Write the progress of a task by compare-and-set: the commit point of a segment. Replies: None."""

    task: str
    progress: TaskProgress


class Note(msgspec.Struct, frozen=True):
    """Tell how far a task is. Replies: True if the files should be completed soon, so that not much can be lost."""

    task: str
    looked: int
    written: int
    total: int | None


Step: TypeAlias = Ask | Begin | Append | Close | Work | Load | Save | Note
Steps: TypeAlias = Generator[Step, object, _Result]


def asked(protocol: Protocol[_Result]) -> Steps[_Result]:
    """Runs a protocol. Returns what it returns."""
    return cast(_Result, (yield Ask(cast("Protocol[object]", protocol))))


def worked(do: Callable[[], _Result], size: int) -> Steps[_Result]:
    """Does work. Returns what it returns."""
    return cast(_Result, (yield Work(do, size)))


def begun(protocol: Protocol[_Result]) -> Steps[Protocol[_Result]]:
    """Begins a protocol. Returns it, to be asked for."""
    yield Begin(cast("Protocol[object]", protocol))
    return protocol


def closed() -> Steps[Mapping[str, WrittenFile]]:
    """Completes the open files. Returns them, by kind."""
    return cast("Mapping[str, WrittenFile]", (yield Close()))


def loaded(task: str) -> Steps[TaskProgress]:
    """Returns the progress of a task."""
    return cast(TaskProgress, (yield Load(task)))
