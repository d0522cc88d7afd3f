"""What clients want of one resource, run by the very generators that serve users, and what they may be told.

Each class here is one kind of call: it starts a protocol, and judges afterwards what its client was told by what was
truly committed. The decisions (update, deletion, creation_once) are the library's own as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from msgspec import structs

from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Protocol
from fhirstore.commit.reading import look, vread
from fhirstore.commit.remembered import RememberedBases
from fhirstore.commit.single import Decide, Draft, WriteResult, write
from fhirstore.errors import Contention, Unavailable, VersionConflict, WriteOutcomeUnknown
from fhirstore.format.record import Record
from fhirstore.interactions.preconditions import preconditions
from fhirstore.interactions.resources import creation_once, deletion, update
from tests.simulation.model.process import Process
from tests.simulation.model.task import Call
from tests.simulation.model.truth import KEYS, TYPE, Committed, History, Truth


def tell(process: Process, id: str, record: Record | None) -> None:
    """A client was told of this version, and tells the others."""
    if record is not None:
        heard = process.world.heard
        heard[id] = max(heard.get(id, 0), record.version)


def content(call: Call) -> Callable[[int, int], bytes]:
    """A tiny resource that says which call wrote which version."""
    return lambda version, _t: b'{"call":%d,"version":%d}' % (call.number, version)


def remembered(process: Process) -> RememberedBases:
    """What this process remembers."""
    bases = process.memory.setdefault("bases", RememberedBases())
    assert isinstance(bases, RememberedBases)
    return bases


def remember(process: Process, key: str, record: Record, etag: str) -> None:
    """As for large contents: without the content."""
    remembered(process).remember(
        "", key, record if record.resource is None else structs.replace(record, resource=b""), etag
    )


@dataclass(frozen=True, slots=True)
class Read:
    """GET [type]/[id]."""

    id: str

    def start(self, process: Process, context: Context, call: Call) -> Protocol[Record | None]:
        keys = KEYS.resource(TYPE, self.id)
        base, _ = yield from look(keys)
        if base.record is not None and base.etag is not None:
            remember(process, keys.current, base.record, base.etag)
        tell(process, self.id, base.shown)
        return base.shown

    def judge(self, call: Call, truth: Truth) -> list[str]:
        if call.ended is None or isinstance(call.outcome, Unavailable):
            return []
        return shown(call, call.outcome, truth.history(self.id))


@dataclass(frozen=True, slots=True)
class VRead:
    """GET [type]/[id]/_history/[version]; `version` is counted from the newest that any client was told of."""

    id: str
    version: int
    relative: bool = False

    def start(self, process: Process, context: Context, call: Call) -> Protocol[tuple[int, Record | None]]:
        version = max(self.version + (process.world.heard.get(self.id, 0) if self.relative else 0), 1)
        return version, (yield from vread(KEYS.resource(TYPE, self.id), version, limits=context.limits))

    def judge(self, call: Call, truth: Truth) -> list[str]:
        if call.ended is None or isinstance(call.outcome, Unavailable):
            return []
        history = truth.history(self.id)
        assert isinstance(call.outcome, tuple)
        version, record = call.outcome
        if record is None:
            there = not history.lacks(version, call.began, call.ended)
            return [f"vread of version {version} found nothing, though it was there all the time"] if there else []
        if not history.holds(version, call.began, call.ended):
            return [f"vread returned version {version}, which was not there then"]
        return same(record, history, version)


@dataclass(frozen=True, slots=True)
class Write:
    """POST, PUT, PATCH or DELETE of one resource.

    `kind`: `create` (its id was just made up), `once` (by an Idempotency-Key, so others may create it too), `update`,
    `patch` (depends on the content before), `delete`. `if_match`: over the newest version any client was told of.
    `recall`: skips the GET where this process remembers the base.
    """

    id: str
    kind: str = "update"
    if_match: bool = False
    recall: bool = False

    def start(self, process: Process, context: Context, call: Call) -> Protocol[tuple[WriteResult, int | None]]:
        keys = KEYS.resource(TYPE, self.id)
        bases = remembered(process)
        known = bases.get("", keys.current)
        expected = self.expected(process)
        guess = known if self.recall and self.kind != "patch" else None
        fresh = self.kind in ("create", "once")
        outcome = yield from write(
            keys, self.decide(call, expected), context=context, fresh=fresh, remembered=None if fresh else guess
        )
        if outcome.record is not None and outcome.etag is not None:
            remember(process, keys.current, outcome.record, outcome.etag)
        else:
            bases.forget("", keys.current)
        tell(process, self.id, outcome.record)
        return outcome, expected

    def unless_patch(self) -> Write:
        """A patch depends on the content before, not on its number."""
        return replace(self, if_match=False) if self.kind == "patch" else self

    def expected(self, process: Process) -> int | None:
        """The version it is to be made over, where that matters."""
        return process.world.heard.get(self.id, 0) if self.if_match else None

    def decide(self, call: Call, expected: int | None) -> Decide:
        """What it wants to become the next version."""
        if self.kind == "once":
            return creation_once(content(call))
        if self.kind == "delete":
            return deletion(preconditions(expected))
        if self.kind == "patch":
            return lambda current: Draft("PATCH", _patched(call, current))
        return update(content(call), preconditions(expected))

    def judge(self, call: Call, truth: Truth) -> list[str]:
        history = truth.history(self.id)
        mine = self._made(call, truth)
        wrong = [f"was applied {len(mine)} times"] if len(mine) > 1 else []
        unknown = call.ended is None or isinstance(call.outcome, WriteOutcomeUnknown)
        for committed in mine:
            if not call.began <= committed.at or (not unknown and committed.at > (call.ended or 0.0)):
                wrong.append("was committed outside its call")
        wrong += self.judge_made(call, truth)
        if call.ended is None or unknown:
            return wrong
        if isinstance(call.outcome, tuple):
            outcome, expected = call.outcome
            assert isinstance(outcome, WriteResult)
            return wrong + self.judge_told(call, call.ended, outcome, expected, history)
        if mine:
            wrong.append(f"was told {type(call.outcome).__name__}, but version {mine[0].record.version} is its own")
        if isinstance(call.outcome, VersionConflict):
            if not history.shows(call.outcome.current, call.began, call.ended):
                wrong.append(f"was told of current version {call.outcome.current}, which was not current then")
        elif not isinstance(call.outcome, Contention | Unavailable):
            wrong.append(f"ended with {call.outcome!r}")
        return wrong

    def _made(self, call: Call, truth: Truth) -> list[Committed]:
        """What this call committed of this resource."""
        return [truth.landed[self.id, token][1] for token in call.tokens if (self.id, token) in truth.landed]

    def judge_made(self, call: Call, truth: Truth) -> list[str]:
        """Is a patch made from the version before?"""
        history = truth.history(self.id)
        return [
            f"version {committed.record.version} was not made from the version before"
            for committed in self._made(call, truth)
            if self.kind == "patch" and committed.record.resource != _patched(call, _before(history, committed))(0, 0)
        ]

    def judge_told(
        self, call: Call, ended: float, outcome: WriteResult, expected: int | None, history: History
    ) -> list[str]:
        """Is what its client was told true?"""
        record = outcome.record
        if not outcome.applied:
            nothing = self.kind in ("delete", "once")
            return shown(call, record, history) if nothing else ["did nothing"]
        if record is None or record.op not in call.tokens:
            return ["returned another's version"]
        if not history.holds(record.version, call.began, ended):
            return [f"was acknowledged as version {record.version}, which never came to be"]
        if expected and record.version != expected + 1:
            return [f"If-Match {expected} made version {record.version}"]
        return same(record, history, record.version) + self._judge_before(outcome, record.version, expected, history)

    def _judge_before(self, outcome: WriteResult, version: int, expected: int | None, history: History) -> list[str]:
        before = _before(history, history.versions[version - 1])
        told = None if outcome.before is None else outcome.before.op
        if expected == 0 and before is not None:
            return [f"If-Match 0 was met by version {before.version}"]
        return [] if told == (None if before is None else before.op) else ["was told another version before its own"]


def shown(call: Call, record: object, history: History) -> list[str]:
    """Was `record` (None: nothing) what readers saw at some instant of the call?"""
    assert call.ended is not None
    if record is None:
        seen = history.shows(0, call.began, call.ended)
        return [] if seen else ["read nothing, though there was something all the time"]
    assert isinstance(record, Record)
    if not history.shows(record.version, call.began, call.ended):
        return [f"read version {record.version}, which was not current at any time meanwhile"]
    return same(record, history, record.version)


def same(record: Record, history: History, version: int) -> list[str]:
    """Is this record the committed one?"""
    truly = history.versions[version - 1].record
    facts = (record.version, record.op, record.t, record.method, record.resource)
    if facts == (version, truly.op, truly.t, truly.method, truly.resource):
        return []
    return [f"was given op {record.op} as version {version}; committed was op {truly.op}"]


def _before(history: History, committed: object) -> Record | None:
    """The version that a reader saw just before this one."""
    for index, version in enumerate(history.versions):
        if version is committed:
            earlier = history.versions[index - 1] if index else None
            return None if earlier is None or earlier.purged <= version.at else earlier.record
    return None


def _patched(call: Call, current: Record | None) -> Callable[[int, int], bytes]:
    old = b"" if current is None else current.op.encode()
    return lambda _version, _t: b'{"call":%d,"over":"%s"}' % (call.number, old)
