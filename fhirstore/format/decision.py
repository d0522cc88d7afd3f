"""The record of a transaction: `tx/{txid}.json` says for good what became of it. It lands once, by If-None-Match:*.

`{"status":"committed","t":1763611897123,"age":"…","parts":[["Patient","p1",4],["Observation","o7",1]]}`

| member | meaning |
|---|---|
| `status` | committed: the versions below count, from the moment this record landed; aborted: nothing of it does |
| `t` | `meta.lastUpdated` of all its versions, epoch ms |
| `age` | the older of two transactions, by the order of this text, wins |
| `parts` | type, id and version of every resource it changed; empty in an aborted one |
| `by` | in an aborted one: the age of the transaction that was in the way; absent where it was given up or abandoned |
"""

from __future__ import annotations

import msgspec

from fhirstore.errors import CorruptRecord

COMMITTED, ABORTED = "committed", "aborted"


class Decision(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a transaction."""

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
    """Read it back. Raises CorruptRecord, naming `key`, when it is none."""
    try:
        decision = _decode(body)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error
    if decision.status not in (COMMITTED, ABORTED):
        raise CorruptRecord(key)
    return decision
