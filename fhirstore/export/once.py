"""An object that is written once, and is final."""

from __future__ import annotations

from fhirstore.commit.backoff import UNANSWERED
from fhirstore.commit.messages import Absent, Get, Protocol, Put
from fhirstore.commit.reading import ask
from fhirstore.errors import Unavailable
from fhirstore.objects.base import IF_ABSENT, Written


def put_once(key: str, body: bytes) -> Protocol[bytes]:
    """Writes an object unless it exists: the commit point. Returns the body that is there. Raises Unavailable."""
    for n in range(UNANSWERED.tries):
        (reply,) = yield (Put(key, body, IF_ABSENT),)
        if isinstance(reply, Written):
            return body
        (found,) = yield from ask(Get(key))
        if not isinstance(found, Absent):
            return found.body
        yield UNANSWERED.pause(n)
    raise Unavailable("The object store does not answer; try again later")
