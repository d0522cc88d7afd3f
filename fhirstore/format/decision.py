"""The decision of a transaction, `tx/{txid}.json`. It is final: it is written once, with If-None-Match: *.

`{"status":"committed","t":1763611897123,"age":"…","parts":[["Patient","p1",4],["Observation","o7",1]]}`

| member | meaning |
|---|---|
| `status` | committed: the versions in `parts` count from the moment this was written; aborted: none does |
| `t` | `meta.lastUpdated` of all its versions, epoch ms |
| `age` | a text by which two transactions are ordered; where they conflict, the older wins |
| `parts` | type, id and version of every resource that it changed; empty if aborted |
| `by` | if aborted: the age of the transaction that it conflicted with; absent where it was given up or abandoned |
"""

from __future__ import annotations

import msgspec

from fhirstore.errors import CorruptRecord

COMMITTED, ABORTED = "committed", "aborted"


class Decision(msgspec.Struct, frozen=True, omit_defaults=True):
    """The decision of a transaction."""

    status: str
    t: int
    age: str
    parts: tuple[tuple[str, str, int], ...] = ()
    by: str | None = None

    @property
    def committed(self) -> bool:
        return self.status == COMMITTED

    def encode(self) -> bytes:
        """The object's body."""
        return _encode(self)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Decision).decode


def decode_decision(body: bytes, key: str) -> Decision:
    """Returns the decision in an object's body. Raises CorruptRecord, naming `key`, where it is none."""
    try:
        decision = _decode(body)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error
    if decision.status not in (COMMITTED, ABORTED):
        raise CorruptRecord(key)
    return decision
