"""The queue of a tenant's jobs: one small object for each, in one folder, so that 1 LIST shows them all.

A *live* entry is written before anything else of a job and removed when the job has ended and its *ended* entry is
there; that one says when the job is to be removed, and goes last of all. So whatever dies in between, an entry leads to
what is left.

Its body is the job's prefix below the tenant's. Entries are never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from fhirstore.commit.backoff import CONTENDED
from fhirstore.commit.idempotent import listed, removed, stored
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Expired, Get, List, Protocol, Put
from fhirstore.commit.reading import ask
from fhirstore.errors import CorruptRecord, JobExists, Unavailable
from fhirstore.format.keyspace import JobKeys, Keyspace, QueueName, parse_queue_key
from fhirstore.jobs.lease import compare_and_set
from fhirstore.jobs.metadata import JobMetadata
from fhirstore.jobs.state import State
from fhirstore.objects.base import IF_ABSENT, Listed, Page, StoredObject, Written

NEVER = 9_999_999_999_999
"""The time of removal of a job that stays until somebody removes it."""

PAGE = 100
"""Entries per LIST. The live ones come first and are fewer, so that one page shows them all."""

_ADMISSIONS = 8
_SILENT = "The object store does not answer; try again later"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the queue: the job's name and keys. `modified`: store's time of its PUT, epoch ms."""

    name: QueueName
    key: str
    modified: int


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    prefix: str


_decode = msgspec.json.Decoder(_Body).decode


def live_entries(page: Page) -> list[Entry]:
    """Returns the live entries of a page, in the order of their ids: the oldest job first."""
    found = [entry for entry in map(entry_of, page.objects) if entry is not None and entry.name.due is None]
    return sorted(found, key=lambda entry: (entry.name.id, entry.name.kind))


def entry_of(item: Listed) -> Entry | None:
    """Returns the entry of a listed key; None where the key is not that of an entry."""
    try:
        return Entry(parse_queue_key(item.key), item.key, item.modified)
    except ValueError:
        return None


def list_queue(keys: Keyspace, *, page: int = PAGE) -> Protocol[list[Entry]]:
    """Returns all live entries, the oldest job first, and then the ended ones of the same page, the next due first.

    1 LIST unless there are more live jobs than fit on a page. Raises Unavailable.
    """
    live: list[Entry] = []
    cursor: str | None = None
    while True:
        found = yield from listed(List(keys.job_queue(), cursor=cursor, limit=page))
        entries = [entry for entry in map(entry_of, found.objects) if entry is not None]
        ended = [entry for entry in entries if entry.name.due is not None]
        live += [entry for entry in entries if entry.name.due is None]
        cursor = found.cursor
        if cursor is None or ended:
            return sorted(live, key=lambda entry: (entry.name.id, entry.name.kind)) + ended


def prefix_in(keys: Keyspace, reply: StoredObject | Absent, key: str) -> JobKeys | None:
    """Returns the keys of the job that an entry with this body leads to; None if the entry is gone.

    Raises CorruptRecord.
    """
    if isinstance(reply, Absent):
        return None
    try:
        prefix = _decode(reply.body).prefix
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error
    if not prefix.startswith("bulk/") or not prefix.endswith("/") or ".." in prefix:
        raise CorruptRecord(key)
    return JobKeys(keys.prefix + prefix)


def find(keys: Keyspace, name: QueueName) -> Protocol[JobKeys | None]:
    """Returns the keys of the job of this entry. 1 GET. Raises CorruptRecord, Unavailable."""
    key = keys.queued_job(name)
    (reply,) = yield from ask(Get(key))
    return prefix_in(keys, reply, key)


def entry_body(keys: Keyspace, job: JobKeys) -> bytes:
    """Returns the body of the job's entries."""
    return msgspec.json.encode(_Body(job.prefix.removeprefix(keys.prefix)))


# --- creation -------------------------------------------------------------------------------------------------


ADMIT, REFUSE, WAIT = "admit", "refuse", "wait"


def admission(live: Sequence[QueueName], name: QueueName, *, most: int) -> str:
    """Decides whether a job whose entry is in the queue may stay there: ADMIT, REFUSE or WAIT and look again.

    A job is admitted only by a listing that shows at most `most` jobs. Of those that were admitted and live at once,
    the one whose entry came last saw all of them; so they are never more than `most`. If too many came at once, those
    behind the first `most`, by id, give way, and the others wait for that. An entry that is gone was taken for dead.
    """
    ids = sorted((one.id, one.kind) for one in live)
    if (name.id, name.kind) not in ids:
        return REFUSE
    if len(ids) <= most:
        return ADMIT
    return WAIT if ids.index((name.id, name.kind)) < most else REFUSE


def create(
    keys: Keyspace, job: JobKeys, metadata: JobMetadata, *, most: int, context: Context, work: dict[str, object]
) -> Protocol[bool]:
    """Creates a job. Returns False, and leaves nothing, if `most` jobs of the tenant are live already.

    The commit point is the PUT of the state; `metadata.json` is there before it. All PUTs have a write window, so what
    has no state when it is over never will. Cost: 3 PUT + 1 LIST. Raises FileExistsError where the prefix has a job
    already; Unavailable.
    """
    name = QueueName(metadata.kind, metadata.id)
    key = keys.queued_job(name)
    window = yield from _announced(key, entry_body(keys, job), context)
    if not (yield from _admitted(keys, name, most, context)):
        yield from removed(key)
        return False
    described = yield from _described(job, metadata, window)
    if not described or (yield from compare_and_set(job.state, State(work=work), IF_ABSENT, window=window)) is None:
        yield from removed(key)
        raise JobExists("There is a job at this place already")
    return True


def _announced(key: str, body: bytes, context: Context) -> Protocol[int]:
    """Writes the live entry. Returns the end of the creation's write window, by the store's date where it is known."""
    length = context.limits.transaction_window
    for n in range(CONTENDED.tries):
        (reply,) = yield (Put(key, body, None, context.now() + length),)
        if isinstance(reply, Written):
            return reply.date + length
        yield CONTENDED.pause(n)
    yield from removed(key)
    raise Unavailable(_SILENT)


def _admitted(keys: Keyspace, name: QueueName, most: int, context: Context) -> Protocol[bool]:
    for n in range(_ADMISSIONS):
        entries = yield from list_queue(keys)
        verdict = admission([entry.name for entry in entries if entry.name.due is None], name, most=most)
        if verdict != WAIT:
            return verdict == ADMIT
        yield CONTENDED.half_jittered(n, context.ids)
    return False


def _described(job: JobKeys, metadata: JobMetadata, window: int) -> Protocol[bool]:
    """Writes the metadata. Returns False where another job's are there. Raises Unavailable."""
    body = metadata.encode()
    for n in range(CONTENDED.tries):
        (reply,) = yield (Put(job.metadata, body, IF_ABSENT, window),)
        if isinstance(reply, Written):
            return True
        (found,) = yield from ask(Get(job.metadata))
        if isinstance(found, StoredObject):
            return found.body == body
        if isinstance(reply, Expired):
            break
        yield CONTENDED.pause(n)
    raise Unavailable(_SILENT)


# --- the end ----------------------------------------------------------------------------------------------------


def file_away(keys: Keyspace, job: JobKeys, name: QueueName, *, due: int) -> Protocol[None]:
    """Moves the entry of a job that has ended to those that are removed when they are `due`, epoch ms.

    1 PUT + 1 DELETE, in this order, so that one of them is always there. Raises Unavailable.
    """
    yield from stored(keys.queued_job(replace(name, due=max(0, min(due, NEVER)))), entry_body(keys, job))
    yield from removed(keys.queued_job(replace(name, due=None)))
