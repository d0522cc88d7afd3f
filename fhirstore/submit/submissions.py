"""The library's face of bulk submit: `clinic.submissions`.

    await clinic.submissions.submit(SubmitRequest(submitter="…|acme", submission_id="1", manifest_url="file:///…", …))
    status = await clinic.submissions.status("…|acme", "1")

A worker (`store.worker()`) does the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fhirstore.batched import batched
from fhirstore.commit.drive import drive
from fhirstore.commit.idempotent import removed, stored
from fhirstore.engine import Engine
from fhirstore.errors import (
    FhirError,
    InvalidResource,
    Issue,
    JobExists,
    NotFound,
    ObjectNotFound,
    SubmissionEnded,
    Unavailable,
    Unsupported,
)
from fhirstore.jobs.lease import compare_and_set
from fhirstore.jobs.state import WAITING
from fhirstore.jobs.tenant import Job, Jobs
from fhirstore.objects.base import IF_ABSENT, IfMatch, ObjectStream
from fhirstore.submit import watches
from fhirstore.submit.bookkeeping import body_of
from fhirstore.submit.keys import SubmissionKeys
from fhirstore.submit.options import SubmitOptions
from fhirstore.submit.position import read_position
from fhirstore.submit.private import private_of
from fhirstore.submit.request import STOPPED, SubmitRequest
from fhirstore.submit.source import Access
from fhirstore.submit.state import RECEIVED, WITHDRAWN, Manifest, Submission, accepted, decode_submission
from fhirstore.submit.status import (
    ManifestStatus,
    SubmissionStatus,
    file_name,
    in_words,
    is_finished,
    manifest_status,
)
from fhirstore.submit.submitters import Mode, Submitter
from fhirstore.submit.summary import OutcomeFile, Summary, decode_summary
from fhirstore.submit.watches import Watch
from fhirstore.submit.work import ACCEPTED_WITHIN
from fhirstore.tenancy import Place

_TRIES = 8
_AT_ONCE = 16


class Submissions:
    """The submissions of one tenant."""

    def __init__(
        self,
        engine: Engine,
        place: Place,
        jobs: Jobs,
        options: SubmitOptions,
        *,
        admit: Callable[[str], None] = lambda submitter: None,
    ) -> None:
        """`admit`: raises AccessDenied where who acts may not do anything for this submitter."""
        self._admit = admit
        self._engine = engine
        self._place = place
        self._jobs = jobs
        self._options = options

    async def submit(self, request: SubmitRequest) -> Submission:
        """Accepts a request. Returns the submission's document; a worker does the rest.

        Commit point: the PUT of the document. Raises UnknownSubmitter, InvalidResource, NotFound, SubmissionEnded,
        ManifestTaken; SourceFailed for a manifestUrl that is refused without a look at it; TooManyJobs; Unsupported
        where references are checked for integrity, since the files of a submission come in any order; Unavailable.
        """
        self._admit(request.submitter)
        request.check()
        submitter = self._options.submitters.find(request.submitter, self._place.tenant)
        mode = request.mode or submitter.mode
        self._check(request, submitter, mode)
        keys = self._keys(request.submitter, request.submission_id)
        private = await self._keep_secrets(request, keys)
        try:
            submission = await self._accepted(request, keys, mode=mode, private=private)
        except Unavailable:  # the document may name them
            raise
        except FhirError:
            await self._forget_secrets(keys, private)
            raise
        if all(one.private != private for one in submission.manifests):  # a request that was repeated
            await self._forget_secrets(keys, private)
        return submission

    async def _accepted(
        self, request: SubmitRequest, keys: SubmissionKeys, *, mode: Mode, private: str | None
    ) -> Submission:
        for _ in range(_TRIES):
            before, etag = await self._document(keys)
            window: int | None = None
            if before is None:
                accepted(_nobody(request, ""), request, mode=mode, private=private, now=0)  # raises what it raises
                job = await self._job(request, keys)
                before = _nobody(request, job.id)
                window = job.metadata.created + ACCEPTED_WITHIN
            now = max(self._place.objects.now(), before.updated + 1)
            after = accepted(before, request, mode=mode, private=private, now=now)
            if after is before:
                return before
            if etag is not None:
                await self._refuse_without_a_job(keys)
            condition = IF_ABSENT if etag is None else IfMatch(etag)
            written = compare_and_set(keys.document, after.encode(), condition, window=window)
            if await drive(written, self._place.objects) is not None:
                await self._wake(after)
                return after
        raise Unavailable("Other requests keep changing this submission; try again later")

    async def status(self, submitter: str, submission_id: str) -> SubmissionStatus:
        """Returns what became of a submission so far. 3 GET, and 1 or 2 for each manifest.

        Raises UnknownSubmitter, NotFound.
        """
        self._admit(submitter)
        self._options.submitters.find(submitter, self._place.tenant)
        keys = self._keys(submitter, submission_id)
        submission = await self._submission(keys)
        try:
            job: Job | None = await self._jobs.at(self._relative(keys))
        except NotFound:
            job = None
        manifests: list[ManifestStatus] = []
        ended = [submission.updated]
        for some in batched(submission.manifests, _AT_ONCE):
            for manifest, summary, undone in await asyncio.gather(*[self._summaries(keys, one) for one in some]):
                manifests.append(manifest_status(manifest, summary, undone))
                ended += [one.ended for one in (summary, undone) if one is not None]
        finished = is_finished(submission, manifests)
        if job is not None and not finished:
            await self._nudge(job, manifests)
        return SubmissionStatus(
            submission.id,
            submission.state,
            finished,
            in_words(submission, manifests, _lines(job, submission, manifests)),
            tuple(manifests),
            max(ended) if finished else self._place.objects.now(),
            () if finished else _failure(job),
            expires_at=None if job is None else job.expires_at,
        )

    # --- polling locations ------------------------------------------------------------------------------------

    async def watch(self, submitter: str, submission_id: str) -> Watch:
        """Makes a polling location for a submission. 1 GET, 1 PUT. Raises UnknownSubmitter, NotFound."""
        self._admit(submitter)
        self._options.submitters.find(submitter, self._place.tenant)
        keys = self._keys(submitter, submission_id)
        await self._submission(keys)
        watch = watches.new_watch(submitter, submission_id)
        await watches.begin(self._place.objects, keys, watch)
        return watch

    async def watched(self, watch: Watch) -> SubmissionStatus:
        """Returns what `status` does, by a polling location. 1 GET more. Raises NotFound where it was deleted."""
        self._admit(watch.submitter)
        await watches.check(self._place.objects, self._keys(watch.submitter, watch.submission_id), watch)
        return await self.status(watch.submitter, watch.submission_id)

    async def unwatch(self, watch: Watch) -> None:
        """Deletes a polling location; the submission goes on. 1 GET, 1 DELETE. Raises NotFound."""
        self._admit(watch.submitter)
        await watches.end(self._place.objects, self._keys(watch.submitter, watch.submission_id), watch)

    async def watched_file(self, watch: Watch, name: str) -> tuple[str, OutcomeFile]:
        """Returns what `file` does, by a polling location. 1 GET more. Raises NotFound."""
        self._admit(watch.submitter)
        await watches.check(self._place.objects, self._keys(watch.submitter, watch.submission_id), watch)
        return await self.file(watch.submitter, watch.submission_id, name)

    # --- files ------------------------------------------------------------------------------------------------

    async def file(self, submitter: str, submission_id: str, name: str) -> tuple[str, OutcomeFile]:
        """Returns the key of a file of OperationOutcomes, and its facts. 2 or 3 GET. Raises NotFound."""
        self._admit(submitter)
        keys = self._keys(submitter, submission_id)
        submission = await self._submission(keys)
        id = name.partition(".")[0]
        for manifest in submission.manifests:
            if manifest.id == id:
                _, summary, undone = await self._summaries(keys, manifest)
                for file in manifest_status(manifest, summary, undone).files:
                    if file_name(id, file) == name:
                        return keys.manifest(id).outcome(file.name), file
        raise NotFound("The submission has no such file")

    def open_file(
        self, key: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[ObjectStream]:
        """Opens bytes [start, end) of a file, by the key that `file` returned. Raises ObjectNotFound on entering,
        NotFound for a key that is none of a submission."""
        if not key.startswith(self._place.keys.submissions):
            raise NotFound("The submission has no such file")
        return self._place.objects.get_stream(key, start=start, end=end)

    # --- requests -------------------------------------------------------------------------------------------

    def _check(self, request: SubmitRequest, submitter: Submitter, mode: Mode) -> None:
        if self._engine.reference_integrity:
            raise Unsupported("Bulk submit is not possible where the integrity of references is checked")
        if mode not in submitter.modes:
            raise InvalidResource("This submitter may not use this import mode", code="forbidden")
        if request.manifest_url is not None and request.status != STOPPED:
            access = Access(submitter, request.headers, request.oauth, request.encryption)
            self._options.sources.check(request.manifest_url, access)

    async def _keep_secrets(self, request: SubmitRequest, keys: SubmissionKeys) -> str | None:
        """Stores the secrets of a request before it is accepted. Returns the name of the object."""
        private = private_of(request)
        if private is None or request.manifest_url is None or request.status == STOPPED:
            return None
        name = self._engine.ids.new()
        await drive(stored(keys.private(name), private.encode()), self._place.objects)
        return name

    async def _forget_secrets(self, keys: SubmissionKeys, name: str | None) -> None:
        if name is not None:
            await drive(removed(keys.private(name)), self._place.objects)

    async def _job(self, request: SubmitRequest, keys: SubmissionKeys) -> Job:
        """Returns the job of a submission without a document: a new one, or one that waits for the document."""
        asked = {"submitter": request.submitter, "submission": request.submission_id}
        prefix = self._relative(keys)
        for _ in range(_TRIES):
            try:
                return await self._jobs.create(self._options.kind, asked, by=request.submitter, prefix=prefix)
            except JobExists:
                pass
            try:
                job = await self._jobs.at(prefix)
            except NotFound:
                continue
            if job.is_live:
                return job
            await self._jobs.remove(job.id)
        raise Unavailable("An earlier submission of this id is being removed; try again later")

    async def _refuse_without_a_job(self, keys: SubmissionKeys) -> None:
        """Raises SubmissionEnded where the submission was given up, so that nobody would process a request."""
        try:
            live = (await self._jobs.at(self._relative(keys))).is_live
        except NotFound:
            live = False
        if not live:
            raise SubmissionEnded("This submission was given up; start another one with a new submissionId")

    async def _wake(self, submission: Submission) -> None:
        try:
            await self._jobs.wake(submission.job)
        except FhirError:  # it looks by itself, somewhat later
            return

    async def _nudge(self, job: Job, manifests: list[ManifestStatus]) -> None:
        """Wakes a job that missed a request."""
        left = any(one.state in (RECEIVED, WITHDRAWN) for one in manifests)
        if left and job.status == WAITING and "seen" in job.work:
            await self._jobs.wake(job.id)

    # --- what is stored -------------------------------------------------------------------------------------

    def _keys(self, submitter: str, submission_id: str) -> SubmissionKeys:
        return SubmissionKeys(self._place.keys.submission(submitter, submission_id))

    def _relative(self, keys: SubmissionKeys) -> str:
        return keys.prefix.removeprefix(self._place.keys.prefix)

    async def _document(self, keys: SubmissionKeys) -> tuple[Submission | None, str | None]:
        try:
            found = await self._place.objects.get(keys.document)
        except ObjectNotFound:
            return None, None
        return decode_submission(found.body, keys.document), found.etag

    async def _submission(self, keys: SubmissionKeys) -> Submission:
        submission, _ = await self._document(keys)
        if submission is None:
            raise NotFound("There is no such submission")
        return submission

    async def _summaries(
        self, keys: SubmissionKeys, manifest: Manifest
    ) -> tuple[Manifest, Summary | None, Summary | None]:
        mine = keys.manifest(manifest.id)
        found: list[Summary | None] = []
        for key in (mine.summary, mine.undone) if manifest.withdrawn else (mine.summary,):
            body = await body_of(self._place.objects, key)
            found.append(None if body is None else decode_summary(body, key))
        return manifest, found[0], found[1] if len(found) > 1 else None


def _nobody(request: SubmitRequest, job: str) -> Submission:
    """Returns the document of a submission that nobody has heard of yet."""
    return Submission(submitter=request.submitter, id=request.submission_id, job=job, created=0, updated=0)


def _lines(job: Job | None, submission: Submission, manifests: list[ManifestStatus]) -> int:
    """Returns how many lines of the manifest that is being read are done."""
    if job is None:
        return 0
    reading = [one.id for one in manifests if one.state == RECEIVED and job.work.get("manifest") == one.id]
    return read_position(job.work, reading[0]).done.lines if reading else 0


def _failure(job: Job | None) -> tuple[Issue, ...]:
    """Returns why nothing more is processed, if the job has ended."""
    if job is not None and job.is_live:
        return ()
    issues = [] if job is None else job.issues
    told = tuple(Issue(str(one.get("code", "exception")), str(one.get("diagnostics", ""))) for one in issues)
    return told or (Issue("exception", "The submission's job has ended; start a new submission"),)
