"""The history of one resource: one page. Versions are numbered 1, 2, 3 …, so no LIST is needed.

`current.json` says which version is the newest and which were purged. The others are read by number, in parallel, after
it; so they are final, unless a purge came in between (rule R3 in `commit.reading`). With `since` or `at`, the first and
last version are found by their times, which grow with the numbers: 8 versions are probed at a time. A page ends before
a version in an archive class, and a page that would begin with one raises ObjectArchived.

Cost: a page of n entries takes at most n + 1 GET in 2 round trips; 1 GET and 1 round trip more if it has a version of
the last seconds that no other version names as its `prior`; with a time, 1 round trip more per factor of nine.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fhirstore.commit.limits import Context, Limits
from fhirstore.commit.messages import Protocol
from fhirstore.commit.reading import glance, look
from fhirstore.errors import NotFound, ObjectArchived
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.record import Record
from fhirstore.history.cursor import INSTANCE, InstanceCursor, decode
from fhirstore.history.page import PAGE_BYTES, HistoryPage, HistoryQuery, safe_time
from fhirstore.history.records import Budget, records_at
from fhirstore.paging import encode
from fhirstore.version import Version, version_of

_PROBES = 8
_WORTH_KEEPING = 64 * 1024  # bytes; a probed version up to this size is kept, and not read again


def instance_page(
    keys: ResourceKeys, query: HistoryQuery, cursor_text: str | None, *, context: Context, page_bytes: int = PAGE_BYTES
) -> Protocol[HistoryPage]:
    """Returns the first page, or the one that `cursor_text` names.

    Raises NotFound (it never existed, or was purged), InvalidResource (cursor), ObjectArchived, Unavailable,
    CorruptRecord.
    """
    cursor = decode(cursor_text, INSTANCE)
    as_of = safe_time(context) if cursor is None else cursor.as_of
    base, read_at = yield from look(keys)
    current = base.shown
    if current is None:
        raise NotFound("No such resource")
    versions = _Versions(keys, current, read_at, context.limits)
    total: int | None = None
    if query.since is None and query.at is None:
        total = current.version - current.floor if cursor is None or cursor.total is None else cursor.total
    if not query.want:
        return HistoryPage((), None, as_of, total)
    if cursor is None:
        first, last = yield from versions.asked_for(query)
    else:
        first, last = sorted((cursor.version, cursor.until))
    numbers = range(max(first, current.floor + 1), min(last, current.version) + 1)
    if not query.oldest_first:
        numbers = numbers[::-1]
    shown, looked = yield from versions.read(numbers[: query.want], Budget(page_bytes))
    rest = numbers[looked:]
    if not numbers:
        return HistoryPage((), None, as_of, total)
    top = numbers[0] if cursor is None else cursor.top
    following = encode(InstanceCursor(rest[0], rest[-1], as_of, total, top)) if rest else None
    return HistoryPage(tuple(shown), following, as_of, total, _previous(numbers, query.want, as_of, total, top))


def _previous(numbers: range, want: int, as_of: int, total: int | None, top: int) -> str | None:
    """Returns the cursor of the page before the one that starts with the first of these numbers."""
    first = numbers[0]
    if first == top or not top:
        return None
    begin = min(top, first + want) if first < top else max(top, first - want)
    return encode(InstanceCursor(begin, numbers[-1], as_of, total, top))


@dataclass(slots=True)
class _Versions:
    """The versions of one resource up to `current`, which was read at `read_at`; keeps small ones that were probed."""

    keys: ResourceKeys
    current: Record
    read_at: int  # epoch ms
    limits: Limits
    _read: dict[int, Record] = field(default_factory=dict)
    _priors: dict[int, str | None] = field(default_factory=dict)  # by the number of the version that it names
    _archived: set[str] = field(default_factory=set)

    def asked_for(self, query: HistoryQuery) -> Protocol[tuple[int, int]]:
        """Returns the first and last version number that the query asks for; the first is greater if there are none."""
        first, last = self.current.floor + 1, self.current.version
        if query.since is not None:
            first = yield from self._first_from(query.since)
        if query.at is not None:
            last = (yield from self._first_from(query.at.end)) - 1
            first = max(first, (yield from self._first_from(query.at.start + 1)) - 1)
        return first, last

    def _first_from(self, t: int) -> Protocol[int]:
        """Returns the number of the first version made at or after `t`; of the next one to come if there is none."""
        if self.current.t < t:
            return self.current.version + 1
        low, high = self.current.floor + 1, self.current.version
        while low < high:
            probes = sorted({low + (high - low) * n // (_PROBES + 1) for n in range(1, _PROBES + 1)})
            records = yield from self._records(probes)
            self._refuse_archived(probes)
            for number in probes:
                if number not in records or records[number].t < t:  # absent: it is being purged
                    low = max(low, number + 1)
                else:
                    high = min(high, number)
        return low

    def read(self, numbers: range, budget: Budget) -> Protocol[tuple[list[Version], int]]:
        """Returns these versions, in order, and how many numbers were read before the page was full."""
        budget.expect(self.current)
        found: list[Record] = []
        looked = 0
        while looked < len(numbers) and budget.room > 0:
            chunk = numbers[looked : looked + budget.at_once]
            records = yield from self._records(chunk)
            for number in chunk:
                if self.keys.version(number) in self._archived:
                    break
                looked += 1
                if (record := records.get(number)) is not None:
                    budget.spend(record)
                    found.append(record)
            else:
                continue
            if not looked:
                self._refuse_archived(chunk)
            break
        purged = yield from self._purged_since(found)
        type_, id_ = self.keys.type, self.keys.id
        shown = [version_of(type_, id_, one, created=one.created) for one in found if one.version > purged]
        return shown, looked

    def _refuse_archived(self, numbers: Sequence[int]) -> None:
        """Raises ObjectArchived where one of these is in an archive class."""
        for number in numbers:
            if (key := self.keys.version(number)) in self._archived:
                raise ObjectArchived(key, date=self.read_at)

    def _purged_since(self, found: Sequence[Record]) -> Protocol[int]:
        """Returns the floor of a purge that may have come since `current` was read; 0 if it cannot matter to these."""
        if not any(self.limits.may_follow(record, self.read_at) and not self._is_named(record) for record in found):
            return 0
        base, _ = yield from glance(self.keys)
        return self.current.version if base.record is None else base.record.floor

    def _is_named(self, record: Record) -> bool:
        """Does the version after it name this record as its `prior`, so that it was committed?"""
        return record is self.current or self._priors.get(record.version) == record.op

    def _records(self, numbers: Sequence[int]) -> Protocol[dict[int, Record]]:
        """Returns those of these versions that exist, by number."""
        missing = {self.keys.version(number): number for number in numbers if number not in self._read}
        missing.pop(self.keys.version(self.current.version), None)
        read = yield from records_at(list(missing), self._archived)
        found = {missing[key]: record for key, record in read.items()}
        for number, record in found.items():
            self._priors[number - 1] = record.prior
            if len(record.resource or b"") <= _WORTH_KEEPING:
                self._read[number] = record
        self._priors[self.current.version - 1] = self.current.prior
        known = self._read | found | {self.current.version: self.current}
        return {number: known[number] for number in numbers if number in known}
