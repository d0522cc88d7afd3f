"""Fences: how a writer shuts out another one that may be dead.

Nobody can tell by waiting whether a writer is dead, and clocks are not trusted. So the protocol makes sure instead: it
writes the record in `current.json` again, with a new nonce, If-Match on the ETag it had. Readers see no change. But
the ETag is another, and ETags never recur, so no attempt that builds on the old one can commit any more.

| who | what it fences |
|---|---|
| a single write (`abandoned`) | the owner of the slot that it needs |
| a claim (`claim`) | the one attempt that the claim names |
| a transaction (`intents`, `finishing`) | itself: it takes its intent back under a new nonce |
| the sweeper, fsck | every attempt on a resource that it repairs, and new ones until its `hold` is over |

A purge needs no fence of its own: its commit point replaces `current.json`.
"""

from __future__ import annotations

from msgspec.structs import replace

from fhirstore.commit.attempt import Base
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Put
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.record import Record


def fence(keys: ResourceKeys, base: Base, context: Context) -> Put:
    """Returns the PUT that makes every attempt on `base` unable to commit. `base` must have been read just now.

    Where there is no `current.json`, it writes a stub.
    """
    nonce = context.ids.new()
    record = base.record or Record.stub(nonce)
    # It has a write window of its own: the attempt's may be over by now, and a fence carries no time.
    expires = context.now() + context.limits.window
    return Put(keys.current, record.fenced(nonce).encode(), base.unchanged, expires)


def with_hold(record: Record | None, nonce: str, until: int) -> Record:
    """Returns the record (None: a stub) as a fence on which no attempt may build before `until`.

    `until`: epoch ms on the store's clock. A longer hold in the record stays.
    """
    record = record or Record.stub(nonce)
    return replace(record, hold=max(record.hold, until), fence=nonce)


def rolled_back(current: Record, context: Context) -> Record:
    """Returns the version that was there before the intent, fenced, so that its earlier ETag does not recur."""
    return current.without_intent().fenced(context.ids.new())
