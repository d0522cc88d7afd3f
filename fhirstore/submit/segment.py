"""The bookkeeping of one segment: its plan, which is there before its first commit, and its results.

**The plan** names the raw lines and says of each write what resource it is for, and which version that had. It is
written IfAbsent; whoever finds another's plan goes by that. Nothing of a segment is committed before its plan is
acknowledged, so a version of ours has a number above the one in the plan: that bounds every later search for it.

**The results** are written when every line of the segment is settled for ever: its version is committed, or it was
refused for what it says. A line whose fate is not known has no results, and the segment is gone through again.
"""

from __future__ import annotations

import msgspec

from fhirstore.errors import CorruptRecord, Issue


class PlannedWrite(msgspec.Struct, frozen=True, array_like=True):
    """One resource that a line writes. `entry`: in a Bundle of deletions, else 0. `before`: its version, 0: none.

    `source`: its `Type/id` at the source, where that is another one.
    """

    line: int
    entry: int
    type: str
    id: str
    before: int
    source: str = ""

    @property
    def name(self) -> str:
        """Its `Type/id` at the source."""
        return self.source or f"{self.type}/{self.id}"


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The plan of a segment. `raw`: the key of its lines. The other fields as in `lines.Segment`.

    `etag`: of the file they were read from.
    """

    raw: str
    first: int
    start: int
    end: int
    count: int
    last: bool = False
    too_long: tuple[int, ...] = ()
    etag: str | None = None
    writes: tuple[PlannedWrite, ...] = ()

    def encode(self) -> bytes:
        """Returns the object's body."""
        return msgspec.json.encode(self)


class LineIssue(msgspec.Struct, frozen=True, array_like=True):
    """One issue: as `errors.Issue`."""

    severity: str
    code: str
    diagnostics: str
    expression: tuple[str, ...] = ()

    @classmethod
    def of(cls, issue: Issue) -> LineIssue:
        """Returns the same issue for the bookkeeping."""
        return cls(issue.severity, issue.code, issue.diagnostics, issue.expression)


class LineOutcome(msgspec.Struct, frozen=True, array_like=True):
    """What is wrong with a line, or to be said of it. `source`: `Type/id` at the provider; empty if it is not known.

    `line` 0: the file as a whole.
    """

    line: int
    source: str
    issues: tuple[LineIssue, ...]

    @property
    def failed(self) -> bool:
        """Whether the line was refused."""
        return any(issue.severity in ("error", "fatal") for issue in self.issues)


class Counts(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many lines, and how many resources were created …; `existing`: left alone by create-only; `failed`: lines."""

    lines: int = 0
    created: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    existing: int = 0
    failed: int = 0

    def __add__(self, other: Counts) -> Counts:
        mine, theirs = msgspec.structs.astuple(self), msgspec.structs.astuple(other)
        return Counts(*[one + two for one, two in zip(mine, theirs, strict=True)])


class Results(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The results of a segment. `after`: the version that each planned write made, in that order; 0: none."""

    counts: Counts
    after: tuple[int, ...] = ()
    outcomes: tuple[LineOutcome, ...] = ()

    def encode(self) -> bytes:
        """Returns the object's body."""
        return msgspec.json.encode(self)


class UndoResults(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a segment when it was undone. `kept`: resources that others had changed, and one issue of each."""

    restored: int = 0
    removed: int = 0
    kept: tuple[LineOutcome, ...] = ()

    def encode(self) -> bytes:
        """Returns the object's body."""
        return msgspec.json.encode(self)


_plan = msgspec.json.Decoder(Plan).decode
_undo_results = msgspec.json.Decoder(UndoResults).decode
_results = msgspec.json.Decoder(Results).decode


def decode_plan(body: bytes, key: str) -> Plan:
    """Reads a plan. Raises CorruptRecord, naming `key`."""
    try:
        return _plan(body)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error


def decode_results(body: bytes, key: str) -> Results:
    """Reads results. Raises CorruptRecord, naming `key`."""
    try:
        return _results(body)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error


def decode_undo(body: bytes, key: str) -> UndoResults:
    """Reads what became of an undoing. Raises CorruptRecord, naming `key`."""
    try:
        return _undo_results(body)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error
