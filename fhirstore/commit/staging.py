"""Batches in stages, for stores that decide each request by itself.

A protocol that needs nothing from the replies between two round trips yields both as one batch: the PUTs, and last a
PUT that `follows` them. A store that `decides_together` performs the whole batch in one database transaction, at half
the price. For every other store `in_stages` splits the batch: the last PUT is sent when all others were written.
"""

from __future__ import annotations

from fhirstore.commit.messages import NOT_SENT, Batch, Pause, Protocol, Put, Replies, Result
from fhirstore.errors import FhirStoreError
from fhirstore.objects.base import Written


def in_stages(protocol: Protocol[Result]) -> Protocol[Result]:
    """The same protocol, in which a PUT that follows others is a batch of its own, yielded when those were written."""
    try:
        batch: Batch = next(protocol)
        while True:
            replies: Replies = ()
            try:
                if not isinstance(batch, Pause) and len(batch) > 1 and isinstance(batch[-1], Put) and batch[-1].follows:
                    replies = yield batch[:-1]
                    written = all(isinstance(reply, Written) for reply in replies)
                    replies += (yield batch[-1:]) if written else (NOT_SENT,)
                else:
                    replies = yield batch
            except FhirStoreError as error:  # raised into the protocol by whoever drives it
                batch = protocol.throw(error)
                continue
            batch = protocol.send(replies)
    except StopIteration as end:
        result: Result = end.value
        return result
