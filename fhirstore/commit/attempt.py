"""One attempt at a write: what it builds on and what it would commit."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from fhirstore.commit.messages import Put
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.record import Intent, Record
from fhirstore.index.names import new_names
from fhirstore.objects.base import IF_ABSENT, Condition, IfMatch


class Base(msgspec.Struct, frozen=True):
    """`current.json` as an attempt found it; both None where there is none. Its record may be a stub (version 0).

    `whole`: just read. A remembered base may lack its content and be stale, so it is good for an attempt of one's own,
    never for judging or fencing another's.
    """

    record: Record | None
    etag: str | None
    whole: bool = True

    @property
    def version(self) -> int:
        return 0 if self.record is None else self.record.version

    @property
    def shown(self) -> Record | None:
        """The version that a reader sees, if there is one."""
        return self.record if self.record is not None and self.record.exists else None

    @property
    def held(self) -> bool:
        """Did a sweeper hold it? Then the store's date must say whether one may build on it."""
        return self.record is not None and self.record.hold > 0

    @property
    def intent(self) -> Intent | None:
        """The intent of a transaction that wants to make the next version."""
        return None if self.record is None else self.record.intent

    @property
    def unchanged(self) -> Condition:
        """The condition under which `current.json` still is what it was."""
        return IF_ABSENT if self.etag is None else IfMatch(self.etag)


NOTHING = Base(None, None)
NOTHING_YET = Base(None, None, whole=False)  # not looked, but the id is new


def next_record(
    base: Base, method: str, build: Callable[[int, int], bytes] | None, *, t: int, op: str, parts: int = 0
) -> Record:
    """The version that comes after `base`. `build(version, t)` makes its bytes; None: a tombstone."""
    version = base.version + 1
    return Record(
        version=version,
        t=t,
        op=op,
        method=method,
        resource=None if build is None else build(version, t),
        base=base.etag,
        prior=base.record.op if base.record is not None and base.version else None,
        floor=base.record.floor if base.record is not None else 0,
        parts=parts,
        back=build is not None and version > 1 and (base.shown is None or base.shown.deleted),
    )


def keys_beside(keys: ResourceKeys, base: Base, record: Record) -> tuple[str, ...]:
    """The empty objects that must be there before `record` is committed, beside its slot: its events, and the identity
    index's entries for identifiers that the version before does not carry. PUT with the window, as often as needed."""
    event = (record.t, record.version, record.method, record.op)
    before = None if base.record is None else base.record.resource
    entries = [keys.index_entry(name, record.version) for name in new_names(keys.type, record.resource, before)]
    return (keys.type_event(*event), keys.system_event(*event), *entries)


class Attempt(msgspec.Struct, frozen=True):
    """The record that would be the next version, and its encoded `body`, the same in the slot and in current.

    `offload`: keys of the empty objects that must be there before it is committed; see `keys_beside`.
    """

    keys: ResourceKeys
    base: Base
    record: Record
    body: bytes
    expires: int  # epoch ms on the store's clock: the end of the write window
    beside: tuple[str, ...] = ()

    @property
    def slot(self) -> str:
        """The key of the version object that this attempt must hold to commit."""
        return self.keys.version(self.record.version)

    @property
    def commit_put(self) -> Put:
        """The commit point. It follows what must be there before."""
        return Put(self.keys.current, self.body, self.base.unchanged, self.expires, follows=True)
