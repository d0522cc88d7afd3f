"""Requests that do no harm when they are sent twice: sent again, with growing pauses, until the store answers.

`reading.ask` does so for GETs. Conditional PUTs never come here: what became of one is found out by reading back.
"""

from __future__ import annotations

from fhirstore.commit.messages import Delete, Deleted, List, Pause, Protocol, Put
from fhirstore.errors import Unavailable
from fhirstore.objects.base import Page, Written

_TRIES = 6


def listed(request: List) -> Protocol[Page]:
    """One page of a listing. Raises Unavailable."""
    for n in range(_TRIES):
        (reply,) = yield (request,)
        if isinstance(reply, Page):
            return reply
        yield Pause(0.05 * 2**n)
    raise Unavailable("The object store does not answer; try again later")


def stored(key: str, body: bytes) -> Protocol[None]:
    """PUT an object that nobody else writes. Raises Unavailable: it may be there or not."""
    for n in range(_TRIES):
        (reply,) = yield (Put(key, body),)
        if isinstance(reply, Written):
            return
        yield Pause(0.05 * 2**n)
    raise Unavailable("The object store does not answer; try again later")


def removed(*keys: str) -> Protocol[None]:
    """DELETE up to 1,000 objects whose keys can never come into use again. Raises Unavailable: some may be left."""
    for n in range(_TRIES):
        (reply,) = yield (Delete(keys),)
        if isinstance(reply, Deleted):
            return
        yield Pause(0.05 * 2**n)
    raise Unavailable("The object store does not answer; what was to be removed may be left; do it again")
