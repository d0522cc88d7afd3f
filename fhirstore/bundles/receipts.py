"""Receipts: the results of a Bundle with an Idempotency-Key, stored so that it is processed once.

The receipt of a transaction is one more part of the transaction itself, a record under `resources/Receipt/{id}/` whose
id is derived from the tenant and the key. So it is committed with the transaction, at its commit point
(`tx/{txid}.json`): no crash can leave a transaction without its receipt. Of two concurrent transactions with the same
key, on any nodes, at most one commits, since both write version 1 of the same receipt; the other one starts over, finds
the receipt, and returns the first one's results.

The receipt of a batch is written when its entries are done, and again when more of them are (see `idempotency`). A key
that comes with another body is refused.

`Receipt` is not a FHIR type, so no interaction can read it, and histories leave it out.

Besides `id` and `meta`, its content has `"body":"<sha256 of the Bundle>"` and
`"entries":[["Patient","01K…",1,true],null,…]`: for each entry the type, id and version that it wrote or found, and
whether it created the resource; null where it read, or wrote nothing. The receipt of a batch also has `"failed":[3,…]`:
the entries that failed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from fhirstore.commit.single import Decide, Draft
from fhirstore.errors import CorruptRecord, IdempotencyKeyReused
from fhirstore.fhir import json
from fhirstore.format.keyspace import RECEIPT, Keyspace, ResourceKeys
from fhirstore.format.record import Record
from fhirstore.interactions import resources

Line = tuple[str, str, int, bool] | None
"""The result of one entry: type, id, version id, created."""


class Receipt(msgspec.Struct, frozen=True):
    """`body`: SHA-256 of the Bundle, hex. `failed`: indices of the entries of a batch that failed, without a line."""

    body: str
    entries: tuple[Line, ...]
    failed: tuple[int, ...] = ()


class AlreadyDone(Exception):
    """Another writer was quicker: there is a receipt now."""


_decode = msgspec.json.Decoder(Receipt).decode


def receipt_keys(keys: Keyspace, tenant: str, key: str) -> ResourceKeys:
    """Returns the keys of the receipt for an Idempotency-Key."""
    return keys.resource(RECEIPT, resources.id_for_key(tenant, RECEIPT, key))


def digest(bundle: json.JsonObject) -> str:
    """Returns the SHA-256 of a Bundle, hex. White space outside of strings does not count."""
    return hashlib.sha256(json.encode(bundle)).hexdigest()


def writing(id: str, body: str, lines: Sequence[Line]) -> Decide:
    """Returns the decision of a transaction's receipt. `lines` is read when the other parts know their versions.

    The decision raises AlreadyDone.
    """

    def decide(current: Record | None) -> Draft:
        if current is not None:
            raise AlreadyDone
        return _draft("POST", id, body, lines)

    return decide


def adding(id: str, key: str, ours: Receipt) -> Decide:
    """Returns the decision that adds the results of a batch to its receipt; lines that are there already stay. `key`:
    of the receipt, for errors.

    The decision raises IdempotencyKeyReused, CorruptRecord.
    """

    def decide(current: Record | None) -> Draft | None:
        if current is None or current.resource is None:
            return _draft("POST", id, ours.body, ours.entries, ours.failed)
        theirs = read_receipt(current.resource, ours.body, key)
        failed = tuple(sorted(set(theirs.failed) & set(ours.failed)))
        if failed == theirs.failed:
            return None
        both = zip(ours.entries, theirs.entries, strict=True)
        lines = [mine if n in theirs.failed else first for n, (mine, first) in enumerate(both)]
        return _draft("PUT", id, ours.body, lines, failed)

    return decide


def _draft(method: str, id: str, body: str, lines: Sequence[Line], failed: Sequence[int] = ()) -> Draft:
    def build(version: int, t: int) -> bytes:
        content: json.JsonObject = {"resourceType": RECEIPT, "body": body, "entries": list(lines)}
        if failed:
            content["failed"] = list(failed)
        return json.with_identity(content, id=id, version=version, last_updated=t)

    return Draft(method, build)


def read_receipt(content: bytes, body: str, key: str) -> Receipt:
    """Reads a receipt. Raises IdempotencyKeyReused when it is of another Bundle; CorruptRecord, with `key`."""
    try:
        receipt = _decode(content)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error
    if receipt.body != body:
        raise IdempotencyKeyReused
    return receipt
