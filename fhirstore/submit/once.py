"""Writes one line once, however often it is tried, by whomever, at the same time or long after.

Every attempt's op token begins with the line's own (`tokens`). `clean` is a version up to which no version is the
line's: at first the one in the segment's plan. An attempt builds on a `current.json` only if all versions above `clean`
are known not to be the line's; its commit is conditional on that very `current.json`. So of any number of workers that
try the same line, one commits, and all others find its version: in `current.json`, in the `prior` of it, or by reading
the versions between.

A line that has no version although a later line of its manifest has one was settled before that one, and wrote nothing
(a deletion of nothing, content that was there already). It must write nothing when it is tried again, either, since
that would be over the later line.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from fhirstore.commit.attempt import Base
from fhirstore.commit.intents import base_for
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Protocol
from fhirstore.commit.reading import vread
from fhirstore.commit.single import Decide, Draft, WriteResult, write
from fhirstore.errors import Contention
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.record import Record
from fhirstore.submit.tokens import Marked, is_later

_ROUNDS = 8  # others wrote two versions or more between a search and the next attempt, each time


class Once(msgspec.Struct, frozen=True):
    """`version`: the one that the line made, now or earlier; 0: none. `created`: it brought the resource into being.

    `deleted`: it is a tombstone. `result`: what this call wrote or found; None where the version was there already.
    """

    version: int
    created: bool = False
    deleted: bool = False
    result: WriteResult | None = None


class _Written(Exception):
    """The line's version is there: this one, or this record's `prior`."""

    def __init__(self, version: int, record: Record | None = None) -> None:
        super().__init__()
        self.version = version
        self.record = record


class _Overtaken(Exception):
    """A later line of the manifest has written the resource: this one had nothing to write."""


class _Unseen(Exception):
    """There are versions below this one that nobody has looked at."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = version


def write_once(
    keys: ResourceKeys, decide: Decide, token: str, *, clean: int, context: Context, base: Base | None = None
) -> Protocol[Once]:
    """Writes what `decide` says, unless a version above `clean` is the line's. Commit point: PUT `current.json`.

    `base`: as it was read when the segment was planned; saves the GET. None: somebody may have tried this line before.
    Cost: as `single.write`, and 2 GET for each version above `clean` by others, but for the last two. A resource that
    was purged above `clean` is left alone. Raises as `single.write`; after WriteOutcomeUnknown call it again.
    """
    marked = replace(context, ids=Marked(context.ids, token))
    guess = base
    if base is None:
        found = yield from base_for(keys, context)
        if found.record is not None and found.record.floor > clean:
            return Once(0)
        guess = found
    for _ in range(_ROUNDS):
        remembered = None if guess is None else replace(guess, whole=False)
        guess = None
        try:
            result = yield from write(keys, unless_written(decide, token, clean), context=marked, remembered=remembered)
        except _Written as there:
            record = there.record or (yield from vread(keys, there.version, limits=context.limits))
            return Once(there.version, record is not None and record.created, record is not None and record.deleted)
        except _Overtaken:
            return Once(0)
        except _Unseen as unseen:
            mine, later = yield from _search(keys, token, above=clean, below=unseen.version, context=context)
            if mine is not None:
                return Once(mine.version, mine.created, mine.deleted)
            if later:
                return Once(0)
            clean = unseen.version - 1
            continue
        if not result.applied or result.record is None:
            return Once(0, result=result)
        return Once(result.record.version, result.created, result.record.deleted, result)
    raise Contention("Others kept writing this resource; nothing was written, try again")


def unless_written(decide: Decide, token: str, clean: int) -> Decide:
    """Returns the decision that looks for the line's version first; all versions up to `clean` are not the line's."""

    def look_first(current: Record | None) -> Draft | None:
        if current is not None and current.version > clean:
            if current.op.startswith(token):
                raise _Written(current.version, current)
            unknown = current.version - 1 - clean  # versions below `current` that nobody has looked at
            if unknown == 1 and current.prior is not None:
                if current.prior.startswith(token):
                    raise _Written(current.version - 1)
            elif unknown >= 1:
                raise _Unseen(current.version)
            if is_later(current.op, token) or (unknown and is_later(current.prior or "", token)):
                raise _Overtaken
        return decide(current)

    return look_first


def _search(
    keys: ResourceKeys, token: str, *, above: int, below: int, context: Context
) -> Protocol[tuple[Record | None, bool]]:
    """Returns the line's version between the two, both exclusive, and whether a later line has one there or below."""
    later = False
    for version in range(below - 1, above, -1):
        record = yield from vread(keys, version, limits=context.limits)
        if record is not None and record.op.startswith(token):
            return record, later
        later = later or (record is not None and is_later(record.op, token))
    return None, later


def find(keys: ResourceKeys, token: str, *, above: int, below: int, context: Context) -> Protocol[int]:
    """Returns the newest version between the two, both exclusive, whose op token begins with `token`; 0 if none does.

    2 GET for each version. Raises Unavailable, CorruptRecord.
    """
    for version in range(below - 1, above, -1):
        record = yield from vread(keys, version, limits=context.limits)
        if record is not None and record.op.startswith(token):
            return version
    return 0
