"""The keys that a server signs its access tokens with: one object per tenant, changed by compare-and-set alone.

| time since a key was made | it signs | tokens signed with it are accepted |
|---|---|---|
| up to `PERIOD` | yes | yes |
| up to `PERIOD + OVERLAP` | no: a new one takes its place | yes |
| later | no | no |

Every process goes by these times, on the store's clock, so that none signs with a key that another one no longer
accepts: a token lives much shorter than the overlap. A private key lies in the store beside the data that it guards;
whoever can read it there can read the data as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from fhirstore.commit.backoff import CONTENDED
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, Protocol
from fhirstore.commit.reading import ask
from fhirstore.errors import CorruptRecord, Unavailable
from fhirstore.jobs.lease import compare_and_set
from fhirstore.objects.base import IF_ABSENT, IfMatch
from fhirstore.tenancy import Place

PERIOD = 30 * 24 * 3_600_000
OVERLAP = 3_600_000
"""Milliseconds."""


class SigningKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key. `jwk`: private. `made`: epoch ms on the store's clock."""

    kid: str
    jwk: Mapping[str, object]
    made: int

    def __repr__(self) -> str:
        return f"<SigningKey {self.kid}>"


class KeyRing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All keys of a tenant, the newest first. `write`: fresh in each write, so that bodies never recur."""

    keys: tuple[SigningKey, ...]
    write: str
    format: int = 1

    def accepted(self, now: int) -> tuple[SigningKey, ...]:
        """Returns the keys whose tokens count. `now`: epoch ms."""
        return tuple(key for key in self.keys if now < key.made + PERIOD + OVERLAP)

    def signing(self, now: int) -> SigningKey | None:
        """Returns the key to sign with; None: a new one is needed."""
        return self.keys[0] if self.keys and now < self.keys[0].made + PERIOD else None


_NONE = KeyRing((), "")
_decode = msgspec.json.Decoder(KeyRing).decode
MakeKey = Callable[[], Mapping[str, object]]
"""Makes a private key, as a JWK with `kid`."""


class SigningKeys:
    """The keys of one tenant."""

    def __init__(self, place: Place, context: Context) -> None:
        self._place = place
        self._context = context

    async def accepted(self) -> Sequence[SigningKey]:
        """Returns the keys whose tokens count, the newest first. 1 GET. Raises CorruptRecord, Unavailable."""
        ring, date = await drive(_read(self._place.keys.signing_keys), self._place.objects)
        return ring.accepted(date)

    async def for_signing(self, make: MakeKey, *, anew: bool = False) -> Sequence[SigningKey]:
        """Returns the accepted keys, the first of which signs; makes that one where there is none.

        `anew`: make one in any case, and forget all others: what they have signed counts no more. 1 GET, and 1 PUT
        where a key is made; commit point: that PUT. Raises CorruptRecord, Unavailable.
        """
        protocol = _for_signing(self._place.keys.signing_keys, make, self._context, anew=anew)
        return await drive(protocol, self._place.objects)


def _for_signing(key: str, make: MakeKey, context: Context, *, anew: bool) -> Protocol[Sequence[SigningKey]]:
    for n in range(CONTENDED.tries):
        (reply,) = yield from ask(Get(key))
        ring = _NONE if isinstance(reply, Absent) else decode_ring(reply.body, key)
        if ring.signing(reply.date) is not None and not anew:
            return ring.accepted(reply.date)
        jwk = make()
        fresh = SigningKey(str(jwk["kid"]), jwk, reply.date)
        new = KeyRing((fresh, *(() if anew else ring.accepted(reply.date))), context.ids.new())
        condition = IF_ABSENT if isinstance(reply, Absent) else IfMatch(reply.etag)
        if (yield from compare_and_set(key, msgspec.json.encode(new), condition)) is not None:
            return new.keys
        yield CONTENDED.jittered(n, context.ids)
    raise Unavailable("Others keep changing the signing keys; try again later")


def _read(key: str) -> Protocol[tuple[KeyRing, int]]:
    (reply,) = yield from ask(Get(key))
    return (_NONE if isinstance(reply, Absent) else decode_ring(reply.body, key)), reply.date


def decode_ring(body: bytes, key: str) -> KeyRing:
    """Returns the keys. Raises CorruptRecord."""
    try:
        found = _decode(body)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error
    if found.format != 1:
        raise CorruptRecord(key)
    return found
