"""Idempotent requests: LIST, DELETE, unconditional PUT. They are sent again, with growing waits, until one is answered.

`reading.ask` does this for GET. A conditional PUT is never sent from here: what became of it is settled by reading.
"""

from __future__ import annotations

from typing import TypeVar

from fhirstore.commit.backoff import UNANSWERED
from fhirstore.commit.messages import (
    AbortUpload,
    Delete,
    Deleted,
    List,
    ListUploads,
    Protocol,
    Put,
    Request,
    Unreadable,
)
from fhirstore.errors import StoreDamaged, Unavailable
from fhirstore.objects.base import Page, Written
from fhirstore.objects.facts import Facts
from fhirstore.objects.uploads import UploadPage

_SILENT = "The object store does not answer; try again later"
_LEFT = "The object store does not answer; what was to be removed may be left; do it again"
_Answer = TypeVar("_Answer")


def listed(request: List) -> Protocol[Page]:
    """Returns one page of a listing. Raises Unavailable, StoreDamaged."""
    return (yield from _answered(request, Page, _SILENT))


def uploads_listed(request: ListUploads) -> Protocol[UploadPage]:
    """Returns one page of pending uploads. Raises Unavailable."""
    return (yield from _answered(request, UploadPage, _SILENT))


def aborted(request: AbortUpload) -> Protocol[None]:
    """Aborts a multipart upload. Raises Unavailable; then it may be left."""
    yield from _answered(request, Deleted, _LEFT)


def stored(key: str, body: bytes, facts: Facts | None = None) -> Protocol[None]:
    """PUTs an object that nobody else writes. Raises Unavailable; then the object may exist or not."""
    yield from _answered(Put(key, body, facts=facts), Written, _SILENT)


def stored_once(key: str, body: bytes, facts: Facts | None, *, expires: int) -> Protocol[None]:
    """Does the same with facts, and until `expires` (epoch ms on the store's clock): not after that is it written."""
    yield from _answered(Put(key, body, expires=expires, facts=facts), Written, _SILENT)


def removed(*keys: str) -> Protocol[None]:
    """DELETEs up to 1,000 objects whose keys are never used again. Raises Unavailable; then some may be left."""
    yield from _answered(Delete(keys), Deleted, _LEFT)


def removed_below(prefix: str, *, but: str) -> Protocol[int]:
    """DELETEs all objects below a prefix except the one with the key `but`. Returns how many.

    1 LIST and 1 DELETE per 1,000 objects. Raises Unavailable, StoreDamaged; then some may be left.
    """
    count = 0
    cursor: str | None = None
    while True:
        page = yield from listed(List(prefix, cursor=cursor))
        gone = [item.key for item in page.objects if item.key != but]
        if gone:
            yield from removed(*gone)
        count += len(gone)
        cursor = page.cursor
        if cursor is None:
            return count


def _answered(request: Request, answer: type[_Answer], silent: str) -> Protocol[_Answer]:
    for n in range(UNANSWERED.tries):
        (reply,) = yield (request,)
        if isinstance(reply, answer):
            return reply
        if isinstance(reply, Unreadable):
            raise StoreDamaged(request.prefix if isinstance(request, List) else "", reply.detail, resume=reply.resume)
        yield UNANSWERED.pause(n)
    raise Unavailable(silent)
