"""Payloads: large contents that lie outside the record of their version, and the entries that say which object has one.

Below the tenant's prefix:

| key | content |
|---|---|
| `binary/payload/{ulid}` | the bytes of one upload; written once, by one writer, under a name that is never used again |
| `binary/{sha256}/entry.json` | the entry of a content: the object that has it, and its state; written by compare-and-set alone |
| `binary/{sha256}/refs/{type}_{id}_{version}_{op}` | a reference, empty: attempt `op` at that version has this content |

An object is named after its upload and not after its content. So the hash need not be known when an upload begins, and
a DELETE that arrives late, of a sweeper that lost its turn, can only hit the upload that it was meant for.

Every object is named in an entry before it exists, so that a crash leaves nothing that nobody finds. What happens to
an entry is the table `NEXT`:

* `arriving`: uploads of this content are being completed. `object` is the latest one, `others` are the rest; whichever
  is complete first becomes the object.
* `live`: `object` is complete, and may be referred to.
* `condemned`: the sweeper found no reference. Whoever wants to refer to it makes it live again.
* `gone`: there is no object any more.

`waste` are objects that nobody may refer to any more, and that the sweeper deletes: an object goes there by
compare-and-set before it is deleted, and never comes back. Each write of an entry has a fresh `nonce`, so that no ETag
recurs.
"""  # noqa: E501 - a table row is one line

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import msgspec

from fhirstore.errors import CorruptRecord

_SHA256 = re.compile(r"[0-9a-f]{64}")
_OBJECT = re.compile(r"binary/payload/[0-9A-Za-z]{1,64}")

State: TypeAlias = Literal["arriving", "live", "condemned", "gone"]
Event: TypeAlias = Literal["arrive", "complete", "use", "unused"]

NEXT: dict[tuple[State | None, Event], State | None] = {
    (None, "arrive"): "arriving",
    (None, "complete"): None,
    (None, "use"): None,
    (None, "unused"): None,
    ("arriving", "arrive"): "arriving",
    ("arriving", "complete"): "live",
    ("arriving", "use"): None,
    ("arriving", "unused"): "gone",
    ("live", "arrive"): "live",
    ("live", "complete"): "live",
    ("live", "use"): "live",
    ("live", "unused"): "condemned",
    ("condemned", "arrive"): "live",
    ("condemned", "complete"): "live",
    ("condemned", "use"): "live",
    ("condemned", "unused"): "gone",
    ("gone", "arrive"): "arriving",
    ("gone", "complete"): None,
    ("gone", "use"): None,
    ("gone", "unused"): "gone",
}
"""The state after an event; None: the event is refused. The state None: there is no entry.

arrive: an upload with this content is about to be completed. complete: one that the entry names is complete. use:
somebody refers to the content. unused: the sweeper found no reference in time.
"""


class Payload(msgspec.Struct, frozen=True):
    """A content outside the record. `sha256`: hex. `size`: bytes. `object`: its key below the tenant's prefix."""

    sha256: str
    size: int
    object: str

    @property
    def well_formed(self) -> bool:
        """Whether every member has its form, so that keys can be made of them."""
        return is_sha256(self.sha256) and self.size >= 0 and is_payload_object(self.object)


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """The entry of a content. `object`: as in `Payload`; "" when the content is gone."""

    state: State
    sha256: str
    size: int
    object: str
    nonce: str
    others: tuple[str, ...] = ()
    waste: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """The object's body."""
        return _encode(self)

    @property
    def payload(self) -> Payload:
        """The content, as a record names it."""
        return Payload(self.sha256, self.size, self.object)

    @property
    def arriving(self) -> tuple[str, ...]:
        """The objects that may still become the object of this entry."""
        return (self.object, *self.others) if self.state == "arriving" else ()


LONGEST_GONE, LONGEST_PLAIN = 175, 225
"""Bytes of an entry at most that has neither `others` nor `waste`: of one that is gone, and of any. Others are longer.

So a LIST tells which entries need a look.
"""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode


def decode_entry(body: bytes, key: str) -> Entry:
    """Reads an entry. Raises CorruptRecord, naming `key`, when the body is not one."""
    try:
        entry = _decode(body)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error
    named = (entry.object, *entry.others, *entry.waste) if entry.object else (*entry.others, *entry.waste)
    if not is_sha256(entry.sha256) or entry.size < 0 or not all(map(is_payload_object, named)):
        raise CorruptRecord(key)
    if (entry.object == "") != (entry.state == "gone"):
        raise CorruptRecord(key)
    return entry


def is_sha256(text: str) -> bool:
    """Returns whether it is a SHA-256 in lower-case hex."""
    return _SHA256.fullmatch(text) is not None


def is_payload_object(name: str) -> bool:
    """Returns whether it is the key of a payload object below the tenant's prefix."""
    return _OBJECT.fullmatch(name) is not None


def payload_object(ulid: str) -> str:
    """Returns the key, below the tenant's prefix, of the object of an upload."""
    return f"binary/payload/{ulid}"


def arrived(entry: Entry | None, payload: Payload, nonce: str) -> Entry:
    """Returns the entry after `arrive`: it names the payload's object, or is live and is to be shared."""
    state = NEXT[entry.state if entry is not None else None, "arrive"]
    if entry is None or entry.state == "gone":
        return Entry("arriving", payload.sha256, payload.size, payload.object, nonce, (), entry.waste if entry else ())
    if state == "arriving":
        others = (*entry.others, entry.object) if payload.object not in entry.arriving else entry.others
        object_ = payload.object if payload.object not in entry.arriving else entry.object
        return Entry("arriving", entry.sha256, entry.size, object_, nonce, others, entry.waste)
    return Entry("live", entry.sha256, entry.size, entry.object, nonce, entry.others, entry.waste)


def completed(entry: Entry | None, object: str, nonce: str) -> Entry | None:
    """Returns the entry after `complete`; None where this object may not become the content's object any more.

    Where another object is live already, that one stays; this one is left in `others` until it is deleted.
    """
    if entry is None or NEXT[entry.state, "complete"] is None:
        return None
    if entry.state == "arriving":
        if object not in entry.arriving:
            return None
        others = tuple(other for other in entry.arriving if other != object)
        return Entry("live", entry.sha256, entry.size, object, nonce, others, entry.waste)
    return Entry("live", entry.sha256, entry.size, entry.object, nonce, entry.others, entry.waste)


def used(entry: Entry | None, payload: Payload, nonce: str) -> Entry | None:
    """Returns the entry after `use` of this payload; None where it is not there any more."""
    if entry is None or NEXT[entry.state, "use"] is None or entry.payload != payload:
        return None
    return Entry("live", entry.sha256, entry.size, entry.object, nonce, entry.others, entry.waste)


def unused(entry: Entry, nonce: str) -> Entry:
    """Returns the entry after `unused`. What was arriving or condemned is waste now."""
    state = NEXT[entry.state, "unused"]
    if state == "condemned":
        return Entry("condemned", entry.sha256, entry.size, entry.object, nonce, entry.others, entry.waste)
    waste = (*entry.waste, *((entry.object,) if entry.object else ()), *entry.others)
    return Entry("gone", entry.sha256, entry.size, "", nonce, (), waste)


def rivals_over(entry: Entry, nonce: str) -> Entry:
    """Returns a live entry whose `others` are waste: their uploads lost long ago."""
    return Entry(entry.state, entry.sha256, entry.size, entry.object, nonce, (), (*entry.waste, *entry.others))


def without(entry: Entry, objects: tuple[str, ...], nonce: str) -> Entry:
    """Returns the entry without these objects in `others` and `waste`: they are deleted."""
    others = tuple(other for other in entry.others if other not in objects)
    waste = tuple(one for one in entry.waste if one not in objects)
    return Entry(entry.state, entry.sha256, entry.size, entry.object, nonce, others, waste)
