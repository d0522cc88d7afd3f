"""Runs a protocol on an ObjectStore: sends each batch in parallel, and turns each store error into a reply.

Two errors are raised into the protocol instead, at the batch it has yielded. StoreFull: the PUT was not applied, and
sending it again is pointless. Unavailable: requests failed, and the retry budget of the client's request is used up
(`fhirstore.objects.retries`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from fhirstore.commit.messages import (
    NOT_APPLIED,
    NOT_SENT,
    AbortUpload,
    Absent,
    Archived,
    Batch,
    Consult,
    Deleted,
    Digest,
    Digested,
    Expired,
    Get,
    List,
    ListUploads,
    Pause,
    Protocol,
    Put,
    Refused,
    Replies,
    Reply,
    Request,
    Result,
    Told,
    Unknown,
    Unreadable,
)
from fhirstore.commit.staging import in_stages
from fhirstore.errors import (
    ConditionalConflict,
    FhirStoreError,
    NotFollowed,
    ObjectArchived,
    ObjectDamaged,
    ObjectError,
    ObjectNotFound,
    OutcomeUnknown,
    PreconditionFailed,
    StoreBusy,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
    Unavailable,
    WriteWindowClosed,
)
from fhirstore.objects.base import GetAnswer, ObjectStore, StoredObject, Written
from fhirstore.objects.files import sha256_of
from fhirstore.objects.retries import ONE_IN, retry_budget
from fhirstore.threads import in_thread

_DELETED, _REFUSED, _EXPIRED, _UNKNOWN = Deleted(), Refused(), Expired(), Unknown()


Finish = Callable[[Coroutine[None, None, object]], None]
"""Takes over the rest of a protocol whose caller was cancelled, and runs it to its end."""


_Failed = tuple[str, ObjectError]
"""The verb of a request, and the error that it failed with."""


async def drive(
    protocol: Protocol[Result], store: ObjectStore, *, finish: Finish | None = None, heavy: bool = False
) -> Result:
    """Runs `protocol` to its end. Returns what it returns and raises what it raises.

    `heavy`: the protocol's own work between requests takes long, so it runs in a thread beside the event loop.

    If the caller is cancelled, the protocol ends there too. If it has begun to write and `finish` is given, then
    `finish` takes over the rest: the requests under way count as unanswered, and the protocol goes on, so that no write
    is left unfinished.
    """
    if not store.decides_together:
        protocol = in_stages(protocol)
    failed: list[_Failed] = []  # requests that failed since the last Pause
    writes = False
    replies: Replies | FhirStoreError
    try:
        batch = await _step_beside(protocol, None) if heavy else next(protocol)
        while True:
            if finish is not None and not writes:
                writes = not isinstance(batch, Pause) and isinstance(batch[-1], Put)
            try:
                replies = await _replies(batch, store, failed)
            except asyncio.CancelledError:
                if finish is not None and writes:
                    finish(_go_on(protocol, store, () if isinstance(batch, Pause) else (_UNKNOWN,) * len(batch)))
                raise
            except (StoreFull, Unavailable) as error:
                replies = error
            if not heavy:
                batch = protocol.send(replies) if isinstance(replies, tuple) else protocol.throw(replies)
                continue
            step = asyncio.ensure_future(_step_beside(protocol, replies))
            try:
                batch = await asyncio.shield(step)
            except asyncio.CancelledError:
                if finish is not None and writes:
                    finish(_go_on_after(step, protocol, store))
                else:
                    step.add_done_callback(_retrieved)
                raise
    except (StopIteration, _Ended) as end:
        result: Result = end.value
        return result


async def _go_on(protocol: Protocol[Result], store: ObjectStore, replies: Replies) -> Result:
    try:
        batch = protocol.send(replies)
    except StopIteration as end:
        result: Result = end.value
        return result
    return await _go_on_from(batch, protocol, store)


async def _go_on_after(step: asyncio.Future[Batch], protocol: Protocol[Result], store: ObjectStore) -> Result:
    """Goes on when the protocol, which runs in a thread, has yielded its next batch."""
    try:
        batch = await step
    except _Ended as end:
        result: Result = end.value
        return result
    return await _go_on_from(batch, protocol, store)


async def _go_on_from(batch: Batch, protocol: Protocol[Result], store: ObjectStore) -> Result:
    failed: list[_Failed] = []
    try:
        while True:
            try:
                replies = await _replies(batch, store, failed)
            except (StoreFull, Unavailable) as error:
                batch = protocol.throw(error)
            else:
                batch = protocol.send(replies)
    except StopIteration as end:
        result: Result = end.value
        return result


class _Ended(Exception):
    """The protocol returned `value`. A StopIteration cannot leave a thread or a coroutine."""

    def __init__(self, value: object) -> None:
        super().__init__()
        self.value: Any = value


async def _step_beside(protocol: Protocol[Result], replies: Replies | FhirStoreError | None) -> Batch:
    """Returns the next batch, which the protocol makes in a thread. Raises _Ended, and what the protocol raises."""
    return await in_thread(_step, protocol, replies)


def _step(protocol: Protocol[Result], replies: Replies | FhirStoreError | None) -> Batch:
    try:
        if replies is None:
            return next(protocol)
        return protocol.throw(replies) if isinstance(replies, FhirStoreError) else protocol.send(replies)
    except StopIteration as end:
        raise _Ended(end.value) from None


def _retrieved(step: asyncio.Future[Batch]) -> None:
    """Retrieves the exception of a step whose caller is gone, so that asyncio does not log it."""
    if not step.cancelled():
        step.exception()


async def _replies(batch: Batch, store: ObjectStore, failed: list[_Failed]) -> Replies:
    """Returns the replies to a batch. Raises StoreFull, Unavailable: see above.

    A single request needs no task, and a batch of PUTs goes to the store in one call: see docs/performance.md, create.
    A store in this process gets a batch of GETs in one call, too: see there, search.
    """
    if isinstance(batch, Pause):
        await _pause(batch, failed)
        return ()
    if len(batch) == 1:
        return (await _perform(store, batch[0], failed),)
    if len(batch) >= ONE_IN and (budget := retry_budget()) is not None:
        budget.grant(len(batch))
    puts = [request for request in batch if isinstance(request, Put)]
    if len(puts) == len(batch):
        return tuple([_reply(answer, failed, "PUT") for answer in await store.put_many(puts)])
    gets = [request for request in batch if isinstance(request, Get)]
    if len(gets) == len(batch) and store.decides_together:
        return tuple([_got(answer, failed) for answer in await store.get_many([get.key for get in gets])])
    return tuple(await asyncio.gather(*[_perform(store, request, failed) for request in batch]))


async def _pause(pause: Pause, failed: list[_Failed]) -> None:
    """Waits. Raises Unavailable if requests failed and the retry budget of the client's request is used up."""
    seconds = pause.seconds
    if failed:
        budget, last = retry_budget(), failed[-1][1]
        granted = budget is None or budget.take([f"{verb} {error.key}" for verb, error in failed])
        failed.clear()
        if not granted and not pause.settling:
            raise Unavailable("The object store is overloaded or does not answer; try again later") from last
        seconds *= random.uniform(0.5, 1.0)  # noqa: S311 - spreads load
    await asyncio.sleep(seconds)


async def _perform(store: ObjectStore, request: Request, failed: list[_Failed]) -> Reply:
    verb = "PUT"
    try:
        if isinstance(request, Put):
            return await store.put(
                request.key,
                request.body,
                condition=request.condition,
                expires=request.expires,
                facts=request.facts,
            )
        if isinstance(request, Get):
            verb = "GET"
            return await store.get(request.key)
        if isinstance(request, List):
            verb = "LIST"
            return await store.list(
                request.prefix,
                start_after=request.start_after,
                cursor=request.cursor,
                delimiter=request.delimiter,
                limit=request.limit,
            )
        if isinstance(request, Digest):
            verb = "GET"
            return await _digest(store, request.key)
        if isinstance(request, Consult):
            return await _consult(request)
        if isinstance(request, ListUploads):
            verb = "LIST"
            return await store.list_uploads(request.prefix, cursor=request.cursor)
        verb = "DELETE"
        if isinstance(request, AbortUpload):
            await store.abort_upload(request.key, request.upload)
            return _DELETED
        if request.expires is None:
            await store.delete_many(request.keys)
        else:
            (key,) = request.keys
            await store.delete(key, expires=request.expires)
        return _DELETED
    except ObjectError as error:
        return _reply(error, failed, verb)


async def _consult(request: Consult) -> Told:
    try:
        return Told(await request.ask())
    except FhirStoreError as error:
        return Told(error=error)


async def _digest(store: ObjectStore, key: str) -> Digested:
    try:
        return Digested(await sha256_of(store, key))
    except ObjectDamaged:
        return Digested("")


def _got(answer: GetAnswer, failed: list[_Failed]) -> Reply:
    return answer if isinstance(answer, StoredObject) else _reply(answer, failed, "GET")


def _reply(answer: Written | ObjectError, failed: list[_Failed], verb: str) -> Reply:
    """Returns the reply that an answer stands for. Raises an error that no protocol can handle.

    Adds to `failed` the requests that the store did not answer or turned away.
    """
    match answer:
        case Written():
            return answer
        case ObjectNotFound():
            return Absent(answer.date)
        case ObjectArchived():
            return Archived(answer.date)
        case PreconditionFailed():
            return _REFUSED
        case ConditionalConflict():
            return NOT_APPLIED
        case StoreBusy():
            failed.append((verb, answer))
            return NOT_APPLIED
        case WriteWindowClosed():
            return _EXPIRED
        case NotFollowed():
            return NOT_SENT
        case ObjectDamaged():
            return StoredObject(b"", answer.etag, answer.date)  # the object exists, but its body is not a record
        case StoreDamaged():
            return Unreadable(answer.resume, answer.detail)
        case OutcomeUnknown() | StoreUnavailable():
            failed.append((verb, answer))
            return _UNKNOWN
        case _:
            raise answer
