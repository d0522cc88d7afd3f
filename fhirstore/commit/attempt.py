"""One attempt at a write: what it builds on and what it would commit."""

from __future__ import annotations

from dataclasses import dataclass

from fhirstore.commit.messages import Put
from fhirstore.keyspace import ResourceKeys
from fhirstore.objects.base import IF_ABSENT, Condition, IfMatch
from fhirstore.record import Record


@dataclass(frozen=True, slots=True)
class Base:
    """`current.json` as an attempt found it; both None where there is none. Its record may be a stub (version 0)."""

    record: Record | None
    etag: str | None

    @property
    def version(self) -> int:
        return 0 if self.record is None else self.record.version

    @property
    def unchanged(self) -> Condition:
        """The condition under which `current.json` still is what it was."""
        return IF_ABSENT if self.etag is None else IfMatch(self.etag)


NOTHING = Base(None, None)


@dataclass(frozen=True, slots=True)
class Attempt:
    """The record that would be the next version, and its encoded `body`, the same in the slot and in current."""

    keys: ResourceKeys
    base: Base
    record: Record
    body: bytes
    expires: int  # epoch ms on the store's clock: the end of the write window

    @property
    def slot(self) -> str:
        """The key of the version object that this attempt must hold to commit."""
        return self.keys.version(self.record.version)

    @property
    def commit_put(self) -> Put:
        """The commit point."""
        return Put(self.keys.current, self.body, self.base.unchanged, self.expires)
