"""The record: one JSON document per version of a resource, with the resource last.

`{"v":3,"t":1763611897123,"op":"01K…","method":"PUT","base":"…","sha256":"…","resource":{…}}`

| member | meaning |
|---|---|
| `v` | version number, 1, 2, 3 … per id; 0 only in a stub (`method` STUB), which fences an id without a version |
| `t` | `meta.lastUpdated`, epoch ms |
| `op` | the op token: it identifies the attempt that wrote this. A ULID, after a mark that says what for, if any |
| `method` | the HTTP verb of the interaction (POST PUT PATCH DELETE), as `Bundle.entry.request.method` has it; PURGE |
| `base` | ETag of the `current.json` that the attempt was built on; absent for a first version |
| `prior` | op token of the version before; a reader of both can check that they are neighbours |
| `floor` | versions up to this number were purged, with their history; the numbers are not used again |
| `hold` | until this time (epoch ms, store's clock) no attempt may build on this record: a sweeper is working on it |
| `fence` | nonce of a writer that fenced off an abandoned attempt; it changes only the body, and so the ETag |
| `parts` | how many resources the transaction `op` changed; absent for a write outside a transaction |
| `intent` | in `current.json` only: a transaction wants to make the next version (`Intent`); its decision counts |
| `back` | true where this version brought the resource back after a deletion or a purge; absent otherwise |
| `payload` | where the content of a Binary is that lies outside the record: `{"sha256":…,"size":…,"object":…}` |
| `sha256` | SHA-256 of the resource's bytes, hex |
| `resource` | exactly the bytes that the API returns; absent in a DELETE, PURGE or STUB |

The bytes `,"resource":` occur first where the resource begins: every member before it is a number, a string, true, an
intent or a payload, which have no such member, and inside a JSON string a quote is escaped. So a read is one find and a
slice; nothing is parsed or encoded again. These members are in the body and not in object metadata, because an ETag is
a hash of the body and If-Match must notice every change of them.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from fhirstore.errors import CorruptRecord
from fhirstore.format.digest import sha256
from fhirstore.format.payload import Payload

_RESOURCE = b',"resource":'
_WITHOUT_RESOURCE = ("DELETE", "PURGE", "STUB")


class Intent(msgspec.Struct, frozen=True):
    """`{"tx":"01K…","v":4,"t":1763611897123,"age":"1763611897001-01K…","parts":3}`: version `v`, made at `t`, exists if
    and only if `tx/{tx}.json` says committed.

    `tx`: id of the transaction, and the op token of all versions that it makes. `age`: a text by which two transactions
    are ordered; the older wins. `parts`: how many resources it changes.
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
    payload: Payload | None = None
    sha256: str | None = None


_decode_head = msgspec.json.Decoder(_Head).decode
_encode_head = msgspec.json.Encoder().encode


class Record(msgspec.Struct, frozen=True, array_like=True):
    """The record of one version. `resource` is None in a tombstone and in a stub (`version` 0)."""

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
    payload: Payload | None = None

    def __repr__(self) -> str:
        return f"<Record of version {self.version}, {self.method}, op {self.op}>"

    @property
    def exists(self) -> bool:
        """Whether readers see this version, as a resource or as a tombstone. Not a stub, not a purged version."""
        return self.version > self.floor

    @property
    def deleted(self) -> bool:
        """Whether this is a tombstone: this version deleted the resource."""
        return self.exists and self.resource is None

    @property
    def purged(self) -> bool:
        """Whether this is the stub that a purge left of the resource."""
        return self.method == "PURGE"

    @property
    def created(self) -> bool:
        """Whether this version created the resource, or brought it back."""
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
                self.payload,
                digest,
            )
        )
        return head if self.resource is None else b"".join((head[:-1], _RESOURCE, self.resource, b"}"))

    def fenced(self, nonce: str) -> Record:
        """Returns the same version with another body, so that If-Match on the old one fails."""
        return replace(self, fence=nonce)

    def without_intent(self) -> Record:
        """Returns the version as it was before a transaction announced the next one."""
        return self if self.intent is None else replace(self, intent=None)

    def with_digest(self) -> Record:
        """Returns the same record with its checksum, for a record that is encoded more than once."""
        if self.resource is None or self.sha256 is not None:
            return self
        return replace(self, sha256=sha256(self.resource))

    def intact(self) -> bool:
        """Returns whether the resource's bytes have the checksum that was written with them."""
        return self.resource is None or sha256(self.resource) == self.sha256


def decode(body: bytes, key: str) -> Record:
    """Returns the record in an object's body. Raises CorruptRecord, naming `key`, where it is none."""
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
        head.payload,
    )
