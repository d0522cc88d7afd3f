"""Sweeps the jobs: what workers have not tidied, and what a stopped worker wrote after its job had been removed.

Cost: 1 LIST where there are no jobs; else 1 LIST for the queue and 1 for each kind more, per 1,000 jobs; 2 GET per
live job; for a job without an entry 1 GET and 1 LIST.
"""

from __future__ import annotations

from fhirstore.commit.idempotent import listed, removed
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, List, Protocol
from fhirstore.commit.reading import ask
from fhirstore.errors import CorruptRecord
from fhirstore.format.keyspace import JobKeys, Keyspace, is_job_id
from fhirstore.jobs.queue import Entry, entry_of, find
from fhirstore.jobs.removal import emptied, looked_at, remove, tidied
from fhirstore.objects.base import Listed

_OWN = ("queue", "submit")  # folders that are not of the form {kind}/{id}/


def sweep_jobs(keys: Keyspace, date: int, *, context: Context, page: int) -> Protocol[int]:
    """Removes what is over at `date` (store's time). Returns how many jobs, or remains of them, were tidied or removed.

    Damaged ones are left to fsck. Raises Unavailable.
    """
    kinds = yield from _folders(keys.jobs(), page)
    entries = (yield from _entries(keys, page)) if "queue" in kinds else []
    count = 0
    for entry in entries:
        try:
            count += yield from _tidied(keys, entry, date, context)
        except CorruptRecord:
            continue
    known = {(entry.name.kind, entry.name.id) for entry in entries}
    found: set[tuple[str, str]] = set()
    for kind in kinds:
        if kind in _OWN:
            continue
        for id_ in (yield from _folders(f"{keys.jobs()}{kind}/", page)):
            found.add((kind, id_))
            if (kind, id_) not in known and is_job_id(id_):
                count += yield from _without_entry(JobKeys(f"{keys.jobs()}{kind}/{id_}/"), date, context)
    for entry in entries:
        if entry.name.due is not None and (entry.name.kind, entry.name.id) not in found:
            count += yield from _without_job(keys, entry, date, context)
    return count


def _tidied(keys: Keyspace, entry: Entry, date: int, context: Context) -> Protocol[bool]:
    if entry.name.due is None:
        seen = yield from looked_at(keys, entry)
        return (yield from tidied(keys, seen, context=context))
    if entry.name.due >= date:
        return False
    job = yield from find(keys, entry.name)
    return job is not None and (yield from remove(keys, job, entry, context=context))


def _without_entry(job: JobKeys, date: int, context: Context) -> Protocol[bool]:
    """Removes what lies below a prefix that has no state, once all of it is a day old."""
    (state,) = yield from ask(Get(job.state))
    if not isinstance(state, Absent):
        return False  # it was created meanwhile, or fsck reports it
    objects = yield from _objects(job.prefix)
    if not objects or any(item.modified >= date - context.limits.keep_transactions for item in objects):
        return False
    yield from emptied(job)
    return True


def _without_job(keys: Keyspace, entry: Entry, date: int, context: Context) -> Protocol[bool]:
    """Removes an ended entry that a stopped process filed when the job was gone already, once it is a day old."""
    if entry.modified >= date - context.limits.keep_transactions:
        return False
    seen = yield from looked_at(keys, entry)
    if seen.job is None or seen.state is not None or seen.damaged:
        return False
    yield from removed(entry.key)
    return True


def _objects(prefix: str) -> Protocol[list[Listed]]:
    """Returns the first objects below the prefix, which tell its age."""
    found = yield from listed(List(prefix))
    return list(found.objects)


def _entries(keys: Keyspace, page: int) -> Protocol[list[Entry]]:
    found: list[Entry] = []
    cursor: str | None = None
    while True:
        listing = yield from listed(List(keys.job_queue(), cursor=cursor, limit=page))
        found += [entry for entry in map(entry_of, listing.objects) if entry is not None]
        cursor = listing.cursor
        if cursor is None:
            return found


def _folders(prefix: str, page: int) -> Protocol[list[str]]:
    """Returns the names of the folders below the prefix."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        listing = yield from listed(List(prefix, cursor=cursor, delimiter=True, limit=page))
        found += [folder.removeprefix(prefix).rstrip("/") for folder in listing.prefixes]
        cursor = listing.cursor
        if cursor is None:
            return found
