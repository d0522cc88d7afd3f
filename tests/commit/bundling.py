"""Transactions for tests: committed and no more, or killed at one of their requests."""

from __future__ import annotations

from collections.abc import Sequence

from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Batch, Protocol, Put, Replies
from fhirstore.commit.single import Decide, WriteResult
from fhirstore.commit.transaction import Part, Transacted, transact
from fhirstore.format.keyspace import Keyspace, ResourceKeys
from fhirstore.objects.base import ObjectStore

Wanted = Sequence[tuple[ResourceKeys, Decide]]


def parts_of(wanted: Wanted) -> list[Part]:
    """One part for each."""
    return [Part(keys, decide) for keys, decide in wanted]


async def committed(store: ObjectStore, wanted: Wanted, context: Context) -> Transacted:
    """Run it up to its commit point; nothing is made final yet."""
    return await drive(transact(parts_of(wanted), context=context), store)


async def finished(store: ObjectStore, wanted: Wanted, context: Context) -> tuple[WriteResult, ...]:
    """Run it to its end."""
    done = await committed(store, wanted, context)
    if done.finish is not None:
        await drive(done.finish, store)
    return done.results


async def die_before_record(store: ObjectStore, wanted: Wanted, context: Context) -> None:
    """It is killed just before its commit point: intents, version objects and events stay."""
    folder = Keyspace(wanted[0][0].prefix).transactions()
    await drive(_until(transact(parts_of(wanted), context=context), folder), store)


def _until(protocol: Protocol[Transacted], folder: str) -> Protocol[None]:
    replies: Replies | None = None
    while True:
        batch: Batch = next(protocol) if replies is None else protocol.send(replies)
        if isinstance(batch, tuple) and any(isinstance(put, Put) and put.key.startswith(folder) for put in batch):
            protocol.close()
            return
        replies = yield batch
