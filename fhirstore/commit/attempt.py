"""One attempt at a write: the base that it builds on, and the record that it would commit."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from fhirstore.commit.messages import Put
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.record import Intent, Record
from fhirstore.index.names import new_names
from fhirstore.objects.base import IF_ABSENT, Condition, IfMatch
from fhirstore.objects.facts import Facts


class Base(msgspec.Struct, frozen=True):
    """`current.json` as an attempt found it; both fields are None if there is none. The record may be a stub.

    `whole`: it was read just now. A remembered base may be out of date and lacks most of the content. An attempt may
    build on it, but must not judge or fence another writer by it.
    """

    record: Record | None
    etag: str | None
    whole: bool = True

    @property
    def version(self) -> int:
        return 0 if self.record is None else self.record.version

    @property
    def shown(self) -> Record | None:
        """Returns the version that a reader sees; None if there is none."""
        return self.record if self.record is not None and self.record.exists else None

    @property
    def held(self) -> bool:
        """Did a sweeper hold it? Then the store's date decides whether an attempt may build on it."""
        return self.record is not None and self.record.hold > 0

    @property
    def intent(self) -> Intent | None:
        """Returns the intent of a transaction that wants to make the next version, if there is one."""
        return None if self.record is None else self.record.intent

    @property
    def unchanged(self) -> Condition:
        """Returns the condition of a PUT that must fail if `current.json` has changed."""
        return IF_ABSENT if self.etag is None else IfMatch(self.etag)


NOTHING = Base(None, None)
NOTHING_YET = Base(None, None, whole=False)  # it was not read, because the id is new


def next_record(
    base: Base, method: str, build: Callable[[int, int], bytes] | None, *, t: int, op: str, parts: int = 0
) -> Record:
    """Returns the record of the version after `base`. `build(version, t)` returns its bytes; None makes a tombstone."""
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
    """Returns the keys of the empty objects that must exist before `record` is committed, besides its slot.

    These are its two events, and the entries in the identity index for identifiers that the version before does not
    carry. Their PUTs carry the write window and may be sent more than once.
    """
    event = (record.t, record.version, record.method, record.op)
    before = None if base.record is None else base.record.resource
    entries = [keys.index_entry(name, record.version) for name in new_names(keys.type, record.resource, before)]
    return (keys.type_event(*event), keys.system_event(*event), *entries)


def body_beside(record: Record) -> bytes:
    """Returns the body of the objects beside a record: empty, or the hash of its payload.

    It leads the sweeper from the event of an attempt that was never committed to its reference.
    """
    return b"" if record.payload is None else record.payload.sha256.encode()


class Attempt(msgspec.Struct, frozen=True):
    """The record that would be the next version, and its encoded `body`, the same in the slot and in `current.json`.

    `expires`: the end of the write window, epoch ms on the store's clock. `beside`: the keys of the objects that must
    exist before the commit (`keys_beside`). `facts`: of the slot.
    """

    keys: ResourceKeys
    base: Base
    record: Record
    body: bytes
    expires: int
    beside: tuple[str, ...] = ()
    facts: Facts | None = None

    @property
    def slot(self) -> str:
        """Returns the key of the version object that this attempt must reserve."""
        return self.keys.version(self.record.version)

    def slot_put(self, condition: Condition) -> Put:
        """Returns the PUT that reserves the slot."""
        return Put(self.slot, self.body, condition, self.expires, facts=self.facts)

    @property
    def commit_put(self) -> Put:
        """Returns the PUT that is the commit point. It follows the PUTs of what must exist before."""
        return Put(self.keys.current, self.body, self.base.unchanged, self.expires, follows=True)
