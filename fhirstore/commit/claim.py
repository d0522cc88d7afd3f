"""Claims: the right to create a resource for one identifier value, `identity/{type}/{value}.claim`.

A conditional create takes the claim before it looks whether a matching resource exists. One on other criteria than
identifiers takes the claim of its query instead: `value` is then the hash of that (`search.conditional.condition`).

`{"op":"01K…","id":"01K…","base":null,"v":1}`

| member | meaning |
|---|---|
| `op` | token of the holder; new for each claim, so that no two bodies, and no two ETags, are equal |
| `id` | the resource that is to be created |
| `base` | ETag of its `current.json`, on which the one attempt builds; null if there is none |
| `v` | the version that the attempt would make; 0 if it is not known |
| `intent` | the transaction that is to create it, instead of a single attempt |
| `released` | true if the holder gave the claim up |

A claim names its holder's one attempt, so nobody has to find out whether the holder is alive, and no clock is trusted.
The next writer that wants the claim makes sure that this attempt is over: `current.json` of that resource is no longer
the attempt's base. Either the attempt was committed, or another write replaced the base, or the next writer fences it
(`fence`). For a transaction, its record decides (`intents`). Then the next writer takes the claim over by PUT If-Match.

A claim needs no release. One small object per value or query stays, and the next writer takes it over at once.

The holder must make exactly one attempt, on exactly that base. If it fails, the holder starts over with a new claim.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from fhirstore.commit.backoff import CONTENDED, RIVAL, SHUT_OUTS
from fhirstore.commit.fence import fence
from fhirstore.commit.intents import Stands, clear, decided
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, Protocol, Put
from fhirstore.commit.reading import ask, glance
from fhirstore.errors import Contention, CorruptRecord
from fhirstore.format.keyspace import Keyspace, ResourceKeys
from fhirstore.format.record import Intent
from fhirstore.objects.base import IF_ABSENT, Condition, IfMatch, Written


class Claim(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of a claim; see the table above."""

    op: str
    id: str
    base: str | None = None
    v: int = 0
    intent: Intent | None = None
    released: bool = False

    def encode(self) -> bytes:
        """Returns the object's body."""
        return _encode(self)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Claim).decode


def decode_claim(body: bytes, key: str) -> Claim:
    """Reads a claim. Raises CorruptRecord, naming `key`, when the body is not one."""
    try:
        return _decode(body)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error


@dataclass(frozen=True, slots=True)
class Held:
    """A claim that we hold, at `key`, under `etag`."""

    key: str
    etag: str
    claim: Claim


def take(
    keys: Keyspace, type: str, value: str, wanted: Claim, *, context: Context, insist: bool = False
) -> Protocol[Held | None]:
    """Takes the claim on a value.

    Returns None if another writer held it and its attempt is over now: the caller must look for matches again. With
    `insist` it takes the claim even then. Cost: 1 PUT if nobody ever held the claim.

    Raises Contention, Unavailable, CorruptRecord.
    """
    key = keys.identity_claim(type, value)
    over: Condition = IF_ABSENT
    for n in range(context.limits.attempts):
        (reply,) = yield (Put(key, wanted.encode(), over, context.now() + context.limits.window),)
        if isinstance(reply, Written):
            return Held(key, reply.etag, wanted)
        (found,) = yield from ask(Get(key))
        if isinstance(found, Absent):
            over = IF_ABSENT
        else:
            theirs = decode_claim(found.body, key)
            if theirs.op == wanted.op:
                return Held(key, found.etag, theirs)
            rival = _Rival(keys.resource(type, theirs.id), theirs, Stands("", key, found.etag))
            waited = yield from _see_through(rival, wanted, context)
            if waited and not insist:
                return None
            over = IfMatch(found.etag)
        if n:
            yield CONTENDED.jittered(n, context.ids)
    raise Contention("Others kept creating resources on these criteria; nothing was written, try again")


def release(held: Held, *, context: Context) -> Protocol[None]:
    """Releases the claim without an attempt, so that nobody waits for one. Nothing depends on it: it may be lost."""
    free = Claim(context.ids.new(), held.claim.id, released=True)
    yield (Put(held.key, free.encode(), IfMatch(held.etag), context.now() + context.limits.window),)


@dataclass(frozen=True, slots=True)
class _Rival:
    """The present holder: its claim, where that `stands`, and the resource that it wants to create."""

    resource: ResourceKeys
    claim: Claim
    stands: Stands


def _see_through(rival: _Rival, wanted: Claim, context: Context) -> Protocol[bool]:
    """Makes sure that the holder's attempt is over: committed, or unable to commit.

    Returns True if it was not over at the first look. Raises Contention, Unavailable, CorruptRecord.
    """
    claim, resource = rival.claim, rival.resource
    if claim.released:
        return False
    if claim.intent is not None:
        age = None if wanted.intent is None else wanted.intent.age
        return (yield from _see_transaction_through(rival, claim.intent, age, context))
    for n in range(RIVAL.tries + SHUT_OUTS):
        base, _ = yield from glance(resource)
        if base.etag != claim.base:
            return n > 0
        if n < RIVAL.tries:
            yield RIVAL.half_jittered(n, context.ids)
        else:
            yield (fence(resource, base, context),)
    raise Contention("The object store does not let an abandoned creation be shut out; try again later")


def _see_transaction_through(rival: _Rival, intent: Intent, age: str | None, context: Context) -> Protocol[bool]:
    if age == intent.age:
        return False  # an earlier attempt of our own transaction, which did not commit
    resource = rival.resource
    stands = Stands(resource.transaction(intent.tx), rival.stands.key, rival.stands.etag)
    committed = False
    for n in range(SHUT_OUTS):
        base, _ = yield from glance(resource)
        if base.intent is not None and base.intent.tx == intent.tx:
            yield from clear(resource, base, context, age=age)
        elif committed or 0 < rival.claim.v <= base.version:
            return n > 0
        else:
            decision = yield from decided(intent, stands, context, age)
            if decision is None or not decision.committed:
                return decision is None
            committed = True  # the created resource has its intent by now, or was made final, or has a later version
    raise Contention("The object store does not let a transaction be decided; try again later")
