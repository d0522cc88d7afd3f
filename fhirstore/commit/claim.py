"""A claim on all identifiers with one value: `identity/{type}/{value}.claim`, taken before one looks whether to create.

`{"op":"01K…","id":"01K…","base":null,"v":1}`

| member | meaning |
|---|---|
| `op` | whose claim this is; fresh each time, so that no two bodies, and no two ETags, are equal |
| `id` | the resource that is to be created |
| `base` | ETag of its `current.json`, on which the one attempt will build; null: there is none |
| `v` | the version it would be; 0: not known |
| `intent` | instead of one attempt, a transaction may be about to create it |
| `released` | its holder does not want it any more |

A claim names the attempt, so nobody needs to ask whether its holder is alive, and no clock is trusted. Whoever wants
it next makes sure that the attempt is through: `current.json` of that resource is no longer what it builds on. Either
it was committed, or somebody wrote over it; if neither happens for a while, one *fences* it as `commit.abandoned`
does: PUT the same content, or a stub, with a nonce, If-Match(base). For a transaction, its record decides
(`commit.intents`). Then the claim is taken over by PUT If-Match. It needs no release; what is left of it is one small
object per value that was ever created on a condition, and the next one takes it over at once.

The holder makes exactly one attempt, on exactly that base. If it fails, it begins anew with another claim.
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
    """Who is about to create what."""

    op: str
    id: str
    base: str | None = None
    v: int = 0
    intent: Intent | None = None
    released: bool = False

    def encode(self) -> bytes:
        """The object's body."""
        return _encode(self)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Claim).decode


def decode_claim(body: bytes, key: str) -> Claim:
    """Read it back. Raises CorruptRecord, naming `key`, when it is none."""
    try:
        return _decode(body)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error


@dataclass(frozen=True, slots=True)
class Held:
    """A claim that is ours, at `key`, under `etag`."""

    key: str
    etag: str
    claim: Claim


def take(
    keys: Keyspace, type: str, value: str, wanted: Claim, *, context: Context, insist: bool = False
) -> Protocol[Held | None]:
    """Take the claim on a value. None: somebody else held it, and is through by now; look again whether to create.

    `insist`: take it all the same. 1 PUT where nobody ever held it. Raises Contention, Unavailable, CorruptRecord.
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
    raise Contention("Others kept creating resources with this identifier; nothing was written, try again")


def release(held: Held, *, context: Context) -> Protocol[None]:
    """Say that nothing will be created, so that nobody waits for it. A courtesy: it may get lost."""
    free = Claim(context.ids.new(), held.claim.id, released=True)
    yield (Put(held.key, free.encode(), IfMatch(held.etag), context.now() + context.limits.window),)


@dataclass(frozen=True, slots=True)
class _Rival:
    """Whoever holds the claim now, as it `stands`, and the resource that it wants to create."""

    resource: ResourceKeys
    claim: Claim
    stands: Stands


def _see_through(rival: _Rival, wanted: Claim, context: Context) -> Protocol[bool]:
    """Make sure that the holder's attempt is through: committed, or unable to commit. True: it was not when we came.

    Raises Contention, Unavailable, CorruptRecord.
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
        return False  # an earlier attempt of our own, which did not commit
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
            committed = True  # by now, what it created has its intent, or stands there, or was built upon
    raise Contention("The object store does not let a transaction be decided; try again later")
