"""Runs a protocol on an ObjectStore: each batch in parallel, each store error as the reply it stands for."""

from __future__ import annotations

import asyncio

from fhirstore.commit.messages import (
    Absent,
    Batch,
    Expired,
    Get,
    NotApplied,
    Pause,
    Protocol,
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

_REFUSED, _NOT_APPLIED, _EXPIRED, _UNKNOWN = Refused(), NotApplied(), Expired(), Unknown()


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
        if isinstance(request, Get):
            return await store.get(request.key)
        return await store.put(request.key, request.body, condition=request.condition, expires=request.expires)
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
