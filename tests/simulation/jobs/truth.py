"""The promises about jobs, seen from inside the store: every change is checked the moment before it is made.

A job's state goes only as the table says; it is claimed with the next epoch, and while it runs only after its lease has
expired. As long as it has a state, an entry of the queue leads to it. Never are more jobs live than may. No file is
written by two runs. A state is removed last.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from fhirstore.format.keyspace import JobKeys, Keyspace, parse_queue_key
from fhirstore.jobs.state import COMPLETED, GOING, LIVE, RUNNING, TABLE, State, decode_state
from tests.simulation.model.bucket import Bucket
from tests.simulation.model.world import World

KEYS = Keyspace("")
KIND = "work"
PARTS = 3


@dataclass(slots=True)
class Life:
    """What became of one job. `went`: when it began to go, in ms; None if it never did."""

    keys: JobKeys
    states: list[State] = field(default_factory=list)
    went: float | None = None
    removed: bool = False

    @property
    def status(self) -> str:
        return self.states[-1].status if self.states else ""


class JobTruth:
    """All jobs' lives, kept by watching the bucket. `most`: the live jobs that there may be."""

    def __init__(self, world: World, bucket: Bucket, *, most: int) -> None:
        self.world = world
        self.bucket = bucket
        self.most = most
        self.jobs: dict[str, Life] = {}
        bucket.observer = self.changed

    def life(self, id: str) -> Life:
        """The life of the job with this id."""
        return self.jobs.setdefault(id, Life(JobKeys(KEYS.job(KIND, id))))

    def changed(self, key: str, before: bytes | None, after: bytes | None) -> None:
        """An object comes, changes or goes."""
        if key.startswith(KEYS.job_queue()):
            if after is None:
                self._entry_removed(key)
            return
        life = self.life(key.removeprefix(KEYS.jobs()).split("/")[1])
        if key == life.keys.state:
            was = None if before is None else decode_state(before, key)
            self._state(life, was, None if after is None else decode_state(after, key))
        elif "/output/" in key and before is not None and after is not None and before != after:
            self.broken(f"{key}: written by two runs")
        elif "/progress/" in key and before is not None and after is not None and _epoch(after) < _epoch(before):
            self.broken(f"{key}: written by an older run")

    def _state(self, life: Life, was: State | None, now: State | None) -> None:
        name = life.keys.prefix
        if now is None:
            self._state_removed(life, was)
            return
        life.states.append(now)
        if was is None:
            if now != State() or life.removed or len(life.states) > 1:
                self.broken(f"{name}: a job that begins as {now}")
            if life.keys.metadata not in self.bucket.objects:
                self.broken(f"{name}: created before its metadata")
            if not self._entries(life):
                self.broken(f"{name}: created without an entry in the queue")
            live = sum(one.status in LIVE and not one.removed for one in self.jobs.values())
            if live > self.most:
                self.broken(f"{live} jobs are live, {self.most} may be")
            return
        if now.status not in {after for (status, _), after in TABLE.items() if status == was.status}:
            self.broken(f"{name}: {was.status} becomes {now.status}")
        if now.owner is not None and now.owner != was.owner:
            if now.epoch != was.epoch + 1:
                self.broken(f"{name}: claimed with epoch {now.epoch} after {was.epoch}")
            if was.status == RUNNING and self.world.time <= was.expires:
                self.broken(f"{name}: claimed before the lease of another has expired")
        if now.status in GOING and was.status not in GOING:
            life.went = self.world.time
        if now.status == COMPLETED:
            self._completed(life, now)

    def _completed(self, life: Life, now: State) -> None:
        keys = now.work.get("keys")
        if not isinstance(keys, list) or len(keys) != PARTS:
            self.broken(f"{life.keys.prefix}: completed with {keys}")
            return
        for number, key in enumerate(keys):
            if key not in self.bucket.objects or f"output/{number}." not in key:
                self.broken(f"{life.keys.prefix}: completed without {key}")

    def _state_removed(self, life: Life, was: State | None) -> None:
        life.removed = True
        if was is None:
            return
        if was.status not in GOING or life.went is None:
            self.broken(f"{life.keys.prefix}: a state that is {was.status} is removed")
            return
        for key, kept in self.bucket.objects.items():
            if key.startswith(life.keys.prefix) and key != life.keys.state and kept.modified <= life.went:
                self.broken(f"{key}: is left, and its job's state removed")

    def _entry_removed(self, key: str) -> None:
        life = self.life(parse_queue_key(key).id)
        there = not life.removed and life.keys.state in self.bucket.objects
        if there and not [one for one in self._entries(life) if one != key]:
            self.broken(f"{life.keys.prefix}: {life.status}, and its last entry is removed")
        if there and life.status in LIVE and parse_queue_key(key).due is None:
            self.broken(f"{life.keys.prefix}: {life.status}, and its live entry is removed")

    def _entries(self, life: Life) -> list[str]:
        id_ = life.keys.prefix.split("/")[-2]
        return [
            key for key in self.bucket.objects if key.startswith(KEYS.job_queue()) and parse_queue_key(key).id == id_
        ]

    def check(self) -> None:
        """At the end of time: every job has ended, what was completed is there, and nothing else is."""
        kept: set[str] = set()
        for life in self.jobs.values():
            if life.states and not life.removed:
                if life.status in (*LIVE, *GOING):
                    self.broken(f"{life.keys.prefix}: is {life.status} for ever")
                kept.add(life.keys.prefix)
                if any(parse_queue_key(key).due is None for key in self._entries(life)):
                    self.broken(f"{life.keys.prefix}: {life.status}, and queued")
        for key in self.bucket.objects:
            if key.startswith(KEYS.job_queue()):
                if KEYS.job(KIND, parse_queue_key(key).id) not in kept:
                    self.broken(f"{key}: leads to no job")
            elif not any(key.startswith(prefix) for prefix in kept):
                self.broken(f"{key}: belongs to no job")

    def broken(self, finding: str) -> None:
        """A promise was broken."""
        self.world.violated(finding)


def _epoch(body: bytes) -> int:
    return int(msgspec.json.decode(body)["epoch"])
