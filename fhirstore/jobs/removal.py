"""Cancels and removes jobs, and tells what a worker has to do for each entry of the queue.

A job *goes* in two passes. At once: its state becomes cancelled or removing (the commit point, a compare-and-set, so
that exactly one of complete and cancel wins), everything else below its prefix is deleted, and its entry is filed away.
Once no late request of it can arrive any more, what such requests have left is deleted, then the state, and the entry
last. Each step may be repeated, and any worker goes on where another one died.

A worker that was stopped for longer than its lease may still write a file when even the state is gone. The sweeper
removes what lies below a prefix without a state for a day (`fhirstore.upkeep`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fhirstore.commit.idempotent import removed, removed_below, stored
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, Protocol
from fhirstore.commit.reading import ask
from fhirstore.errors import CorruptRecord
from fhirstore.format.keyspace import JobKeys, Keyspace, QueueName
from fhirstore.jobs.lease import Lease, change, end
from fhirstore.jobs.queue import NEVER, Entry, entry_body, file_away, prefix_in
from fhirstore.jobs.state import GOING, LIVE, RUNNING, WAITING, State, decode_state, outgoing

EXPIRES_AT = "expires_at"
"""The member of a job's work that says when the job and its files are removed, epoch ms."""


def finish(
    keys: Keyspace, lease: Lease, entry: Entry, job: JobKeys, event: str, *, work: Mapping[str, object]
) -> Protocol[State]:
    """Ends a job by COMPLETE or FAIL (the commit point) and then files its entry away. 2 PUT + 1 DELETE.

    Raises LeaseLost, Unavailable.
    """
    ended = yield from end(lease, event, work=work)
    yield from file_away(keys, job, entry.name, due=due_of(ended.state))
    return ended.state


def due_of(state: State) -> int:
    """Returns when an ended job is to be removed, epoch ms; `NEVER` for one that stays."""
    if state.status in GOING:
        return state.expires + 1
    due = state.work.get(EXPIRES_AT)
    return due if isinstance(due, int) else NEVER


def cancel(job: JobKeys, *, context: Context) -> Protocol[State | None]:
    """Cancels a live job. Returns its state then, which is another one if it had ended; None if there is no job.

    1 GET + 1 PUT, the commit point. Raises CorruptRecord, Unavailable.
    """
    settled = context.limits.settled

    def decide(state: State, date: int) -> State | None:
        return outgoing(state, now=date, settled=settled) if state.status in LIVE else None

    return (yield from change(job.state, decide, context=context))


def let_go(keys: Keyspace, job: JobKeys, entry: Entry, *, context: Context) -> Protocol[State | None]:
    """Makes a job go whose ended entry may be due much later: an entry that is due soon comes first. See `discard`.

    1 PUT more. So a worker goes on with the removal, whatever dies in between.
    """
    soon = replace(entry.name, due=context.now() + context.limits.settled)
    yield from stored(keys.queued_job(soon), entry_body(keys, job))
    return (yield from discard(job, context=context))


def discard(job: JobKeys, *, context: Context) -> Protocol[State | None]:
    """Makes a job go, whether it is live or has ended. Returns its state then; None if there is no job.

    Cost and errors as `cancel`.
    """
    settled = context.limits.settled
    return (
        yield from change(job.state, lambda state, date: outgoing(state, now=date, settled=settled), context=context)
    )


def clear(keys: Keyspace, job: JobKeys, entry: Entry, state: State) -> Protocol[None]:
    """The first pass over a job that goes: deletes all but its state, and files its entry away. Raises Unavailable."""
    yield from emptied(job)
    yield from file_away(keys, job, replace(entry.name, due=None), due=due_of(state))


def remove(keys: Keyspace, job: JobKeys, entry: Entry, *, context: Context) -> Protocol[bool]:
    """The last pass over an ended job whose entry is due. Returns whether nothing of it is left.

    What is not due by its state is kept, and its entry is put right. Raises CorruptRecord, Unavailable.
    """
    (reply,) = yield from ask(Get(job.state))
    if not isinstance(reply, Absent):
        state = decode_state(reply.body, job.state)
        if state.status not in GOING and due_of(state) < reply.date:
            state = (yield from discard(job, context=context)) or state
        if state.status not in GOING or reply.date <= state.expires:
            if state.status in GOING:
                yield from emptied(job)
            if state.status not in LIVE:
                yield from file_away(keys, job, entry.name, due=due_of(state))
            if state.status in LIVE or entry.name.due != due_of(state):
                yield from removed(entry.key)
            return False
    yield from emptied(job)
    yield from removed(job.state)
    yield from removed(keys.queued_job(replace(entry.name, due=None)))
    yield from removed(entry.key)
    return True


def emptied(job: JobKeys) -> Protocol[None]:
    """Deletes everything below the job's prefix but its state. 1 LIST and 1 DELETE per 1,000 objects."""
    yield from removed_below(job.prefix, but=job.state)


def requeued(keys: Keyspace, job: JobKeys) -> Protocol[bool]:
    """Writes the entry that a job's state says it has, at the usual place of jobs. Returns whether there is a state.

    1 GET + 1 PUT. Raises CorruptRecord, Unavailable.
    """
    (reply,) = yield from ask(Get(job.state))
    if isinstance(reply, Absent):
        return False
    state = decode_state(reply.body, job.state)
    kind, id_ = job.prefix.removeprefix(keys.jobs()).rstrip("/").split("/")
    name = QueueName(kind, id_, None if state.status in LIVE else due_of(state))
    yield from stored(keys.queued_job(name), entry_body(keys, job))
    return True


# --- what a worker sees -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Seen:
    """A live entry with what it leads to. `job` None: the entry is gone. `state` None: there is none (yet).

    `damaged`: the key of the object that could not be read, or "".
    """

    entry: Entry
    job: JobKeys | None
    state: State | None
    date: int
    damaged: str = ""


def looked_at(keys: Keyspace, entry: Entry, job: JobKeys | None = None) -> Protocol[Seen]:
    """Returns what is at the entry's place. `job`: as an earlier look found it. 1 or 2 GET. Raises Unavailable."""
    date = 0
    try:
        if job is None:
            (body,) = yield from ask(Get(entry.key))
            date = body.date
            job = prefix_in(keys, body, entry.key)
            if job is None:
                return Seen(entry, None, None, date)
        (reply,) = yield from ask(Get(job.state))
        date = reply.date
        state = None if isinstance(reply, Absent) else decode_state(reply.body, job.state)
    except CorruptRecord as error:
        return Seen(entry, job, None, date, error.key)
    return Seen(entry, job, state, date)


def claimable(seen: Sequence[Seen], *, running: int, kinds: frozenset[str]) -> list[Seen]:
    """Returns the jobs to claim, the oldest first, so that at most `running` of the tenant's jobs run.

    Jobs that must wait, and those of kinds that this worker does not know, are left out. Workers that see the same
    choose the same; the compare-and-set of the claim lets one have each job.
    """
    held = sum(one.state is not None and one.state.status == RUNNING and one.date <= one.state.expires for one in seen)
    free = [
        one
        for one in seen
        if one.state is not None and one.state.status in (WAITING, RUNNING) and one.date > one.state.expires
    ]
    return [one for one in free[: max(0, running - held)] if one.entry.name.kind in kinds]


def tidied(keys: Keyspace, seen: Seen, *, context: Context) -> Protocol[bool]:
    """Does what is left to do for an entry whose job is not live. Returns whether there was anything.

    A job that ended is filed away; one that was cancelled is cleared; an entry without a state, old enough that none
    can come, is removed with what its creation left. Raises Unavailable.
    """
    job, state = seen.job, seen.state
    if job is None or seen.damaged:
        return False
    if state is None:
        if seen.entry.modified + context.limits.settled >= seen.date:
            return False
        return (yield from _buried(job, seen.entry))
    if state.status in LIVE:
        return False
    if state.status in GOING:
        yield from clear(keys, job, seen.entry, state)
    else:
        yield from file_away(keys, job, seen.entry.name, due=due_of(state))
    return True


def _buried(job: JobKeys, entry: Entry) -> Protocol[bool]:
    """Deletes what a creation left that can write no state any more. Returns False where there is a state after all."""
    metadata, state = yield from ask(Get(job.metadata), Get(job.state))
    if not isinstance(state, Absent):
        return False
    if isinstance(metadata, Absent) or f'"{entry.name.id}"'.encode() in metadata.body:
        yield from emptied(job)
    yield from removed(entry.key)
    return True
