"""Is what the clients saw of one resource linearizable, and did nothing acknowledged get lost?

In general that is a hard search. Here the order of the writes is known: it is the order of the versions. So each
version v has one commit at some unknown instant c(v), with c(1) < c(2) < …, and every operation only bounds these:

- an acknowledged write that made v was called before c(v) and answered after it: start <= c(v) <= end;
- a write with unknown outcome that made v: start <= c(v);
- whoever saw v as the current version, did so at an instant of the call: c(v) <= end and start <= c(v+1);
- a vread that found v: c(v) <= end; one that did not: start <= c(v).

Instants that fulfil all of these exist exactly if no version has an earliest time, its own or one of a version before
it, that is later than its latest. That is linearizability (Herlihy and Wing 1990, https://doi.org/10.1145/78969.78972).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.linearizability.history import DELETED, Committed, Kind, Operation, Result

_WRITES = (Kind.CREATE, Kind.UPDATE)


def violations(operations: Iterable[Operation], versions: Sequence[Committed]) -> list[str]:
    """What is wrong with the history of one resource, in words; `versions` 1, 2, … are what was there at the end."""
    check = _Check(versions)
    for operation in operations:
        check.add(operation)
    return [*check.found, *check.conclusions()]


@dataclass(slots=True)
class _Check:
    versions: Sequence[Committed]
    found: list[str] = field(default_factory=list)
    made_by: dict[str, list[int]] = field(default_factory=dict)  # token -> versions with that content
    known: set[str] = field(default_factory=set)  # tokens that somebody tried to write
    earliest: dict[int, Operation] = field(default_factory=dict)  # version -> who says that c(v) >= start
    latest: dict[int, Operation] = field(default_factory=dict)  # version -> who says that c(v) <= end
    deletes: dict[int, list[Operation]] = field(default_factory=dict)  # version -> acknowledged deletes
    doubtful: list[Operation] = field(default_factory=list)  # deletes with unknown outcome

    def __post_init__(self) -> None:
        for number, version in enumerate(self.versions, 1):
            if version.content != DELETED:
                self.made_by.setdefault(version.token, []).append(number)

    def add(self, operation: Operation) -> None:
        """Take one operation into account."""
        if operation.version is not None and operation.version > len(self.versions):
            self._wrong("lost: that version is not there at the end", operation)
            return
        if operation.version and operation.content not in (None, self.versions[operation.version - 1].content):
            self._wrong("showed another content than that version has at the end", operation)
        if operation.kind in _WRITES:
            self._write(operation)
        elif operation.kind is Kind.DELETE:
            self._delete(operation)
        elif operation.kind is Kind.VREAD:
            self._vread(operation)
        elif operation.result is Result.DONE:
            self._saw_current(operation)

    def conclusions(self) -> Iterator[str]:
        """What only shows once all operations are known."""
        for token, numbers in self.made_by.items():
            if token not in self.known:
                yield f"version {numbers[0]} has content that nobody wrote"
            if len(numbers) > 1:
                yield f"applied more than once: versions {numbers} have the content {token}"
        yield from self._times()
        yield from self._tombstones()
        yield from self._order()

    def _write(self, operation: Operation) -> None:
        self.known.add(operation.token)
        made = self.made_by.get(operation.token, [])
        if operation.result is Result.FAILED:
            if made:
                self._wrong(f"failed, and yet version {made[0]} has its content", operation)
            if operation.version is not None:
                self._refused(operation)
            return
        if operation.result is Result.DONE and operation.version not in made:
            self._wrong("acknowledged, and that version has not its content", operation)
        for version in made:
            self._bound(version, not_before=operation)
            if operation.result is Result.DONE:
                self._bound(version, not_after=operation)
                if operation.created != self._vacant(version - 1):
                    self._wrong("201 or 200, whichever it said, is wrong", operation)
            if operation.if_match is not None and version != operation.if_match + 1:
                self._wrong(f"made version {version} against its If-Match", operation)
            if operation.kind is Kind.CREATE and version != 1:
                self._wrong(f"a create made version {version}", operation)

    def _delete(self, operation: Operation) -> None:
        if operation.result is Result.UNKNOWN:
            self.doubtful.append(operation)
        elif operation.result is Result.FAILED:
            if operation.version is not None:
                self._refused(operation)
        elif operation.version is not None:
            self.deletes.setdefault(operation.version, []).append(operation)
            self._saw_current(operation)  # it made the tombstone, or found it
            if operation.if_match is not None and operation.version - operation.if_match not in (0, 1):
                self._wrong("deleted against its If-Match", operation)

    def _vread(self, operation: Operation) -> None:
        assert operation.asked is not None
        if operation.result is Result.DONE:
            if operation.version != operation.asked:
                self._wrong("answered with another version", operation)
            self._bound(operation.asked, not_after=operation)
        elif operation.result is Result.FAILED:
            self._bound(operation.asked, not_before=operation)

    def _refused(self, operation: Operation) -> None:
        if operation.version == operation.if_match:
            self._wrong("412, and yet current is what its If-Match wants", operation)
        self._saw_current(operation)

    def _saw_current(self, operation: Operation) -> None:
        assert operation.version is not None
        self._bound(operation.version, not_after=operation)
        self._bound(operation.version + 1, not_before=operation)

    def _bound(self, version: int, *, not_before: Operation | None = None, not_after: Operation | None = None) -> None:
        if not_before and (version not in self.earliest or not_before.start > self.earliest[version].start):
            self.earliest[version] = not_before
        if not_after and (version not in self.latest or not_after.end < self.latest[version].end):
            self.latest[version] = not_after

    def _vacant(self, version: int) -> bool:
        return version == 0 or self.versions[version - 1].content == DELETED

    def _order(self) -> Iterator[str]:
        """c(1) < c(2) < … within all bounds?"""
        floor: Operation | None = None
        for version in range(1, len(self.versions) + 1):
            early, late = self.earliest.get(version), self.latest.get(version)
            if early and (floor is None or early.start > floor.start):
                floor = early
            if floor and late and floor.start > late.end:
                yield f"not linearizable: version {version} stood by the end of ({late}), not before ({floor})"

    def _tombstones(self) -> Iterator[str]:
        """Each needs a delete of its own: one that was acknowledged with it, or else one whose outcome is unknown."""
        unexplained = []
        for number, version in enumerate(self.versions, 1):
            late = self._latest(number)
            if version.content == DELETED and not any(by.start <= late for by in self.deletes.get(number, ())):
                unexplained.append((late, number))
        for needed, (late, number) in enumerate(sorted(unexplained), 1):
            if sum(delete.start <= late for delete in self.doubtful) < needed:
                yield f"version {number} is a tombstone that no delete can have made"

    def _latest(self, version: int) -> float:
        ends = (late.end for number, late in self.latest.items() if number >= version)
        return min(ends, default=float("inf"))

    def _times(self) -> Iterator[str]:
        """lastUpdated grows with the version."""
        before = ""
        for number, version in enumerate(self.versions, 1):
            if version.updated and version.updated <= before:
                yield f"version {number} is not later than the one before: {version.updated} after {before}"
            before = version.updated or before

    def _wrong(self, what: str, operation: Operation) -> None:
        self.found.append(f"{what}: {operation}")
