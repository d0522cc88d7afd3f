"""The promises about sealed runs, seen from inside the store.

A seal is written when all its files are there, and never changes but into a tombstone, which never changes. What a seal
names stays as it is until the tombstone. At the end of time, nothing is left that no seal names.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhirstore.errors import CorruptRecord
from fhirstore.format.keyspace import Keyspace
from fhirstore.format.runs import RunKeys, Seal, Tombstone, decode_seal, parse_run_key

if TYPE_CHECKING:
    from tests.simulation.model.truth import Truth

_FOREVER = float("inf")


@dataclass(slots=True)
class SealedRun:
    """One run. `sealed`, `deleted`: when; never is infinity."""

    keys: RunKeys
    seal: Seal | None = None
    sealed: float = _FOREVER
    deleted: float = _FOREVER

    @property
    def standing(self) -> set[str]:
        """The keys of its files, as long as it is there."""
        files = self.seal.files if self.seal is not None and self.deleted == _FOREVER else ()
        return {self.keys.file(file.object) for file in files}

    def stood(self, began: float, ended: float) -> bool:
        """Was it there to be read, at some instant between?"""
        return self.sealed <= ended and self.deleted >= began

    def lacked(self, began: float, ended: float) -> bool:
        """Was it not there to be read, at some instant between?"""
        return self.sealed >= began or self.deleted <= ended


class SealedRuns:
    """All runs, kept by watching the bucket."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self.runs: dict[str, SealedRun] = {}
        self.attempts: set[str] = set()  # that have sealed

    def run(self, keys: RunKeys) -> SealedRun:
        """What became of this run."""
        return self.runs.setdefault(keys.folder, SealedRun(keys))

    def changed(self, key: str, before: bytes | None, after: bytes | None) -> None:
        """An object of a run comes, changes or goes."""
        parsed = parse_run_key(Keyspace(""), key)
        if parsed is None:
            self._truth.broken(f"{key}: no key of a run")
            return
        run = self.run(parsed[0])
        if key == run.keys.seal:
            self._seal(run, before, after)
        elif key == run.keys.claim:
            if after is None and run.deleted == _FOREVER:
                self._truth.broken(f"{key}: a claim was given up")
        elif before != after and key in run.standing:
            self._truth.broken(f"{key}: a sealed file was {'removed' if after is None else 'changed'}")

    def _seal(self, run: SealedRun, before: bytes | None, after: bytes | None) -> None:
        name, truth = run.keys.folder, self._truth
        try:
            now = None if after is None else decode_seal(after, run.keys)
        except CorruptRecord:
            truth.broken(f"{name}: a seal that nobody can read")
            return
        if isinstance(now, Tombstone):
            if run.seal is None or run.deleted < _FOREVER or now.attempt != run.seal.attempt:
                truth.broken(f"{name}: deleted, though it is not there")
            run.deleted = truth.world.time
        elif now is None or before is not None:
            truth.broken(f"{name}: the seal was {'removed' if now is None else 'overwritten'}")
        else:
            run.seal, run.sealed = now, truth.world.time
            self.attempts.add(now.attempt)
            for file in now.files:
                kept = truth.bucket.objects.get(run.keys.file(file.object))
                if kept is None or hashlib.sha256(kept.body).hexdigest() != file.sha256:
                    truth.broken(f"{name}: sealed without {file.object}")

    def check(self) -> None:
        """Nothing is left but what seals name, claims of runs that were not deleted, and seals."""
        for key in self._truth.bucket.objects:
            parsed = parse_run_key(Keyspace(""), key)
            if parsed is None:
                continue
            run = self.run(parsed[0])
            kept = {run.keys.seal, *run.standing}
            if run.deleted == _FOREVER:
                kept.add(run.keys.claim)
            if key not in kept:
                self._truth.broken(f"{key}: was never sealed, and lies there still")
        for pending in self._truth.bucket.uploads.values():
            self._truth.broken(f"{pending.key}: an upload that nobody ends")
