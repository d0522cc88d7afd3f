"""The states of a submission and of its manifests, and the document that holds them.

A submission's document is one object, changed by compare-and-set, by requests alone. What workers find out they write
to objects of their own (`keys`), so that requests and workers never meet.

https://hl7.org/fhir/uv/bulkdata/submit.html
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from fhirstore.errors import CorruptRecord, InvalidResource, ManifestTaken, NotFound, SubmissionEnded
from fhirstore.submit.request import COMPLETED, IN_PROGRESS, STOPPED, SubmitRequest
from fhirstore.submit.submitters import Mode

UNKNOWN = "unknown"
STATES = (UNKNOWN, IN_PROGRESS, COMPLETED, STOPPED)
ADD, REPLACE, COMPLETE, STOP = "add", "replace", "complete", "stop"
EVENTS = (ADD, REPLACE, COMPLETE, STOP)

TABLE: Mapping[tuple[str, str], str] = {
    (UNKNOWN, ADD): IN_PROGRESS,
    (IN_PROGRESS, ADD): IN_PROGRESS,
    (IN_PROGRESS, REPLACE): IN_PROGRESS,
    (IN_PROGRESS, COMPLETE): COMPLETED,
    (IN_PROGRESS, STOP): STOPPED,
}
"""(state, event) → state of a submission. What is not here is refused; completed and stopped are final."""

RECEIVED, PROCESSED, FAILED, WITHDRAWN, UNDONE = "received", "processed", "failed", "withdrawn", "undone"
MANIFEST_STATES = (RECEIVED, PROCESSED, FAILED, WITHDRAWN, UNDONE)
PROCESS, FAIL, WITHDRAW, UNDO = "process", "fail", "withdraw", "undo"
MANIFEST_EVENTS = (PROCESS, FAIL, WITHDRAW, UNDO)

MANIFEST_TABLE: Mapping[tuple[str, str], str] = {
    (RECEIVED, PROCESS): PROCESSED,
    (RECEIVED, FAIL): FAILED,
    (RECEIVED, WITHDRAW): WITHDRAWN,
    (PROCESSED, WITHDRAW): WITHDRAWN,
    (FAILED, WITHDRAW): WITHDRAWN,
    (WITHDRAWN, PROCESS): WITHDRAWN,  # its job had written its last line, and did not know yet
    (WITHDRAWN, FAIL): WITHDRAWN,
    (WITHDRAWN, UNDO): UNDONE,
}
"""(state, event) → state of a manifest. Withdrawn: replaced, or its submission was stopped."""

MOST_MANIFESTS = 1_000


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One manifest as it was submitted. `base`: `fhirBaseUrl`, without a slash at its end. `received`: epoch ms.

    `private`: the name of the object with the secrets of its request; None: it had none.
    """

    id: str
    url: str
    base: str
    received: int
    mode: Mode
    replaces: str | None = None
    oauth: tuple[str, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    private: str | None = None
    withdrawn: bool = False

    @property
    def number(self) -> int:
        """Its number in the submission, from 1."""
        return int(self.id.removeprefix("m"))

    def says_the_same(self, other: Manifest) -> bool:
        """Whether the other one is a repetition of the same request; secrets are not compared."""
        own = {"id": self.id, "received": self.received, "private": self.private, "withdrawn": self.withdrawn}
        return replace(other, **own) == self


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """The document of a submission. Times are epoch ms. `job`: the id of its job."""

    submitter: str
    id: str
    job: str
    created: int
    updated: int
    state: str = UNKNOWN
    manifests: tuple[Manifest, ...] = ()

    def encode(self) -> bytes:
        """Returns the object's body."""
        return msgspec.json.encode(self)

    def manifest(self, url: str) -> Manifest | None:
        """Returns the manifest with this URL."""
        return next((one for one in self.manifests if one.url == url), None)


_decode = msgspec.json.Decoder(Submission).decode


def decode_submission(body: bytes, key: str) -> Submission:
    """Reads a document. Raises CorruptRecord, naming `key`, when the body is none."""
    try:
        return _decode(body)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error


def accepted(before: Submission, request: SubmitRequest, *, mode: Mode, private: str | None, now: int) -> Submission:
    """Returns the document after a request that was checked.

    Returns `before` itself for a repeated request, which changes nothing. Raises SubmissionEnded, NotFound,
    ManifestTaken, InvalidResource.
    """
    if request.status == STOPPED:
        everything = tuple(replace(one, withdrawn=True) for one in before.manifests)
        return replace(before, state=_next(before, STOP), manifests=everything, updated=now)
    after = before
    if request.manifest_url is not None:
        after = _added(after, request, mode=mode, private=private, now=now)
    elif request.replaces is not None:
        after = _withdrawn(after, request.replaces)
    if after is before and request.manifest_url is not None and request.status in (None, IN_PROGRESS, before.state):
        return before
    if request.status == COMPLETED:
        after = replace(after, state=_next(after, COMPLETE))
    elif after is before:
        _next(after, ADD)  # in-progress, said once more: allowed where more may come
    return replace(after, updated=now)


def _next(submission: Submission, event: str) -> str:
    state = TABLE.get((submission.state, event))
    if state is not None:
        return state
    if submission.state == UNKNOWN:
        raise NotFound("There is no such submission; its first request has a manifestUrl")
    raise SubmissionEnded(f"This submission is {submission.state}; start another one with a new submissionId")


def _added(before: Submission, request: SubmitRequest, *, mode: Mode, private: str | None, now: int) -> Submission:
    assert request.manifest_url is not None and request.fhir_base_url is not None  # noqa: S101 - request.check
    known = before.manifest(request.manifest_url)
    manifest = Manifest(
        id=f"m{len(before.manifests) + 1:04d}",
        url=request.manifest_url,
        base=request.fhir_base_url.rstrip("/"),
        received=now,
        mode=mode,
        replaces=request.replaces,
        oauth=request.oauth,
        metadata=request.metadata,
        private=private,
    )
    if known is not None:
        if not known.says_the_same(manifest):
            raise ManifestTaken("manifestUrl is unique within a submission, and this one was submitted before")
        return before
    after = replace(before, state=_next(before, ADD))
    if request.replaces is not None:
        after = _withdrawn(after, request.replaces)
    if len(after.manifests) >= MOST_MANIFESTS:
        raise InvalidResource(f"A submission has at most {MOST_MANIFESTS:,} manifests", code="too-costly")
    return replace(after, manifests=(*after.manifests, manifest))


def _withdrawn(submission: Submission, url: str) -> Submission:
    """Marks the manifest with this URL as replaced."""
    state = _next(submission, REPLACE)
    known = submission.manifest(url)
    if known is None or known.withdrawn:
        told = "replacesManifestUrl is a manifest of this submission that was not replaced before"
        raise InvalidResource(told, code="not-found")
    manifests = tuple(replace(one, withdrawn=True) if one is known else one for one in submission.manifests)
    return replace(submission, state=state, manifests=manifests)
