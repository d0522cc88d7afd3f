"""Runs a protocol on an ObjectStore: each batch in parallel, each store error as the reply it stands for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fhirstore.beside import in_thread
from fhirstore.commit.messages import (
    NOT_SENT,
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
from fhirstore.commit.stages import in_stages
from fhirstore.errors import (
    ConditionalConflict,
    NotFollowed,
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


Finish = Callable[[Coroutine[None, None, object]], None]
"""Takes over the rest of a protocol whose caller was cancelled, and sees it to its end."""


async def drive(
    protocol: Protocol[Result], store: ObjectStore, *, finish: Finish | None = None, heavy: bool = False
) -> Result:
    """Run `protocol` to its end and return what it returns; what it raises is raised.

    `heavy`: what it thinks between requests takes long, so that it is done beside the event loop.

    Where the caller is cancelled midway, the protocol ends there too, unless `finish` takes the rest of it over: then
    the requests under way count as unanswered and it goes on from there, so that nobody leaves half a write.
    """
    if not store.decides_together:
        protocol = in_stages(protocol)
    try:
        batch = await _sent_beside(protocol, None) if heavy else next(protocol)
        while True:
            try:
                replies = await _replies(batch, store)
            except asyncio.CancelledError:
                if finish is not None:
                    finish(_go_on(protocol, store, () if isinstance(batch, Pause) else (_UNKNOWN,) * len(batch)))
                raise
            if not heavy:
                batch = protocol.send(replies)
                continue
            step = asyncio.ensure_future(_sent_beside(protocol, replies))
            try:
                batch = await asyncio.shield(step)
            except asyncio.CancelledError:
                if finish is not None:
                    finish(_go_on_after(step, protocol, store))
                raise
    except (StopIteration, _Ended) as end:
        result: Result = end.value
        return result


async def _go_on(protocol: Protocol[Result], store: ObjectStore, replies: Replies) -> Result:
    try:
        while True:
            replies = await _replies(protocol.send(replies), store)
    except StopIteration as end:
        result: Result = end.value
        return result


async def _go_on_after(step: asyncio.Future[Batch], protocol: Protocol[Result], store: ObjectStore) -> Result:
    """`_go_on`, once the protocol, which thinks in a thread, has its next batch."""
    try:
        batch = await step
    except _Ended as end:
        result: Result = end.value
        return result
    return await _go_on(protocol, store, await _replies(batch, store))


class _Ended(Exception):
    """The protocol returned `value`. A StopIteration cannot leave a thread or a coroutine."""

    def __init__(self, value: object) -> None:
        super().__init__()
        self.value: Any = value


async def _sent_beside(protocol: Protocol[Result], replies: Replies | None) -> Batch:
    """The next batch; what the protocol thinks until then is thought in a thread. Raises _Ended."""
    return await in_thread(_sent, protocol, replies)


def _sent(protocol: Protocol[Result], replies: Replies | None) -> Batch:
    try:
        return next(protocol) if replies is None else protocol.send(replies)
    except StopIteration as end:
        raise _Ended(end.value) from None


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
        case NotFollowed():
            return NOT_SENT
        case OutcomeUnknown() | StoreUnavailable():
            return _UNKNOWN
        case _:
            raise answer
