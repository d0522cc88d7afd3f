"""The queue of a tenant's jobs: one small object for each, in one folder, so that 1 LIST shows them all.

A *live* entry is written before anything else of a job and removed when the job has ended and its *ended* entry is
there; that one says when the job is to be removed, and goes last of all. So whatever dies in between, an entry leads to
what is left.

Its body is the job's prefix below the tenant's. Entries are never changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from fhirstore.commit.backoff import CONTENDED
from fhirstore.commit.idempotent import listed, removed, stored
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Expired, Get, List, NotApplied, Protocol, Put
from fhirstore.commit.reading import ask
from fhirstore.errors import CorruptRecord, JobExists, Unavailable
from fhirstore.format.keyspace import JobKeys, Keyspace, QueueName, parse_queue_key
from fhirstore.jobs.lease import compare_and_set
from fhirstore.jobs.metadata import JobMetadata
from fhirstore.jobs.state import GOING, State, decode_state
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
    keys: Keyspace,
    wanted: JobMetadata,
    *,
    prefix: str | None,
    most: int,
    context: Context,
    work: Mapping[str, object],
) -> Protocol[JobMetadata | None]:
    """Creates a job as `wanted`, with a fresh id. Returns its metadata; None, and leaves nothing, if `most` are live.

    `prefix`: where it is, below the tenant's; None: at the usual place. The commit point is the PUT of the state, which
    has a write window that begins with the entry, as the store dates it. So an entry that has no state when that is
    over never will. Cost: 3 PUT + 1 LIST. Raises JobExists where the prefix has a job already; Unavailable.
    """
    metadata, written = yield from _announced(keys, wanted, prefix, context)
    job = place_of(keys, metadata, prefix)
    name = QueueName(metadata.kind, metadata.id)
    entry = yield from _admitted(keys, name, most, context)
    if entry is None or entry.modified >= written + context.limits.settled:
        yield from removed(keys.queued_job(name))
        if entry is None:
            return None
        raise Unavailable(_SILENT)
    window = entry.modified + context.limits.transaction_window
    if not (yield from _described(job, metadata, window)):
        yield from removed(entry.key)
        raise JobExists("There is a job at this place already")
    etag = yield from compare_and_set(job.state, State(work=work).encode(), IF_ABSENT, window=window)
    # If it is refused, it is ours all the same, since the metadata are: it was claimed meanwhile. At a place of the
    # caller's, it may also be that of a job that goes.
    if etag is None and prefix is not None and (yield from _is_going(job)):
        raise JobExists("A job that was at this place is being removed")
    return metadata


def place_of(keys: Keyspace, metadata: JobMetadata, prefix: str | None) -> JobKeys:
    """Returns the keys of a job at this prefix below the tenant's; None: at the usual place of its kind."""
    return JobKeys(keys.job(metadata.kind, metadata.id) if prefix is None else keys.prefix + prefix)


def _is_going(job: JobKeys) -> Protocol[bool]:
    (reply,) = yield from ask(Get(job.state))
    return isinstance(reply, StoredObject) and decode_state(reply.body, job.state).status in GOING


def _announced(
    keys: Keyspace, wanted: JobMetadata, prefix: str | None, context: Context
) -> Protocol[tuple[JobMetadata, int]]:
    """Writes the live entry. Returns the metadata with the job's id, and the store's date.

    An entry whose PUT is not answered is given up, and the next has another id: it may be written late, be taken for
    dead and be removed, and the removal must not meet a second try.
    """
    for n in range(CONTENDED.tries):
        metadata = msgspec.structs.replace(wanted, id=context.ids.new())
        key = keys.queued_job(QueueName(metadata.kind, metadata.id))
        body = entry_body(keys, place_of(keys, metadata, prefix))
        (reply,) = yield (Put(key, body, IF_ABSENT, context.now() + context.limits.transaction_window),)
        if isinstance(reply, Written):
            return metadata, reply.date
        if not isinstance(reply, NotApplied):
            yield from removed(key)
        yield CONTENDED.pause(n)
    raise Unavailable(_SILENT)


def _admitted(keys: Keyspace, name: QueueName, most: int, context: Context) -> Protocol[Entry | None]:
    """Returns the entry, if it may stay."""
    for n in range(_ADMISSIONS):
        live = [entry for entry in (yield from list_queue(keys)) if entry.name.due is None]
        verdict = admission([entry.name for entry in live], name, most=most)
        if verdict == ADMIT:
            return next(entry for entry in live if entry.name == name)
        if verdict == REFUSE:
            return None
        yield CONTENDED.half_jittered(n, context.ids)
    return None


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
