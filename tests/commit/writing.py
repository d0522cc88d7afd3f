"""Writes for the tests of the protocol: a counter kept in one resource."""

from __future__ import annotations

from fhirstore.clock import SystemIds
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context, Limits
from fhirstore.commit.messages import Batch, Protocol, Put, Replies
from fhirstore.commit.single import Decide, Draft, WriteResult, write
from fhirstore.commit.staging import in_stages
from fhirstore.errors import VersionConflict
from fhirstore.format.keyspace import Keyspace, ResourceKeys
from fhirstore.format.record import Record, decode
from fhirstore.objects.base import ObjectStore

KEYS = Keyspace("").resource("Basic", "counter")


def context(store: ObjectStore, limits: Limits | None = None) -> Context:
    """The store's own time and real randomness."""
    return Context(store.now, SystemIds(), limits or Limits())


def increment(if_match: int | None = None) -> Decide:
    """One more than the current content; each version's content is its own version id when no update is lost."""

    def decide(current: Record | None) -> Draft:
        version = current.version if current else 0
        if if_match is not None and if_match != version:
            raise VersionConflict("stale", current=version)
        number = int(current.resource or b"0") if current else 0
        return Draft("PUT", lambda _version, _t: str(number + 1).encode())

    return decide


async def run(store: ObjectStore, decide: Decide, *, keys: ResourceKeys = KEYS, fresh: bool = False) -> WriteResult:
    """One write, to its end."""
    return await drive(write(keys, decide, context=context(store), fresh=fresh), store)


async def die_before(store: ObjectStore, key: str, decide: Decide) -> None:
    """A writer that is killed at the moment it would PUT `key`."""
    protocol = in_stages(write(KEYS, decide, context=context(store)))
    await drive(_until(protocol, key), store)


def _until(protocol: Protocol[WriteResult], key: str) -> Protocol[None]:
    batch = next(protocol)
    while isinstance(batch, tuple) and not any(isinstance(request, Put) and request.key == key for request in batch):
        batch = protocol.send((yield batch))
    protocol.close()


def once(batch: Batch) -> Protocol[Replies]:
    """A protocol that is this batch alone."""
    return (yield batch)


async def versions(store: ObjectStore, upto: int) -> list[Record]:
    """The version objects 1 … upto."""
    return [decode((await store.get(KEYS.version(n))).body, "k") for n in range(1, upto + 1)]
