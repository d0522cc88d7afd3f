"""Objects of a submission as they are read. How they are written: `jobs.lease`, for whoever owns the job."""

from __future__ import annotations

from fhirstore.commit.drive import drive
from fhirstore.commit.messages import Absent, Get
from fhirstore.commit.reading import ask
from fhirstore.objects.base import ObjectStore


async def body_of(objects: ObjectStore, key: str) -> bytes | None:
    """Returns an object's body; None where there is none. 1 GET. Raises Unavailable."""
    (reply,) = await drive(ask(Get(key)), objects)
    return None if isinstance(reply, Absent) else reply.body
