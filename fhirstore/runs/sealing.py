"""The protocol of a run: claim, seal, look, delete. The files are uploaded between claim and seal.

* `claim`: whoever creates `_writer.json` owns the plain names of the files; every other attempt puts its own id into
  them. So no two attempts ever write the same key.
* `seal`: `metadata.json`, IfAbsent, is the commit point of the whole run. Of any number of attempts one wins; the
  others are told. The store itself refuses the seal once the attempt's time is over, so the sweeper may remove the
  files of an attempt that is older than that and has not sealed.
* `look`: readers start at the seal alone. Without it there is no run.
* `delete`: replaces the seal by a tombstone, IfMatch: the commit point. Then the files go, in any order; a crash in
  between leaves files that nobody sees, and the sweeper removes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fhirstore.commit.backoff import CONTENDED, SENDS, UNANSWERED, UNSETTLED, settling, until_past
from fhirstore.commit.idempotent import removed_below
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Expired, Get, Pause, Protocol, Put, Reply
from fhirstore.commit.reading import ask
from fhirstore.errors import (
    Contention,
    RunNotFound,
    RunSealed,
    RunTimedOut,
    StoreFull,
    Unavailable,
    WriteOutcomeUnknown,
)
from fhirstore.format.runs import RunKeys, Seal, Tombstone, claim_of, decode_seal
from fhirstore.objects.base import IF_ABSENT, IfMatch, StoredObject, Written
from fhirstore.objects.facts import Facts

JSON = "application/json"
OWN_TAGS = frozenset({"kind", "dataset"})
"""What every object of a run is tagged with, besides its writer's tags."""

_SEALED = "This run was sealed by another writer; read it, or use another run id"
_UNKNOWN = "The object store does not answer; open the run to learn whether it was sealed"
_DELETED = "A run with this id was sealed and deleted; use another run id"


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt to write a run. `owner`: it has the plain names. `began`: epoch ms, by the store; no file is older."""

    attempt: str
    owner: bool
    began: int


def claim(keys: RunKeys, *, context: Context) -> Protocol[Claim]:
    """Begins an attempt. 1 GET + 1 PUT, and 1 GET if another one has the claim. Raises RunSealed, Unavailable."""
    (found,) = yield from ask(Get(keys.seal))
    if not isinstance(found, Absent):
        raise RunSealed(_DELETED if isinstance(decode_seal(found.body, keys), Tombstone) else _SEALED)
    attempt = context.ids.new()
    body = claim_of(attempt)
    for n in range(UNANSWERED.tries):
        (reply,) = yield (Put(keys.claim, body, IF_ABSENT),)
        if isinstance(reply, Written):
            return Claim(attempt, True, reply.date)
        (held,) = yield from ask(Get(keys.claim))
        if not isinstance(held, Absent):
            return Claim(attempt, held.body == body, held.date)
        yield UNANSWERED.pause(n)
    raise Unavailable("The object store does not answer; try again later")


def seal(keys: RunKeys, claimed: Claim, sealed: Seal, *, context: Context) -> Protocol[None]:
    """Seals the run, whose files must all be there. The commit point is the PUT. 1 PUT.

    Raises RunSealed (another one has), RunTimedOut, StoreFull: nothing was sealed by this call, nor will be. Raises
    WriteOutcomeUnknown, CorruptRecord: it may have been sealed, or may be yet; the same call may be made again.
    """
    body = sealed.encode()
    deadline = claimed.began + context.limits.run
    for n in range(UNSETTLED.tries):
        reply: Reply | None = None
        if n < SENDS:
            try:
                (reply,) = yield (Put(keys.seal, body, IF_ABSENT, deadline, facts=facts_of(keys, sealed.tags, JSON)),)
            except StoreFull:
                if n == 0:
                    raise
        if isinstance(reply, Written):
            return
        found = yield from _found(keys)
        if not isinstance(found, Absent):
            return _whose(decode_seal(found.body, keys), claimed.attempt)
        if found.date > deadline + context.limits.apply:
            raise RunTimedOut("The time to write this run is over; write it again")
        if isinstance(reply, Expired):
            yield Pause(until_past(deadline + context.limits.apply, found.date).seconds, settling=True)
        else:
            yield settling(n)
    raise WriteOutcomeUnknown(_UNKNOWN)


def facts_of(keys: RunKeys, tags: Mapping[str, str], content_type: str | None) -> Facts:
    """Returns the facts of an object of a run: its writer's tags, and two by which lifecycle rules can find it."""
    return Facts(content_type=content_type, tags={"kind": "run", "dataset": keys.dataset, **tags})


def _found(keys: RunKeys) -> Protocol[StoredObject | Absent]:
    """Returns the seal as it is after a PUT that may have been applied."""
    try:
        (found,) = yield from ask(Get(keys.seal))
    except Unavailable as error:
        raise WriteOutcomeUnknown(_UNKNOWN) from error
    return found


def _whose(found: Seal | Tombstone, attempt: str) -> None:
    """Raises RunSealed unless the attempt sealed the run; a tombstone says who had."""
    if found.attempt != attempt:
        raise RunSealed(_DELETED if isinstance(found, Tombstone) else _SEALED)


def look(keys: RunKeys) -> Protocol[Seal]:
    """Returns the seal of a run. 1 GET. Raises RunNotFound, CorruptRecord, Unavailable."""
    seal, _ = yield from glance(keys)
    if not isinstance(seal, Seal):
        raise RunNotFound("There is no sealed run with this id in this partition")
    return seal


def glance(keys: RunKeys) -> Protocol[tuple[Seal | Tombstone | None, int]]:
    """Returns what `metadata.json` says, and the store's date then. 1 GET. Raises CorruptRecord, Unavailable."""
    (found,) = yield from ask(Get(keys.seal))
    return None if isinstance(found, Absent) else decode_seal(found.body, keys), found.date


def delete(keys: RunKeys, *, context: Context) -> Protocol[None]:
    """Deletes a sealed run: first its seal, by a tombstone (the commit point), then its files, and the claim.

    2 GET or more + 1 PUT + 1 LIST and 1 DELETE per 1,000 objects. If it is called again after an error, it goes on.
    Raises RunNotFound (never sealed, or nothing left to remove), Contention, CorruptRecord, Unavailable.
    """
    for n in range(CONTENDED.tries):
        (found,) = yield from ask(Get(keys.seal))
        if isinstance(found, Absent):
            raise RunNotFound("There is no sealed run with this id in this partition")
        was = decode_seal(found.body, keys)
        if isinstance(was, Tombstone):
            if not (yield from removed_below(keys.folder, but=keys.seal)) and n == 0:
                raise RunNotFound("This run was deleted before")
            return
        tombstone = Tombstone(was.attempt, found.date).encode()
        (reply,) = yield (Put(keys.seal, tombstone, IfMatch(found.etag)),)
        if isinstance(reply, Written):
            yield from removed_below(keys.folder, but=keys.seal)
            return
        yield CONTENDED.jittered(n, context.ids)
    raise Contention("Others keep changing this run; try again later")
