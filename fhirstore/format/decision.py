"""The record of a transaction, `tx/{txid}.json`: committed or aborted. It is written once, If-None-Match:*, and final.

`{"status":"committed","t":1763611897123,"age":"…","parts":[["Patient","p1",4],["Observation","o7",1]]}`

| member | meaning |
|---|---|
| `status` | committed: the versions in `parts` count from the moment this record was written; aborted: none counts |
| `t` | `meta.lastUpdated` of all its versions, epoch ms |
| `age` | the older of two transactions, by the order of this text, wins |
| `parts` | type, id and version of every resource that it changed; empty in an aborted one |
| `by` | in an aborted one: the age of the older transaction that aborted it; absent if another writer did |
"""

from __future__ import annotations

import msgspec

from fhirstore.errors import CorruptRecord

COMMITTED, ABORTED = "committed", "aborted"


class Decision(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of a transaction's record; see the table above."""

    status: str
    t: int
    age: str
    parts: tuple[tuple[str, str, int], ...] = ()
    by: str | None = None

    @property
    def committed(self) -> bool:
        return self.status == COMMITTED

    def encode(self) -> bytes:
        """Returns the object's body."""
        return _encode(self)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Decision).decode


def decode_decision(body: bytes, key: str) -> Decision:
    """Reads a decision. Raises CorruptRecord, naming `key`, when the body is not one."""
    try:
        decision = _decode(body)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error
    if decision.status not in (COMMITTED, ABORTED):
        raise CorruptRecord(key)
    return decision
