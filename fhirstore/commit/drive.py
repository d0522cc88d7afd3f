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
    ObjectError,
    ObjectNotFound,
    OutcomeUnknown,
    PreconditionFailed,
    StoreBusy,
    StoreUnavailable,
    WriteWindowClosed,
)
from fhirstore.objects.base import ObjectStore, Written

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
    puts = [request for request in batch if isinstance(request, Put)]
    if len(puts) == len(batch):
        return tuple([_reply(answer) for answer in await store.put_many(puts)])
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
    except ObjectError as error:
        return _reply(error)


def _reply(answer: Written | ObjectError) -> Reply:
    """Raises what no protocol can go on with."""
    match answer:
        case Written():
            return answer
        case ObjectNotFound():
            return Absent(answer.date)
        case PreconditionFailed():
            return _REFUSED
        case ConditionalConflict() | StoreBusy():
            return _NOT_APPLIED
        case WriteWindowClosed():
            return _EXPIRED
        case OutcomeUnknown() | StoreUnavailable():
            return _UNKNOWN
        case _:
            raise answer
