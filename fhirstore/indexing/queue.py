"""The versions that this process has committed and its index has not applied yet.

A run takes them, and says whether they are applied; meanwhile they still count as unapplied, so that a search that
needs nothing but them can apply them, too. What does not fit in is dropped: it is found in the history log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fhirstore.format.record import Record

ROOM = 64 * 1024 * 1024
"""Bytes of content that may wait, unless said otherwise."""

Versions = Mapping[str, Record]
"""Versions by `Type/id`."""


@dataclass(slots=True)
class Queue:
    """The newest version of each resource. `room`: bytes of content that may wait. `oldest`: when that was committed
    which has waited for longest, epoch ms; None: nothing waits.

    """

    room: int = ROOM
    oldest: int | None = None
    _drops: int = 0  # how often something was dropped
    _found: int = 0  # how many of these drops a run has found in the log
    _size: int = 0
    _waiting: dict[str, Record] = field(default_factory=dict)
    _taken: list[tuple[Versions, int]] = field(default_factory=list)  # with the drops before

    def __len__(self) -> int:
        return len(self._waiting) + sum(len(taken) for taken, _ in self._taken)

    @property
    def dropped(self) -> bool:
        """Whether a version may be missing here that is not applied yet."""
        return self._drops > self._found

    def drop(self) -> None:
        """Says that versions were committed which do not wait here: the next run must find them in the log."""
        self._drops += 1

    def add(self, versions: Versions, *, now: int) -> None:
        """Takes the versions of one commit, all or none: no run gets a part of a transaction. `now`: epoch ms."""
        if self._size + _size(versions) > self.room:
            self.drop()
            return
        if self.oldest is None:
            self.oldest = now
        for name, record in versions.items():
            self._put(name, record)

    def take(self) -> Versions:
        """Returns what waits, for a run that reads the log from here on. The caller must say `done` or `failed`."""
        taken, self._waiting = self._waiting, {}
        self._taken.append((taken, self._drops))
        return taken

    def unapplied(self) -> Versions:
        """Returns all that is not applied yet, what runs have taken included."""
        found: dict[str, Record] = {}
        for some in (*(taken for taken, _ in self._taken), self._waiting):
            for name, record in some.items():
                if newer(record, found.get(name)):
                    found[name] = record
        return found

    def done(self, taken: Versions) -> None:
        """They are applied, and so is what was dropped before they were taken."""
        self._found = max(self._found, self._forget(taken))
        self._rest()

    def failed(self, taken: Versions) -> None:
        """They are not applied, and wait again."""
        self._forget(taken)
        for name, record in taken.items():
            self._put(name, record)
        self._rest()

    def applied(self, versions: Versions) -> None:
        """These are applied, and were not taken."""
        for name, record in versions.items():
            if self._waiting.get(name) is record:
                del self._waiting[name]
                self._size -= len(record.resource or b"")
        self._rest()

    def _put(self, name: str, record: Record) -> None:
        known = self._waiting.get(name)
        if newer(record, known):
            self._waiting[name] = record
            self._size += len(record.resource or b"") - (0 if known is None else len(known.resource or b""))

    def _forget(self, taken: Versions) -> int:
        """Returns the drops before they were taken."""
        drops = next(drops for one, drops in self._taken if one is taken)
        self._taken = [one for one in self._taken if one[0] is not taken]
        self._size -= _size(taken)
        return drops

    def _rest(self) -> None:
        if not len(self):
            self.oldest = None


def newer(record: Record, known: Record | None) -> bool:
    """Returns whether a version comes after the known one. A purge comes after the version whose number it keeps."""
    if known is None or record.version != known.version:
        return known is None or record.version > known.version
    return record.purged and not known.purged


def _size(versions: Versions) -> int:
    return sum(len(record.resource or b"") for record in versions.values())
