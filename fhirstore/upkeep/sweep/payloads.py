"""Removes contents that nothing refers to, a bounded part of all contents in a pass; the next pass goes on there.

| found | what is done |
|---|---|
| `live` for a day, no reference | it is condemned |
| `condemned` until every write of before is settled, still no reference | it is gone, then its object is deleted |
| `arriving` for a day | it is gone, then what may have been written of it is deleted |
| uploads that lost, for a day | they are waste |
| waste | its uploads are aborted, its objects deleted, then the entry forgets it |

A reference is written before its writer looks at the entry (`commit.referring`), and here references are looked for
after the entry was condemned. So either this sweeper finds the reference, or the writer finds the entry condemned, and
makes it live again; then the compare-and-set to `gone` fails. An object is deleted only after a compare-and-set has
made it waste. Nobody can refer to it then, for ever, so a sweeper may die or sleep at any point, and any number may
work at once.

An entry that is gone stays: it is small, and DELETE has no condition, so that a late one could remove the entry of a
content that was uploaded again.

Cost: 1 GET, 1 LIST per 1,000 objects; per content without a reference 1 GET, and 1 LIST where it may have to go; then
1 PUT for each step, 1 LIST and 1 DELETE per object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhirstore.batched import batched
from fhirstore.commit.idempotent import aborted, listed, removed, uploads_listed
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import AbortUpload, Absent, Get, List, ListUploads, Protocol, Put
from fhirstore.commit.reading import ask
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import CorruptRecord
from fhirstore.format.keyspace import Keyspace, parse_payload_entry, parse_reference
from fhirstore.format.payload import (
    LONGEST_GONE,
    LONGEST_PLAIN,
    Entry,
    decode_entry,
    rivals_over,
    unused,
    without,
)
from fhirstore.objects.base import IfMatch, Listed, Written
from fhirstore.upkeep.sweep.passes import begin_pass, stop_pass


@dataclass(frozen=True, slots=True)
class PayloadPace:
    """`pages`: LISTs in a pass; `page`: keys per LIST; `at_once`: entries judged in parallel; `margin`: ms added to the
    time after which a write is settled."""

    pages: int = 200
    page: int = 1_000
    at_once: int = 16
    margin: int = 1_000


@dataclass(slots=True)
class Content:
    """What a listing showed of one content: its entry, and whether it has references."""

    sha256: str
    entry: Listed
    referred: bool = False


def sweep_payloads(keys: Keyspace, *, context: Context, pace: PayloadPace | None = None) -> Protocol[int]:
    """Does one pass. Returns how many objects were removed. Raises Unavailable, StoreDamaged."""
    pace = pace or PayloadPace()
    begun = yield from begin_pass(keys.payload_sweep_state)
    cursor = begun.cursor
    count = 0
    last: Content | None = None  # its references may go on in the next page
    for _ in range(pace.pages):
        page = yield from listed(List(keys.payloads(), cursor=cursor, limit=pace.page))
        contents = contents_of(keys, page.objects, last)
        last = contents.pop() if contents else None
        count += yield from _sweep_all(keys, contents, begun.date, context, pace)
        cursor = page.cursor
        if cursor is None:
            break
    if last is not None:
        count += yield from _sweep_all(keys, [last], begun.date, context, pace)
    if cursor is not None:
        yield from stop_pass(keys.payload_sweep_state, cursor, begun.condition)
    return count


def contents_of(keys: Keyspace, items: Sequence[Listed], last: Content | None = None) -> list[Content]:
    """Returns the contents in a page; more of the last one may follow. `last`: that of the page before."""
    contents = [] if last is None else [last]
    for item in items:
        sha256 = parse_payload_entry(keys, item.key)
        if sha256 is not None:
            contents.append(Content(sha256, item))
            continue
        reference = parse_reference(keys, item.key)
        if reference is not None and contents and contents[-1].sha256 == reference.sha256:
            contents[-1].referred = True
    return contents


def _sweep_all(
    keys: Keyspace, contents: Sequence[Content], date: int, context: Context, pace: PayloadPace
) -> Protocol[int]:
    suspects = [content for content in contents if _suspect(content, date - context.limits.settled - pace.margin)]
    count = 0
    for some in batched(suspects, pace.at_once):
        steps = [judge(keys, content, date, context=context, margin=pace.margin) for content in some]
        count += sum((yield from side_by_side(steps)))
    return count


def _suspect(content: Content, before: int) -> bool:
    """Whether something may have to be done: the size of the entry tells whether it has anything to be deleted."""
    size = content.entry.size
    if content.entry.modified >= before:
        return False
    return size > LONGEST_PLAIN or (not content.referred and size > LONGEST_GONE)


def judge(keys: Keyspace, content: Content, date: int, *, context: Context, margin: int) -> Protocol[int]:
    """Does the next step for a content, by its entry as it was listed before `date`. Returns how many objects went.

    Raises Unavailable.
    """
    key, limits = content.entry.key, context.limits
    (found,) = yield from ask(Get(key))
    if isinstance(found, Absent) or found.etag != content.entry.etag:
        return 0  # it was written since it was listed, so it is young
    try:
        entry = decode_entry(found.body, key)
    except CorruptRecord:
        return 0  # fsck reports it
    a_day_old = content.entry.modified + limits.unused + margin < date
    nonce = context.ids.new()
    if entry.waste:
        return (yield from _emptied(keys, entry, found.etag, context))
    wanted: Entry | None = None
    if entry.state == "arriving":
        wanted = unused(entry, nonce) if a_day_old else None
    elif entry.others:
        wanted = rivals_over(entry, nonce) if a_day_old else None
    elif entry.state == "condemned" or (entry.state == "live" and a_day_old):
        referred = yield from _referred(keys, entry.sha256)
        wanted = None if referred else unused(entry, nonce)
    if wanted is None:
        return 0
    (reply,) = yield (Put(key, wanted.encode(), IfMatch(found.etag)),)
    if not isinstance(reply, Written) or not wanted.waste:
        return 0
    return (yield from _emptied(keys, wanted, reply.etag, context))


def _referred(keys: Keyspace, sha256: str) -> Protocol[bool]:
    page = yield from listed(List(keys.references(sha256), limit=1))
    return bool(page.objects)


def _emptied(keys: Keyspace, entry: Entry, etag: str, context: Context) -> Protocol[int]:
    """Deletes what is waste, then takes it out of the entry. Returns how many objects it deleted."""
    for name in entry.waste:
        # Its writer, if it sleeps, must not complete it afterwards.
        page = yield from uploads_listed(ListUploads(keys.prefix + name))
        for upload in page.uploads:
            yield from aborted(AbortUpload(upload.key, upload.upload))
    yield from removed(*(keys.prefix + name for name in entry.waste))
    body = without(entry, entry.waste, context.ids.new()).encode()
    yield (Put(keys.payload_entry(entry.sha256), body, IfMatch(etag)),)
    return len(entry.waste)
