"""Begins uploads, reads them, and changes their records: each change is one compare-and-set, decided on what is there.

Commit points: of `begin` the PUT IfAbsent, of `change` the PUT IfMatch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fhirstore.commit.backoff import CONTENDED
from fhirstore.commit.idempotent import listed
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, List, Protocol
from fhirstore.commit.reading import ask
from fhirstore.errors import Contention, NotFound, Unavailable
from fhirstore.jobs.lease import compare_and_set, put_once
from fhirstore.objects.base import IF_ABSENT, IfMatch
from fhirstore.transfers.keys import PartKey, UploadKeys, parse_part
from fhirstore.transfers.record import Upload, decode_upload, is_upload_id

NO_UPLOAD = "There is no such upload: it was removed some time after its end, or there never was one"

Decide = Callable[[Upload, int], Upload | None]
"""Returns the next record for the present one and the store's time; None leaves it as it is."""


def begin(keys: UploadKeys, upload: Upload) -> Protocol[None]:
    """Writes the first record. 1 PUT. Raises Unavailable; then it may be there, and expires unused."""
    if (yield from compare_and_set(keys.record(upload.id), upload.encode(), IF_ABSENT)) is None:
        raise Unavailable("Another upload has this id; try again")


def look(keys: UploadKeys, id: str) -> Protocol[tuple[Upload, int]]:
    """Returns the record, and the store's time before it was read. 1 GET.

    Raises NotFound, CorruptRecord, Unavailable.
    """
    if not is_upload_id(id):
        raise NotFound(NO_UPLOAD)
    (reply,) = yield from ask(Get(keys.record(id)))
    if isinstance(reply, Absent):
        raise NotFound(NO_UPLOAD)
    return decode_upload(reply.body, keys.record(id)), reply.date


def change(keys: UploadKeys, id: str, decide: Decide, *, context: Context) -> Protocol[Upload]:
    """Changes the record as `decide` says. Returns it as it is then. 1 GET, 1 PUT where it changes.

    Where another one was quicker, it is decided anew. Raises NotFound, CorruptRecord, Contention, Unavailable.
    """
    key = keys.record(id)
    for n in range(CONTENDED.tries):
        (reply,) = yield from ask(Get(key))
        if isinstance(reply, Absent):
            raise NotFound(NO_UPLOAD)
        upload = decode_upload(reply.body, key)
        new = decide(upload, reply.date)
        if new is None:
            return upload
        if (yield from compare_and_set(key, new.encode(), IfMatch(reply.etag))) is not None:
            return new
        yield CONTENDED.jittered(n, context.ids)
    raise Contention("Others keep changing this upload; try again later")


def note_part(keys: UploadKeys, id: str, part: PartKey) -> Protocol[None]:
    """Notes that the store has a part. 1 PUT. Raises Unavailable."""
    yield from put_once(keys.part(id, part), b"")


def noted_parts(keys: UploadKeys, id: str) -> Protocol[Sequence[PartKey]]:
    """Returns the parts that the store has, in ascending order. 1 LIST per 1,000. Raises Unavailable."""
    found: list[PartKey] = []
    cursor: str | None = None
    while True:
        page = yield from listed(List(keys.parts(id), cursor=cursor))
        found += [part for item in page.objects if (part := parse_part(item.key)) is not None]
        cursor = page.cursor
        if cursor is None:
            return sorted(found, key=lambda part: part.number)


def missing_parts(upload: Upload, found: Sequence[PartKey]) -> list[int]:
    """Returns the numbers of the parts that are still to be sent."""
    there = {part.number for part in found if part.size == upload.part_bytes(part.number)}
    return [number for number in range(1, upload.parts + 1) if number not in there]


def ambiguous_parts(found: Sequence[PartKey]) -> list[PartKey]:
    """Returns the parts that were sent with different contents: the store has the later one, whichever that is."""
    seen: dict[int, int] = {}
    for part in found:
        seen[part.number] = seen.get(part.number, 0) + 1
    return [part for part in found if seen[part.number] > 1]
