"""Checks what jobs store: each has a readable state and metadata, and an entry that leads to it.

A file that is missing is not found here: each kind of job checks what it has written when it is read. What a submission
stores below `bulk/submit/` is not looked at.

Cost: 1 LIST per 1,000 objects below `bulk/`, 4 GET per job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fhirstore.batched import batched
from fhirstore.commit.limits import Limits
from fhirstore.commit.messages import Absent, Get, List, Protocol
from fhirstore.commit.reading import ask
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import CorruptRecord
from fhirstore.format.keyspace import JobKeys, Keyspace, QueueName, is_job_id
from fhirstore.jobs.metadata import decode_metadata
from fhirstore.jobs.queue import Entry, entry_of
from fhirstore.jobs.removal import due_of, looked_at
from fhirstore.jobs.state import GOING, State, decode_state
from fhirstore.objects.base import Listed
from fhirstore.upkeep.fsck.finding import Finding, unreadable
from fhirstore.upkeep.fsck.unreadable import listed_behind_damage

_AT_ONCE = 16
_OBJECTS = ("state.json", "metadata.json", "manifest.json", "members.json")
_FOLDERS = ("log", "files", "progress", "output", "deleted", "error", "manifest")
"""What a job may have below its prefix."""


@dataclass(slots=True)
class _Folder:
    job: JobKeys
    name: QueueName
    youngest: int = 0
    strays: list[str] = field(default_factory=list)

    def add(self, item: Listed) -> None:
        """Takes one of the job's objects."""
        rest = item.key.removeprefix(self.job.prefix)
        self.youngest = max(self.youngest, item.modified)
        if rest not in _OBJECTS and ("/" not in rest or rest.partition("/")[0] not in _FOLDERS):
            self.strays.append(item.key)


class _Walk:
    """Sorts the keys below `bulk/`: `done`: folders of jobs that are complete; `entries`; `strays`."""

    def __init__(self, keys: Keyspace) -> None:
        self.done: list[_Folder] = []
        self.entries: list[Entry] = []
        self.strays: list[Finding] = []
        self._keys = keys
        self._open: _Folder | None = None

    def take(self, item: Listed) -> None:
        parts = item.key.removeprefix(self._keys.jobs()).split("/")
        if parts[0] == "queue" and len(parts) == 2:
            entry = entry_of(item)
            if entry is not None:
                self.entries.append(entry)
                return
        folder = _folder(self._keys, parts)
        if folder is not None:
            if self._open is None or self._open.job != folder.job:
                self.close()
                self._open = folder
            self._open.add(item)
        elif parts[0] != "submit":
            self.strays.append(Finding("stray-key", item.key))

    def close(self) -> None:
        """The open folder is complete."""
        if self._open is not None:
            self.done.append(self._open)
            self._open = None


def walk_jobs(keys: Keyspace, *, page: int, limits: Limits) -> Protocol[list[Finding]]:
    """Returns what is wrong with the jobs. Raises Unavailable."""
    findings: list[Finding] = []
    lost: list[str] = []
    cursor: str | None = None
    walk = _Walk(keys)
    while True:
        found = yield from listed_behind_damage(List(keys.jobs(), cursor=cursor, limit=page), lost)
        for item in found.objects:
            walk.take(item)
        cursor = found.cursor
        if cursor is None:
            walk.close()
        checks = [_checked(keys, one, limits) for one in walk.done]
        checks += [_checked_entry(keys, one, limits) for one in walk.entries]
        findings += walk.strays
        walk.done, walk.entries, walk.strays = [], [], []
        for some in batched(checks, _AT_ONCE):
            for each in (yield from side_by_side(some)):
                findings += each
        if cursor is None:
            return findings + unreadable(lost)


def _folder(keys: Keyspace, parts: Sequence[str]) -> _Folder | None:
    """Returns the folder of a job for the segments of a key below `bulk/`; None where it is of no job."""
    if len(parts) < 3 or parts[0] in ("queue", "submit") or not is_job_id(parts[1]):
        return None
    try:
        return _Folder(JobKeys(keys.job(parts[0], parts[1])), QueueName(parts[0], parts[1]))
    except ValueError:
        return None


def _checked(keys: Keyspace, folder: _Folder, limits: Limits) -> Protocol[list[Finding]]:
    job = folder.job
    findings = [Finding("stray-key", key) for key in folder.strays]
    state_reply, metadata = yield from ask(Get(job.state), Get(job.metadata))
    if isinstance(state_reply, Absent):
        if folder.youngest + limits.settled < state_reply.date:
            findings.append(Finding("job-leftover", job.prefix))
        return findings
    try:
        state = decode_state(state_reply.body, job.state)
    except CorruptRecord:
        return [*findings, Finding("job-state", job.state)]
    if state.status not in GOING:
        try:
            if isinstance(metadata, Absent):
                raise CorruptRecord(job.metadata)
            decode_metadata(metadata.body, job.metadata)
        except CorruptRecord:
            if (yield from _is_still(job, state)):
                findings.append(Finding("job-metadata", job.metadata))
    if not (yield from _has_entry(keys, folder.name, state)) and (yield from _is_still(job, state)):
        findings.append(Finding("job-not-queued", job.state, repairable=True))
    return findings


def _has_entry(keys: Keyspace, name: QueueName, state: State) -> Protocol[bool]:
    filed = QueueName(name.kind, name.id, due_of(state))
    live, ended = yield from ask(Get(keys.queued_job(name)), Get(keys.queued_job(filed)))
    return not (isinstance(live, Absent) and isinstance(ended, Absent))


def _is_still(job: JobKeys, state: State) -> Protocol[bool]:
    """Whether the job has this state now: otherwise it went on while it was checked."""
    (reply,) = yield from ask(Get(job.state))
    try:
        return not isinstance(reply, Absent) and decode_state(reply.body, job.state) == state
    except CorruptRecord:
        return False


def _checked_entry(keys: Keyspace, entry: Entry, limits: Limits) -> Protocol[list[Finding]]:
    seen = yield from looked_at(keys, entry)
    if seen.damaged == entry.key:
        return [Finding("job-entry", entry.key)]
    late = entry.modified + limits.settled < seen.date
    if seen.job is not None and seen.state is None and not seen.damaged and late:
        return [Finding("job-entry-dead", entry.key)]
    return []
