"""Runs a protocol on an ObjectStore: each batch in parallel, each store error as the reply it stands for."""

from __future__ import annotations

import asyncio

from fhirstore.commit.messages import (
    Absent,
    Batch,
    Deleted,
    Expired,
    Get,
    List,
    NotApplied,
    Pause,
    Protocol,
    Put,
    Refused,
    Replies,
    Reply,
    Request,
    Result,
    Unknown,
)
from fhirstore.errors import (
    ConditionalConflict,
    ObjectNotFound,
    OutcomeUnknown,
    PreconditionFailed,
    StoreBusy,
    StoreUnavailable,
    WriteWindowClosed,
)
from fhirstore.objects.base import ObjectStore

_DELETED, _REFUSED, _NOT_APPLIED, _EXPIRED, _UNKNOWN = Deleted(), Refused(), NotApplied(), Expired(), Unknown()


async def drive(protocol: Protocol[Result], store: ObjectStore) -> Result:
    """Run `protocol` to its end and return what it returns; what it raises is raised."""
    try:
        batch = next(protocol)
        while True:
            batch = protocol.send(await _replies(batch, store))
    except StopIteration as end:
        result: Result = end.value
        return result


async def _replies(batch: Batch, store: ObjectStore) -> Replies:
    if isinstance(batch, Pause):
        await asyncio.sleep(batch.seconds)
        return ()
    if len(batch) == 1:
        return (await _perform(store, batch[0]),)
    return tuple(await asyncio.gather(*[_perform(store, request) for request in batch]))


async def _perform(store: ObjectStore, request: Request) -> Reply:
    try:
        if isinstance(request, Put):
            return await store.put(request.key, request.body, condition=request.condition, expires=request.expires)
        if isinstance(request, Get):
            return await store.get(request.key)
        if isinstance(request, List):
            return await store.list(
                request.prefix,
                start_after=request.start_after,
                cursor=request.cursor,
                delimiter=request.delimiter,
                limit=request.limit,
            )
        if request.expires is None:
            await store.delete_many(request.keys)
        else:
            (key,) = request.keys
            await store.delete(key, expires=request.expires)
        return _DELETED
    except ObjectNotFound as absent:
        return Absent(absent.date)
    except PreconditionFailed:
        return _REFUSED
    except (ConditionalConflict, StoreBusy):
        return _NOT_APPLIED
    except WriteWindowClosed:
        return _EXPIRED
    except (OutcomeUnknown, StoreUnavailable):
        return _UNKNOWN
