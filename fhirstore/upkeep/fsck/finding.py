"""The kinds of findings of fsck, as one table, and one finding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fhirstore.format.keyspace import Event, ResourceKeys

DAMAGE = "damage"  # an invariant of the format is broken
SWEEPABLE = "sweepable"  # left by a dead attempt: readers ignore it and the sweeper removes it

KINDS: Mapping[str, tuple[str, str]] = {
    "current-missing": (DAMAGE, "versions are there, but no current.json"),
    "current-corrupt": (DAMAGE, "current.json is no record"),
    "current-behind": (DAMAGE, "versions are there that only a later current.json can have made"),
    "current-differs": (DAMAGE, "current.json and the object of its version say different things"),
    "version-missing": (DAMAGE, "a committed version has no object"),
    "version-corrupt": (DAMAGE, "a version object is no record"),
    "version-number": (DAMAGE, "a record's version is not its key's"),
    "time-order": (DAMAGE, "a version is not later than the one before"),
    "prior-broken": (DAMAGE, "a version does not name the one before as its prior"),
    "checksum": (DAMAGE, "the resource's bytes are not those that were written"),
    "identity": (DAMAGE, "the resource's type or id is not its key's"),
    "meta": (DAMAGE, "meta.versionId or meta.lastUpdated are not the record's version and time"),
    "system-event-missing": (DAMAGE, "a committed version has no event in history/system"),
    "type-event-missing": (DAMAGE, "a committed version has no event in history/type"),
    "index-entry-missing": (DAMAGE, "a search by this identifier does not find the resource that carries it"),
    "purge-remnant": (DAMAGE, "an object or event of a purged version is still there"),
    "orphan-below-watermark": (DAMAGE, "an event that readers trust unseen belongs to no committed version"),
    "sweep-state": (DAMAGE, "the sweeper's state is unreadable or impossible"),
    "transaction-corrupt": (DAMAGE, "the record of a transaction is unreadable, so nobody can tell what it decided"),
    "transaction-torn": (DAMAGE, "a transaction is committed, but one of its versions is not there"),
    "job-state": (DAMAGE, "the state of a job is unreadable, so nobody can go on with it"),
    "job-metadata": (DAMAGE, "the metadata of a job is missing or unreadable"),
    "job-entry": (DAMAGE, "an entry of the queue of jobs is unreadable"),
    "job-not-queued": (DAMAGE, "no entry of the queue leads to this job, so no worker finds it"),
    "run-seal": (DAMAGE, "the seal of a run is unreadable, or is of another run"),
    "run-file-missing": (DAMAGE, "a file of a sealed run is not there"),
    "run-file-size": (DAMAGE, "a file of a sealed run has not the size that it was sealed with"),
    "run-file-hash": (DAMAGE, "a file of a sealed run has not the bytes that it was sealed with"),
    "payload-entry": (DAMAGE, "the entry of a content outside the records is unreadable"),
    "payload-missing": (DAMAGE, "a content outside the records is not there"),
    "payload-size": (DAMAGE, "a content outside the records has not its size"),
    "payload-hash": (DAMAGE, "a content outside the records has not the bytes that were written"),
    "payload-unnamed": (DAMAGE, "a version refers to a content whose entry does not name it"),
    "reference-missing": (DAMAGE, "a version has no reference to its content, so the sweeper could remove that"),
    "credentials": (DAMAGE, "a registered client, or the keys that tokens are signed with, cannot be read"),
    "index-differs": (DAMAGE, "the search index of this machine says something else; fsck --repair has it built again"),
    "unreadable": (DAMAGE, "a part of the store is damaged; what lay there below this prefix is not checked"),
    "stray-key": (DAMAGE, "an object that fhirstore did not write"),
    "stuck-intent": (SWEEPABLE, "a transaction that is over left its intent in current.json"),
    "orphan-slot": (SWEEPABLE, "a version object that was never committed"),
    "index-entry-dead": (
        SWEEPABLE,
        "the identity index names an identifier that the resource does not carry (any more)",
    ),
    "job-leftover": (SWEEPABLE, "objects of a job that was never created, or is removed"),
    "job-entry-dead": (SWEEPABLE, "an entry of the queue leads to no job"),
    "run-leftover": (SWEEPABLE, "a file that no run was sealed with, or of a run that was deleted"),
    "payload-leftover": (SWEEPABLE, "an object of a content that no entry names"),
    "orphan-event": (SWEEPABLE, "an event whose version was never committed"),
}
"""kind -> severity, meaning."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found at `key`. `detail` holds no patient data.

    `repairable`: `--repair` can repair it. `repaired`: None where that was not tried. `note`: the body that a missing
    event must have. The other fields say what it is about, where that applies.
    """

    kind: str
    key: str
    detail: str = ""
    repairable: bool = False
    repaired: bool | None = None
    resource: ResourceKeys | None = None
    version: int = 0
    event: Event | None = None
    op: str | None = None
    note: str = ""

    @property
    def severity(self) -> str:
        return KINDS[self.kind][0]

    @property
    def meaning(self) -> str:
        return KINDS[self.kind][1]

    def as_json(self) -> dict[str, object]:
        """Returns the finding as plain JSON values."""
        return {
            "kind": self.kind,
            "key": self.key,
            "severity": self.severity,
            "repairable": self.repairable,
            "repaired": self.repaired,
            "detail": self.detail or self.meaning,
        }


def unreadable(prefixes: Iterable[str]) -> list[Finding]:
    """Returns a finding for each part of a listing that could not be read."""
    return [Finding("unreadable", prefix) for prefix in prefixes]
