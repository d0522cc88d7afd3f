"""What S3 does with a request that reached it, at one instant, and what it answers.

ETags are those of equal bodies: the first body is `e1`, every other body gets the next number, the same body the same
one, so ABA behaves as on S3; or opaque, as with SSE-KMS: every PUT gets the next number. Keys are listed in the order
of their bytes, or as SeaweedFS does, folder by folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from fhirstore.commit.messages import (
    AbortUpload,
    Absent,
    Delete,
    Deleted,
    Digest,
    Digested,
    Get,
    List,
    ListUploads,
    Put,
    Refused,
    Reply,
    Request,
)
from fhirstore.objects.base import IfAbsent, Listed, Page, StoredObject, Written
from fhirstore.objects.uploads import PendingUpload, UploadPage
from tests.simulation.model.uploads import BeginUpload, CompleteUpload, Pending, PutPart
from tests.simulation.model.world import World

Observer = Callable[[str, bytes | None, bytes | None], None]
"""Is told of every change the moment before it is made: key, body before, body after; None is absent."""

_DELETED, _REFUSED = Deleted(), Refused()
_UPLOADING = (BeginUpload, PutPart, CompleteUpload)


@dataclass(frozen=True, slots=True)
class Kept:
    """An object as it lies in the bucket; `modified` in epoch ms."""

    body: bytes
    etag: str
    modified: int


class Bucket:
    """All objects. `changes`: how often one was written or deleted. `resolution`: answers carry a date of that many ms
    (S3 states whole seconds).
    """

    def __init__(self, world: World, *, resolution: int = 1, tree_order: bool = False, opaque: bool = False) -> None:
        self.objects: dict[str, Kept] = {}
        self.uploads: dict[str, Pending] = {}  # by the upload's id
        self._begun = 0
        self.observer: Observer | None = None
        self._world = world
        self._resolution = resolution
        self._tree_order = tree_order
        self._opaque = opaque
        self._etags: dict[bytes, str] = {}
        self.changes = 0

    def apply(self, request: Request) -> Reply:
        """Decide and do it now."""
        if isinstance(request, Get):
            kept = self.objects.get(request.key)
            return Absent(self._date()) if kept is None else StoredObject(kept.body, kept.etag, self._date())
        if isinstance(request, Put):
            return self._upload(request) if isinstance(request, _UPLOADING) else self._put(request)
        if isinstance(request, Delete):
            return self._delete(request)
        if isinstance(request, ListUploads):
            return self._list_uploads(request)
        if isinstance(request, Digest):
            kept = self.objects.get(request.key)
            return Absent(self._date()) if kept is None else Digested(hashlib.sha256(kept.body).hexdigest())
        if isinstance(request, AbortUpload):
            self.uploads.pop(request.upload, None)
            return _DELETED
        if isinstance(request, List):
            return self._list(request)
        raise TypeError(f"{request!r} is not for a bucket")

    def _date(self) -> int:
        """What the clock showed when the request was decided. The object stores promise no later one."""
        return int(self._world.time // self._resolution) * self._resolution

    def _put(self, request: Put) -> Reply:
        key, condition = request.key, request.condition
        kept = self.objects.get(key)
        if condition is not None:
            if isinstance(condition, IfAbsent):
                if kept is not None:
                    return _REFUSED
            elif kept is None or kept.etag != condition.etag:
                return _REFUSED
        body = request.body
        if self.observer is not None:
            self.observer(key, None if kept is None else kept.body, body)
        self.changes += 1
        etag = f"o{self.changes}" if self._opaque else self._etags.setdefault(body, f"e{len(self._etags) + 1}")
        self.objects[key] = Kept(body, etag, int(self._world.time))
        return Written(etag, self._date())

    def _upload(self, request: BeginUpload | PutPart | CompleteUpload) -> Reply:
        if isinstance(request, BeginUpload):
            self._begun += 1
            upload = f"u{self._begun}"
            self.uploads[upload] = Pending(request.key, int(self._world.time))
            return Written(upload, self._date())
        pending = self.uploads.get(request.upload)
        if pending is None:
            return _REFUSED
        if isinstance(request, PutPart):
            pending.parts[request.number] = request.body
            return Written(f"{request.upload}-{request.number}", self._date())
        del self.uploads[request.upload]
        body = b"".join(pending.parts[number] for number in range(1, request.number + 1))
        return self._put(Put(request.key, body))

    def _list_uploads(self, request: ListUploads) -> UploadPage:
        found = [
            PendingUpload(pending.key, upload, pending.started)
            for upload, pending in sorted(self.uploads.items())
            if pending.key.startswith(request.prefix) and upload > (request.cursor or "")
        ]
        return UploadPage(tuple(found[:2]), found[1].upload if len(found) > 2 else None)

    def _delete(self, request: Delete) -> Reply:
        for key in request.keys:
            kept = self.objects.get(key)
            if kept is not None:
                if self.observer is not None:
                    self.observer(key, kept.body, None)
                del self.objects[key]
                self.changes += 1
        return _DELETED

    def _order(self, key: str) -> tuple[str, ...]:
        return tuple(key.split("/")) if self._tree_order else (key,)

    def _list(self, request: List) -> Reply:
        behind = request.cursor or request.start_after
        objects: list[Listed] = []
        prefixes: list[str] = []
        last = ""
        for key in sorted((key for key in self.objects if key.startswith(request.prefix)), key=self._order):
            if behind is not None and (self._order(key) <= self._order(behind) or _below(key, behind)):
                continue
            slash = key.find("/", len(request.prefix)) if request.delimiter else -1
            item = key[: slash + 1] if slash >= 0 else key
            if item == last:
                continue
            if len(objects) + len(prefixes) == request.limit:
                return Page(tuple(objects), tuple(prefixes), last)
            last = item
            if slash >= 0:
                prefixes.append(item)
            else:
                kept = self.objects[key]
                objects.append(Listed(key, len(kept.body), kept.etag, kept.modified))
        return Page(tuple(objects), tuple(prefixes), None)


def opaque_etags(round: int) -> bool:
    """Whether the ETags of a schedule are opaque: in one of three rounds of seeds, a round being one of each shape."""
    return round % 3 == 1


def _below(key: str, folder: str) -> bool:
    """A rolled-up folder is behind us with all that is in it."""
    return folder.endswith("/") and key.startswith(folder)
