"""The job of a submission: one job from its first request to its end, paused while there is nothing to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from fhirstore.commit.drive import drive
from fhirstore.commit.idempotent import removed
from fhirstore.engine import Engine
from fhirstore.errors import FhirError, Issue, SourceFailed
from fhirstore.jobs.kind import JobFailed, JobPaused, JobWork
from fhirstore.submit.bookkeeping import body_of
from fhirstore.submit.course import Finish, Read, Undo, Wait, next_step
from fhirstore.submit.ingest import Ingest, NotYet, Withdrawn
from fhirstore.submit.keys import SubmissionKeys
from fhirstore.submit.line import Rules
from fhirstore.submit.options import SubmitOptions
from fhirstore.submit.position import Position, read_position
from fhirstore.submit.private import Private, decode_private
from fhirstore.submit.report import fail
from fhirstore.submit.segment import Counts
from fhirstore.submit.source import Access
from fhirstore.submit.standing import Standing
from fhirstore.submit.state import Manifest, Submission, decode_submission
from fhirstore.submit.submitters import Submitter
from fhirstore.submit.summary import Summary
from fhirstore.submit.tokens import Family, Tokens
from fhirstore.submit.withdrawal import Undoing
from fhirstore.tenancy import Place

ACCEPTED_WITHIN = 60_000
"""Ms in which the request that created the job writes the document of its submission."""

_SOON = 10_000  # ms until the next look after a request
_LATER = 120_000  # ms until the next look otherwise; a request wakes the job at once
_LONGEST_WAIT = 600_000  # ms before a source is asked again


@dataclass(frozen=True, slots=True)
class SubmitJob:
    """The kind of job. Its request is `{"submitter": "system|value", "submission": "…"}`, its place the submission."""

    engine: Engine
    options: SubmitOptions
    lease: int = 10_000
    attempts: int = 5

    @property
    def name(self) -> str:
        return self.options.kind

    @property
    def keep(self) -> int:
        """Ms from the end of a submission to its removal."""
        return self.options.keep

    async def run(self, work: JobWork) -> Mapping[str, object]:
        """Does all there is to do. Raises JobPaused until there is more."""
        standing = Standing(work, self.engine.tagged(work.place))
        try:
            return await _Run(self.engine, self.options, work, standing).to_end()
        finally:
            standing.end()


@dataclass(slots=True)
class _Run:
    """One run of the job. `processed`, `undone`: manifests of which this run knows that they have a summary."""

    engine: Engine
    options: SubmitOptions
    work: JobWork
    standing: Standing
    processed: set[str] = field(default_factory=set)
    undone: set[str] = field(default_factory=set)

    @property
    def place(self) -> Place:
        return self.work.place

    @property
    def keys(self) -> SubmissionKeys:
        return SubmissionKeys(self.work.keys.prefix)

    async def to_end(self) -> Mapping[str, object]:
        """Takes one step after the other."""
        while True:
            submission = await self._submission()
            await self._look_for_summaries(submission)
            step = next_step(
                submission,
                processed=self.processed,
                undone=self.undone,
                waiting=_waiting(self.work.work),
                now=self.work.now(),
            )
            match step:
                case Undo(manifest):
                    await self._undo(submission, manifest)
                case Read(manifest):
                    await self._read(submission, manifest)
                case Wait(until):
                    self._wait(submission, until)
                case Finish():
                    return {"state": submission.state}

    # --- steps ----------------------------------------------------------------------------------------------

    async def _undo(self, submission: Submission, manifest: Manifest) -> None:
        self.work.log("undo", manifest=manifest.id)
        tokens = self._tokens(submission, manifest)
        family = frozenset(self._tokens(submission, one).manifest for one in submission.manifests if one.withdrawn)
        undoing = Undoing(
            self.engine,
            self.place,
            self.standing,
            manifest,
            self.keys.manifest(manifest.id),
            tokens,
            Family(family, tokens.undoing),
            self.options.concurrency,
            self.work.epoch,
            lambda: self.work.checkpoint({**self.work.work, "undoing": manifest.id}),
        )
        summary = await undoing.run()
        await self._forget_secrets(manifest)
        self.work.log(
            "undone",
            manifest=manifest.id,
            restored=summary.counts.updated,
            deleted=summary.counts.deleted,
            kept=summary.kept,
        )
        self.undone.add(manifest.id)

    async def _read(self, submission: Submission, manifest: Manifest) -> None:
        position = read_position(self.work.work, manifest.id)
        self.work.log("read", manifest=manifest.id, file=position.file, line=position.first)

        async def wanted() -> None:
            known = (await self._submission()).manifest(manifest.url)
            if known is None or known.withdrawn:
                raise Withdrawn

        async def progress(at: Position) -> None:
            kept = {"manifest": manifest.id, "position": msgspec.to_builtins(at)}
            others = {id: until for id, until in _waiting(self.work.work).items() if id != manifest.id}
            await self.work.checkpoint({**kept, "waiting": others})

        try:
            submitter = self._submitter(submission)
            access = await self._access(manifest, submitter)
            async with self.options.sources.opening(access) as source:
                ingest = Ingest(
                    engine=self.engine,
                    place=self.place,
                    standing=self.standing,
                    manifest=manifest,
                    keys=self.keys.manifest(manifest.id),
                    tokens=self._tokens(submission, manifest),
                    rules=Rules(
                        self.engine.validator, manifest.base, submission.submitter, manifest.mode, submitter.ids
                    ),
                    source=source,
                    bounds=self.options.bounds,
                    at_once=self.options.concurrency,
                    epoch=self.work.epoch,
                    position=position,
                    patience=manifest.received + self.options.unfinished,
                    last_try=self._tries(manifest) + 1 >= self.options.tries,
                    wanted=wanted,
                    progress=progress,
                )
                summary = await ingest.run()
        except Withdrawn:
            self.work.log("withdrawn", manifest=manifest.id)
        except NotYet as error:
            await self._put_off(manifest, max(1_000, int(error.seconds * 1000)))
        except SourceFailed as error:
            self.work.log("source failed", manifest=manifest.id, code=error.issues[0].code)
            tries = self._tries(manifest)
            if error.again and tries + 1 < self.options.tries:
                await self._put_off(manifest, min(self.options.pause * 2**tries, _LONGEST_WAIT), tries=tries + 1)
                return
            keys, objects = self.keys.manifest(manifest.id), self.place.objects
            await self._is_read(
                manifest, await fail(objects, keys, manifest, error, standing=self.standing, epoch=self.work.epoch)
            )
        else:
            await self._is_read(manifest, summary)

    async def _is_read(self, manifest: Manifest, summary: Summary) -> None:
        await self._forget_secrets(manifest)
        self.work.log("read to its end", manifest=manifest.id, state=summary.state, **_figures(summary.counts))
        self.processed.add(manifest.id)

    def _wait(self, submission: Submission, until: int | None) -> None:
        """Raises JobPaused; JobFailed for a submission that has been idle too long."""
        now = self.work.now()
        if until is not None:
            raise JobPaused(until)
        if now - submission.updated > self.options.idle:
            raise JobFailed(Issue("timeout", "The submission was given up: no request came for a long time"))
        seen = self.work.work.get("seen") == submission.updated
        raise JobPaused(now + (_LATER if seen else _SOON), {**self.work.work, "seen": submission.updated})

    # --- what it needs --------------------------------------------------------------------------------------

    async def _submission(self) -> Submission:
        """Returns the document. Raises JobPaused while the request that writes it is under way; JobFailed."""
        body = await body_of(self.place.objects, self.keys.document)
        if body is not None:
            return decode_submission(body, self.keys.document)
        now = self.work.now()
        if now <= self.work.metadata.created + ACCEPTED_WITHIN + self.work.context.limits.apply:
            raise JobPaused(now + 1_000)
        raise JobFailed(Issue("incomplete", "The submission's first request was not completed"))

    async def _look_for_summaries(self, submission: Submission) -> None:
        """Also removes secrets that an earlier run did not come to: it died behind the summary."""
        for manifest in submission.manifests:
            keys = self.keys.manifest(manifest.id)
            known, key = (self.undone, keys.undone) if manifest.withdrawn else (self.processed, keys.summary)
            if manifest.id not in known and await body_of(self.place.objects, key) is not None:
                await self._forget_secrets(manifest)
                known.add(manifest.id)

    def _submitter(self, submission: Submission) -> Submitter:
        """Returns the submitter's configuration as it is now. Raises SourceFailed if it was removed."""
        try:
            return self.options.submitters.find(submission.submitter, self.place.tenant)
        except FhirError as error:
            raise SourceFailed("The submitter is not configured any more", code="forbidden") from error

    async def _access(self, manifest: Manifest, submitter: Submitter) -> Access:
        private = Private()
        if manifest.private is not None:
            key = self.keys.private(manifest.private)
            body = await body_of(self.place.objects, key)
            private = Private() if body is None else decode_private(body, key)
        return Access(submitter, private.headers, manifest.oauth, private.key)

    async def _forget_secrets(self, manifest: Manifest) -> None:
        if manifest.private is not None:
            await drive(removed(self.keys.private(manifest.private)), self.place.objects)

    def _tokens(self, submission: Submission, manifest: Manifest) -> Tokens:
        return Tokens.of(submission.submitter, submission.id, submission.job, manifest.number)

    async def _put_off(self, manifest: Manifest, ms: int, *, tries: int | None = None) -> None:
        """Notes that a manifest cannot be read before some time."""
        waiting = {**_waiting(self.work.work), manifest.id: self.work.now() + ms}
        counted = {**_numbers(self.work.work.get("tries"))}
        if tries is not None:
            counted[manifest.id] = tries
        await self.work.checkpoint({**self.work.work, "waiting": waiting, "tries": counted})

    def _tries(self, manifest: Manifest) -> int:
        """How often in a row its source failed."""
        return _numbers(self.work.work.get("tries")).get(manifest.id, 0)


def _waiting(work: Mapping[str, object]) -> dict[str, int]:
    return _numbers(work.get("waiting"))


def _numbers(kept: object) -> dict[str, int]:
    return (
        {str(name): number for name, number in kept.items() if isinstance(number, int)}
        if isinstance(kept, dict)
        else {}
    )


def _figures(counts: Counts) -> dict[str, int]:
    return {str(name): number for name, number in msgspec.to_builtins(counts).items()}
