"""A job as the library shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fhirstore.format.keyspace import JobKeys
from fhirstore.jobs.metadata import JobMetadata
from fhirstore.jobs.removal import EXPIRES_AT
from fhirstore.jobs.run import ISSUES
from fhirstore.jobs.state import LIVE, State


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is now. `expires_at`: epoch ms, when it is removed with its files; None: not, or not known yet.

    `issues`: why it failed, as OperationOutcome issues. `work`: what its last checkpoint, or its end, stored.
    """

    metadata: JobMetadata
    state: State
    keys: JobKeys

    @property
    def id(self) -> str:
        return self.metadata.id

    @property
    def kind(self) -> str:
        return self.metadata.kind

    @property
    def status(self) -> str:
        return self.state.status

    @property
    def work(self) -> Mapping[str, object]:
        return self.state.work

    @property
    def is_live(self) -> bool:
        return self.state.status in LIVE

    @property
    def expires_at(self) -> int | None:
        due = self.state.work.get(EXPIRES_AT)
        return due if isinstance(due, int) else None

    @property
    def issues(self) -> list[Mapping[str, object]]:
        found = self.state.work.get(ISSUES)
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    def as_json(self) -> dict[str, object]:
        """Returns the job as plain JSON values."""
        return {
            "id": self.id,
            "kind": self.kind,
            "status": self.status,
            "created": self.metadata.created,
            "by": self.metadata.by,
            "request": dict(self.metadata.request),
            "epoch": self.state.epoch,
            "attempts": self.state.attempts,
            "expiresAt": self.expires_at,
            "work": {name: value for name, value in self.work.items() if name not in (EXPIRES_AT, ISSUES)},
            "issues": self.issues,
        }
