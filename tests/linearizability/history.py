"""What clients saw: one `Operation` per request, with the times around it. And what was there at the end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

DELETED = "deleted"
"""Stands for the content of a tombstone."""


class Kind(Enum):
    """The interactions that take part."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    READ = "read"
    VREAD = "vread"


class Result(Enum):
    """What the client knows: it was done, it was refused and nothing was written, or neither."""

    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Operation:
    """One request. `start` and `end`: nanoseconds on the one clock of all clients, before sending and after the answer.

    `token`: unique content of a create or update. `version`: the one that the answer speaks of (made, read, or what a
    412 says is current; 0: there is none), None when it speaks of none. `content`: digest of what the answer showed,
    or DELETED. `asked`: the version a vread wants. `if_match`: the version a write wants to replace. `created`: the
    answer was 201.
    """

    kind: Kind
    id: str
    start: int
    end: int
    result: Result
    token: str = ""
    version: int | None = None
    content: str | None = None
    asked: int | None = None
    if_match: int | None = None
    created: bool = False

    def __str__(self) -> str:
        facts = {"version": self.version, "asked": self.asked, "if-match": self.if_match, "token": self.token or None}
        said = " ".join(f"{name}={value}" for name, value in facts.items() if value is not None)
        return (
            f"{self.kind.value} {self.id} [{self.start / 1e9:.3f} to {self.end / 1e9:.3f} s] {self.result.value} {said}"
        )


@dataclass(frozen=True, slots=True)
class Committed:
    """A version as found after everything. `updated`: meta.lastUpdated; tombstones have neither token nor that."""

    content: str
    token: str = ""
    updated: str = ""
