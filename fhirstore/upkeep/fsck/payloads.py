"""Checks payloads: every entry is readable, and its object is there, with its size and (deep) its bytes.

That every version's entry names its content, and that its reference is there, is checked with the versions
(`resource`). Safe beside writers and sweepers: an object is deleted only after its entry was written anew, so whatever
is missing is reported only if the entry is still the same afterwards.

An object that no entry names is looked for in slices of `SLICE` objects, so that memory is bounded: the entries are
read once for each slice. It is reported when it is so old that no upload can still go on with it.

Cost: 1 LIST per 1,000 objects, 1 GET and 1 LIST per content; deep: 1 GET of each content, streamed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fhirstore.batched import batched
from fhirstore.commit.idempotent import listed, removed
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, List, Protocol
from fhirstore.commit.reading import ask
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import CorruptRecord
from fhirstore.format.keyspace import Keyspace, parse_payload_entry, parse_reference
from fhirstore.format.payload import Entry, decode_entry, is_payload_object
from fhirstore.objects.base import Listed
from fhirstore.upkeep.fsck.finding import Finding, unreadable
from fhirstore.upkeep.fsck.runs import digest_of
from fhirstore.upkeep.fsck.unreadable import listed_behind_damage

SLICE = 200_000
"""Names of objects that are held at once, about 20 MB."""

_AT_ONCE = 16

Take = Callable[[Sequence[Finding]], Protocol[None]]


def walk_payloads(keys: Keyspace, *, context: Context, page: int, deep: bool, take: Take) -> Protocol[None]:
    """Gives `take` what is wrong with the payloads, a page at a time. Raises Unavailable."""
    (now,) = yield from ask(Get(keys.payload_sweep_state))  # for the store's time
    before = now.date - 2 * context.limits.unused
    cursor: str | None = None
    first = True
    while True:
        unnamed, cursor = yield from _slice(keys, before, page, cursor, take)
        if first or unnamed:
            yield from _entries(keys, page, unnamed, deep=deep, take=take, check=first)
        yield from take([Finding("payload-leftover", keys.prefix + name, repairable=True) for name in sorted(unnamed)])
        first = False
        if cursor is None:
            return


def _slice(
    keys: Keyspace, before: int, page: int, cursor: str | None, take: Take
) -> Protocol[tuple[set[str], str | None]]:
    """Returns the names of the next objects that are older than `before`, and where the next slice begins."""
    names: set[str] = set()
    lost: list[str] = []
    while True:
        found = yield from listed_behind_damage(List(keys.payload_objects(), cursor=cursor, limit=page), lost)
        strays = [item.key for item in found.objects if not is_payload_object(item.key.removeprefix(keys.prefix))]
        names.update(
            item.key.removeprefix(keys.prefix)
            for item in found.objects
            if item.modified < before and item.key not in strays
        )
        yield from take([Finding("stray-key", key) for key in strays])
        cursor = found.cursor
        if cursor is None or len(names) >= SLICE:
            yield from take(unreadable(lost))
            return names, cursor


def _entries(keys: Keyspace, page: int, unnamed: set[str], *, deep: bool, take: Take, check: bool) -> Protocol[None]:
    """Reads all entries, and takes what they name out of `unnamed`. `check`: also checks them and their objects."""
    lost: list[str] = []
    cursor: str | None = None
    while True:
        found = yield from listed_behind_damage(List(keys.payloads(), cursor=cursor, limit=page), lost)
        entries = [item for item in found.objects if parse_payload_entry(keys, item.key) is not None]
        for some in batched(entries, _AT_ONCE):
            checks = [_check(keys, item, unnamed, deep=deep, check=check) for item in some]
            results = yield from side_by_side(checks)
            yield from take([finding for findings in results for finding in findings])
        if check:
            yield from take([Finding("stray-key", item.key) for item in found.objects if _strange(keys, item.key)])
        cursor = found.cursor
        if cursor is None:
            yield from take(unreadable(lost) if check else [])
            return


_FOLDERS = ("payload/", "uploads/", "incoming/")


def _strange(keys: Keyspace, key: str) -> bool:
    if key.removeprefix(keys.payloads()).startswith(_FOLDERS):
        return False
    return parse_payload_entry(keys, key) is None and parse_reference(keys, key) is None


def _check(keys: Keyspace, item: Listed, unnamed: set[str], *, deep: bool, check: bool) -> Protocol[list[Finding]]:
    entry = yield from _read(item.key)
    if entry is None:
        return [Finding("payload-entry", item.key)] if check else []
    if isinstance(entry, Absent):
        return []
    unnamed.difference_update((entry.object, *entry.others, *entry.waste))
    if not check or entry.state not in ("live", "condemned"):
        return []
    finding = yield from _check_object(keys.prefix + entry.object, entry, deep=deep)
    return [finding] if finding is not None and (yield from _read(item.key)) == entry else []


def _check_object(key: str, entry: Entry, *, deep: bool) -> Protocol[Finding | None]:
    page = yield from listed(List(key, limit=1))
    item = next((each for each in page.objects if each.key == key), None)
    if item is None:
        return Finding("payload-missing", key)
    if item.size != entry.size:
        return Finding("payload-size", key, f"{item.size} bytes, and not {entry.size}")
    if deep and (yield from digest_of(key)) not in (entry.sha256, None):
        return Finding("payload-hash", key)
    return None


def _read(key: str) -> Protocol[Entry | Absent | None]:
    """Returns the entry; None where it is unreadable."""
    (reply,) = yield from ask(Get(key))
    if isinstance(reply, Absent):
        return reply
    try:
        return decode_entry(reply.body, key)
    except CorruptRecord:
        return None


def remove_unnamed(finding: Finding) -> Protocol[bool]:
    """Removes an object that no entry named. It is too old to be named by one later."""
    yield from removed(finding.key)
    return True
