"""Stores with versions and with what dead attempts leave behind."""

from __future__ import annotations

from fhirstore.clock import SystemIds
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context, Limits
from fhirstore.commit.messages import Batch, Protocol, Put, Replies
from fhirstore.commit.single import Decide, Draft, WriteResult, write
from fhirstore.commit.staging import in_stages
from fhirstore.fhir.json import with_identity
from fhirstore.format.keyspace import Keyspace, ResourceKeys
from fhirstore.format.record import Record
from fhirstore.objects.base import ObjectStore
from tests.commit.hurried import HandClock, hurried

KEYS = Keyspace("t/")
SETTLED = Limits().settled + 2_000  # and a sweep's margin


def context(store: ObjectStore, limits: Limits | None = None) -> Context:
    """The store's own time and real randomness."""
    return Context(store.now, SystemIds(), limits or Limits())


def basic(keys: ResourceKeys, method: str = "PUT") -> Decide:
    """The next version of a resource of any type, with its identity in it."""

    def build(version: int, t: int) -> bytes:
        return with_identity({"resourceType": keys.type}, id=keys.id, version=version, last_updated=t)

    def decide(_: Record | None) -> Draft:
        return Draft(method, None if method == "DELETE" else build)

    return decide


async def put(store: ObjectStore, clock: HandClock, id: str, *, type: str = "Basic", method: str = "PUT") -> Record:
    """One more version of a resource."""
    keys = KEYS.resource(type, id)
    protocol = write(keys, basic(keys, method), context=context(store))
    outcome = await drive(hurried(protocol, clock), store)
    assert outcome.record is not None
    return outcome.record


async def die(
    store: ObjectStore,
    id: str,
    *,
    type: str = "Basic",
    limits: Limits | None = None,
    clock: HandClock | None = None,
    keys: Keyspace = KEYS,
) -> None:
    """A writer that is killed just before its commit point: slot and events stay. With `clock` it never waits."""
    resource = keys.resource(type, id)
    protocol = in_stages(write(resource, basic(resource), context=context(store, limits)))
    attempt = _until_commit(protocol, resource.current)
    await drive(attempt if clock is None else hurried(attempt, clock), store)


def _until_commit(protocol: Protocol[WriteResult], key: str) -> Protocol[None]:
    replies: Replies | None = None
    while True:
        batch: Batch = next(protocol) if replies is None else protocol.send(replies)
        if isinstance(batch, tuple) and any(isinstance(request, Put) and request.key == key for request in batch):
            protocol.close()
            return
        replies = yield batch


async def keys_of(store: ObjectStore, prefix: str = "t/") -> list[str]:
    """All keys below `prefix`."""
    keys: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.list(prefix, cursor=cursor)
        keys += [item.key for item in page.objects]
        cursor = page.cursor
        if cursor is None:
            return keys
