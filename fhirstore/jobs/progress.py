"""Progress objects: how far a run is with one part of its job, so that the next run goes on from there.

A body is `{"epoch":3, …}`, and is changed only by compare-and-set. A run first makes the object its own: it writes it
with its own epoch, so that the next write of a run before fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from fhirstore.commit.backoff import UNANSWERED
from fhirstore.commit.messages import Absent, Get, Protocol, Put
from fhirstore.commit.reading import ask
from fhirstore.errors import CorruptRecord, Unavailable
from fhirstore.jobs.lease import LeaseLost
from fhirstore.objects.base import IF_ABSENT, Condition, IfMatch, Written

_EPOCH = "epoch"


@dataclass(frozen=True, slots=True)
class Progress:
    """A progress object as of our last write or read. `etag` None: there is none."""

    key: str
    epoch: int
    body: Mapping[str, object] | None
    etag: str | None


def decode_progress(body: bytes, key: str) -> tuple[int, Mapping[str, object]]:
    """Returns epoch and members. Raises CorruptRecord, naming `key`."""
    try:
        members = msgspec.json.decode(body, type=dict[str, object])
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error
    epoch = members.pop(_EPOCH, None)
    if not isinstance(epoch, int):
        raise CorruptRecord(key)
    return epoch, members


def take(key: str, epoch: int) -> Protocol[Progress]:
    """Reads the object and makes it the run's with this epoch. 1 GET, and 1 PUT where an older run's is there.

    Raises LeaseLost where a newer run has it; CorruptRecord, Unavailable.
    """
    (reply,) = yield from ask(Get(key))
    if isinstance(reply, Absent):
        return Progress(key, epoch, None, None)
    theirs, members = decode_progress(reply.body, key)
    if theirs > epoch:
        raise LeaseLost("Another owner has taken this job over")
    found = Progress(key, epoch, members, reply.etag)
    return found if theirs == epoch else (yield from put(found, members))


def put(progress: Progress, body: Mapping[str, object]) -> Protocol[Progress]:
    """Writes the object over our last write or read, or over what an older run wrote since. 1 PUT.

    Raises LeaseLost, CorruptRecord, Unavailable.
    """
    encoded = msgspec.json.encode({_EPOCH: progress.epoch, **body})
    condition: Condition = IF_ABSENT if progress.etag is None else IfMatch(progress.etag)
    for n in range(UNANSWERED.tries):
        (reply,) = yield (Put(progress.key, encoded, condition),)
        if isinstance(reply, Written):
            return Progress(progress.key, progress.epoch, body, reply.etag)
        (found,) = yield from ask(Get(progress.key))
        etag = None if isinstance(found, Absent) else found.etag
        if not isinstance(found, Absent) and found.body == encoded:
            return Progress(progress.key, progress.epoch, body, etag)
        if etag == progress.etag or isinstance(found, Absent):
            yield UNANSWERED.pause(n)
        elif decode_progress(found.body, progress.key)[0] < progress.epoch:
            condition = IfMatch(found.etag)
        else:
            raise LeaseLost("Another owner has taken this job over")
    raise Unavailable("The object store does not answer; try again later")
