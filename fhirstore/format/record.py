"""The record: one JSON document per version of a resource, with the resource last.

`{"v":3,"t":1763611897123,"op":"01K…","method":"PUT","base":"…","sha256":"…","resource":{…}}`

| member | meaning |
|---|---|
| `v` | version id, 1, 2, 3 … per id; 0 only in a stub (`method` STUB) that fences an id which has no version yet |
| `t` | `meta.lastUpdated`, epoch ms |
| `op` | the op token: a ULID, fresh per attempt; tells whose write this is |
| `method` | the HTTP verb of the interaction (POST PUT PATCH DELETE), as `Bundle.entry.request.method` has it; PURGE |
| `base` | ETag of the `current.json` the attempt was built on; absent for a first version |
| `prior` | op token of the version before; so a reader of both knows that they are neighbours |
| `floor` | versions up to this one were purged, with their history; the numbers are not used again |
| `hold` | epoch ms on the store's clock until which no attempt may build on this record: a sweeper is at work |
| `fence` | nonce of a writer that shut out an abandoned attempt; changes the body and so the ETag, nothing else |
| `parts` | how many resources the transaction `op` changed; absent where the version was written by itself |
| `intent` | in `current.json` alone: a transaction wants to make the next version (`Intent`); its record decides |
| `back` | true where this version brought the resource back, after a deletion or a purge; absent otherwise |
| `sha256` | of the resource's bytes, hex |
| `resource` | exactly the bytes the API returns; absent in a DELETE, PURGE or STUB |

The bytes `,"resource":` occur first where the resource begins: every member before it is a number, a string, true or an
intent, which has no such member, and inside a JSON string a quote is escaped. So a read is one find and a slice;
nothing is parsed or encoded again.
These facts stand in the body, not in user metadata, since an ETag is a hash of the body and If-Match must see them.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from fhirstore.errors import CorruptRecord
from fhirstore.format.digest import sha256

_RESOURCE = b',"resource":'
_WITHOUT_RESOURCE = ("DELETE", "PURGE", "STUB")


class Intent(msgspec.Struct, frozen=True):
    """`{"tx":"01K…","v":4,"t":1763611897123,"age":"1763611897001-01K…","parts":3}`: version `v`, made at `t`, is there
    if and only if `tx/{tx}.json` says committed.

    `tx`: id of the transaction, and the op token of all versions it makes. `age`: the older of two transactions, by
    the order of this text, wins. `parts`: how many resources it changes.
    """

    tx: str
    v: int
    t: int
    age: str
    parts: int


class _Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything before the resource, in the order it is written."""

    v: int
    t: int
    op: str
    method: str
    base: str | None = None
    prior: str | None = None
    floor: int = 0
    hold: int = 0
    fence: str | None = None
    parts: int = 0
    intent: Intent | None = None
    back: bool = False
    sha256: str | None = None


_decode_head = msgspec.json.Decoder(_Head).decode
_encode_head = msgspec.json.Encoder().encode


class Record(msgspec.Struct, frozen=True, array_like=True):
    """One version. `resource` is None in a tombstone, and in a stub (`version` 0)."""

    version: int
    t: int
    op: str
    method: str
    resource: bytes | None = None
    base: str | None = None
    prior: str | None = None
    floor: int = 0
    hold: int = 0
    fence: str | None = None
    parts: int = 0
    intent: Intent | None = None
    sha256: str | None = None
    back: bool = False

    @property
    def exists(self) -> bool:
        """Is this a version that anybody may see, if only as a tombstone? Not a stub, not what was purged."""
        return self.version > self.floor

    @property
    def deleted(self) -> bool:
        """A tombstone: the resource was deleted by this version."""
        return self.exists and self.resource is None

    @property
    def created(self) -> bool:
        """This version brought the resource into being, or back."""
        return self.resource is not None and (self.version == 1 or self.back or self.method == "POST")

    @classmethod
    def stub(cls, op: str) -> Record:
        """Returns the record for the `current.json` of an id without a version: it carries a fence, hold or intent."""
        return cls(version=0, t=0, op=op, method="STUB")

    def encode(self) -> bytes:
        """The object's body."""
        digest = None
        if self.resource is not None:
            digest = self.sha256 or sha256(self.resource)
        head = _encode_head(
            _Head(
                self.version,
                self.t,
                self.op,
                self.method,
                self.base,
                self.prior,
                self.floor,
                self.hold,
                self.fence,
                self.parts,
                self.intent,
                self.back,
                digest,
            )
        )
        return head if self.resource is None else b"".join((head[:-1], _RESOURCE, self.resource, b"}"))

    def fenced(self, nonce: str) -> Record:
        """The same version with another body, so that If-Match on the old one fails."""
        return replace(self, fence=nonce)

    def without_intent(self) -> Record:
        """The version as it stood before a transaction announced the next one."""
        return self if self.intent is None else replace(self, intent=None)

    def with_digest(self) -> Record:
        """The same, with its checksum worked out once, for a record that is encoded more than once."""
        if self.resource is None or self.sha256 is not None:
            return self
        return replace(self, sha256=sha256(self.resource))

    def intact(self) -> bool:
        """Do the resource's bytes still have the checksum they were written with?"""
        return self.resource is None or sha256(self.resource) == self.sha256


def decode(body: bytes, key: str) -> Record:
    """Read a record back. Raises CorruptRecord, naming `key`, when it is none."""
    cut = body.find(_RESOURCE)
    try:
        head = _decode_head(body if cut < 0 else body[:cut] + b"}")
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error
    resource = None if cut < 0 else body[cut + len(_RESOURCE) : -1]
    if (resource is None) != (head.method in _WITHOUT_RESOURCE) or not body.endswith(b"}"):
        raise CorruptRecord(key)
    return Record(
        head.v,
        head.t,
        head.op,
        head.method,
        resource,
        head.base,
        head.prior,
        head.floor,
        head.hold,
        head.fence,
        head.parts,
        head.intent,
        head.sha256,
        head.back,
    )
