"""Aborts multipart uploads that are older than any writer's time: their writer died, or forgot them.

An upload that is not complete is invisible, and costs as much as its parts. No file of a run is sealed once that time
is over (`fhirstore.runs.sealing`); whatever else is uploaded takes much less.

Only the folders that are written by uploads are looked at: what others upload to the bucket is theirs.

Cost: 1 GET, 2 LIST or 1 per 1,000 pending uploads, 1 request per upload that is aborted.
"""

from __future__ import annotations

from fhirstore.commit.idempotent import aborted, uploads_listed
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import AbortUpload, Get, ListUploads, Protocol
from fhirstore.commit.reading import ask
from fhirstore.format.keyspace import Keyspace

_FOLDERS = ("runs/", "bulk/", "binary/")
_PAGES = 50  # of a folder in a pass


def sweep_uploads(keys: Keyspace, *, context: Context, margin: int = 60_000) -> Protocol[int]:
    """Does one pass over the tenant's uploads. Returns how many were aborted. `margin`: ms. Raises Unavailable."""
    (reply,) = yield from ask(Get(keys.run_sweep_state))  # for the store's time
    before = reply.date - context.limits.run - context.limits.apply - margin
    count = 0
    for folder in _FOLDERS:
        count += yield from _sweep(keys.prefix + folder, before)
    return count


def _sweep(prefix: str, before: int) -> Protocol[int]:
    count = 0
    cursor: str | None = None
    for _ in range(_PAGES):
        page = yield from uploads_listed(ListUploads(prefix, cursor))
        for upload in page.uploads:
            if upload.started < before:
                yield from aborted(AbortUpload(upload.key, upload.upload))
                count += 1
        cursor = page.cursor
        if cursor is None:
            break
    return count
