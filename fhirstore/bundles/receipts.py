"""Receipts: what a Bundle that came with an Idempotency-Key was answered, so that it is done once.

The receipt of a transaction is one more part of the transaction itself, a record under `resources/Receipt/{id}/` whose
id derives from the tenant and the key. So it comes to be at the very commit point of the transaction
(`tx/{txid}.json`), or not at all: there is no moment at which a crash leaves a transaction without its receipt. Of two
transactions with one key that run side by side, on whatever nodes, at most one commits, since both want to make
version 1 of the same receipt; the other starts over, finds it there, and gives the first one's answer.

The receipt of a batch is written when its entries are done, and again when more of them are (see `idempotency`). A key
that comes with another body is refused.

`Receipt` is no FHIR type, so no interaction reaches it, and histories leave it out.

Its content has, besides what every record's has, `"body":"<sha256 of the Bundle>"`,
`"entries":[["Patient","01K…",1,true],null,…]`: per entry the type, id and version of what it wrote or found, and
whether it was brought into being; null where it wrote nothing or read; and, for a batch, `"failed":[3,…]`: the entries
that are yet to be done.
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
"""What one entry came to: type, id, version id, brought into being."""


class Receipt(msgspec.Struct, frozen=True):
    """`body`: SHA-256 of the Bundle, hex. `failed`: indices of the entries of a batch whose `entries` say nothing."""

    body: str
    entries: tuple[Line, ...]
    failed: tuple[int, ...] = ()


class AlreadyDone(Exception):
    """There is a receipt by now: somebody was quicker."""


_decode = msgspec.json.Decoder(Receipt).decode


def receipt_keys(keys: Keyspace, tenant: str, key: str) -> ResourceKeys:
    """Where the receipt for an Idempotency-Key is."""
    return keys.resource(RECEIPT, resources.id_for_key(tenant, RECEIPT, key))


def digest(bundle: json.JsonObject) -> str:
    """The Bundle as a receipt knows it: white space outside of strings does not count."""
    return hashlib.sha256(json.encode(bundle)).hexdigest()


def writing(id: str, body: str, lines: Sequence[Line]) -> Decide:
    """The receipt's part in a transaction. `lines` is looked at when the other parts know their versions.

    Raises AlreadyDone.
    """

    def decide(current: Record | None) -> Draft:
        if current is not None:
            raise AlreadyDone
        return _draft("POST", id, body, lines)

    return decide


def adding(id: str, key: str, ours: Receipt) -> Decide:
    """What a batch came to this time; what there is a line of already stays. `key`: of the receipt, for errors.

    Raises IdempotencyKeyReused, CorruptRecord.
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
    """Raises IdempotencyKeyReused when it is another Bundle's; CorruptRecord, naming `key`."""
    try:
        receipt = _decode(content)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error
    if receipt.body != body:
        raise IdempotencyKeyReused
    return receipt
