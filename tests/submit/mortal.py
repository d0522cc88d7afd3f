"""A store whose client dies at a chosen request, and runs of a submission's job that end there and go on afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from fhirstore.clock import SystemIds
from fhirstore.commit.limits import Context, Limits
from fhirstore.engine import Engine
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.validation import Validator
from fhirstore.format.keyspace import JobKeys, Keyspace
from fhirstore.jobs.kind import JobFile, JobPaused
from fhirstore.jobs.metadata import JobMetadata
from fhirstore.jobs.pace import Pacer
from fhirstore.objects.base import Condition, Page, PutAnswer, PutRequest, StoredObject, Written
from fhirstore.objects.facts import Facts, Progress
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.parallel_puts import put_answered
from fhirstore.submit.options import SubmitOptions
from fhirstore.submit.state import Submission
from fhirstore.submit.work import SubmitJob
from fhirstore.tenancy import Place
from tests.submit.providing import ACME

LIMITS = Limits(window=30, apply=5)
_VALIDATOR = Validator(definitions(), "structure")
_R = TypeVar("_R")


class Dead(BaseException):
    """The process is gone."""


class Mortal(MemoryStore):
    """`left`: requests until it dies; None: it lives. `after`: the last request is applied, but nobody hears of it."""

    def __init__(self) -> None:
        super().__init__()
        self.left: int | None = None
        self.after = False
        self.requests = 0

    def _step(self) -> bool:
        """Counts a request. Returns whether it is applied and then nobody hears of it."""
        self.requests += 1
        if self.left is None:
            return False
        self.left -= 1
        if self.left < 0 or (self.left == 0 and not self.after):
            self.left = 0
            raise Dead
        return self.left == 0

    async def get(self, key: str) -> StoredObject:
        last = self._step()
        found = await super().get(key)
        return self._heard(found, last)

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        last = self._step()
        return self._heard(await super().put(key, body, condition=condition, expires=expires, facts=facts), last)

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        return [await put_answered(self, put) for put in puts]

    async def delete_many(self, keys: Sequence[str]) -> None:
        last = self._step()
        await super().delete_many(keys)
        self._heard(None, last)

    async def list(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        cursor: str | None = None,
        delimiter: bool = False,
        limit: int = 1000,
    ) -> Page:
        last = self._step()
        most = 2 if "/bulk/" in prefix else limit  # so that listings have pages
        page = await super().list(prefix, start_after=start_after, cursor=cursor, delimiter=delimiter, limit=most)
        return self._heard(page, last)

    async def put_stream(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        facts: Facts | None = None,
        part_size: int = 8 * 1024 * 1024,
        concurrency: int = 4,
        progress: Progress | None = None,
    ) -> Written:
        last = self._step()
        return self._heard(await super().put_stream(key, chunks, facts=facts), last)

    def _heard(self, answer: _R, last: bool) -> _R:
        if last:
            raise Dead
        return answer


@dataclass(slots=True)
class Work:
    """A job's run, as `fhirstore.jobs.run` makes it, with the state in `kept`."""

    place: Place
    context: Context
    keys: JobKeys
    metadata: JobMetadata
    work: Mapping[str, object]
    epoch: int
    kept: dict[str, Mapping[str, object]]
    expires: int = field(default=9_999_999_999_999)
    pacer: Pacer = field(default_factory=lambda: Pacer(lambda: (0, 0)))

    def now(self) -> int:
        return self.place.objects.now()

    async def checkpoint(self, work: Mapping[str, object]) -> None:
        await self.place.objects.put(self.keys.state, b"{}")
        self.work = self.kept["work"] = work

    async def progress(self, name: str) -> Mapping[str, object] | None:
        raise NotImplementedError

    async def put_progress(self, name: str, body: Mapping[str, object]) -> None:
        raise NotImplementedError

    async def add_file(self, file: JobFile) -> None:
        raise NotImplementedError

    def log(self, event: str, **fields: str | int | float | bool | None) -> None:
        """Nobody reads it."""


@dataclass(slots=True)
class Mortals:
    """Runs of one submission's job, each by a new process, on one store."""

    store: Mortal
    options: SubmitOptions
    epoch: int = 0
    kept: dict[str, Mapping[str, object]] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        return Place("default", self.store, Keyspace("default/"))

    @property
    def prefix(self) -> str:
        return self.place.keys.submission(ACME, "s1")

    async def put(self, submission: Submission) -> None:
        """Writes the submission's document."""
        await self.store.put(f"{self.prefix}submission.json", submission.encode())

    def engine(self) -> Engine:
        """What a new process has."""
        return Engine(limits=LIMITS, validator=_VALIDATOR)

    async def run(self, *, dies_at: int | None = None, after: bool = False) -> bool:
        """One run. Returns whether it lived to its end: there was nothing left to do. `dies_at`: its last request."""
        self.epoch += 1
        engine = self.engine()
        metadata = JobMetadata(kind="submit", id="job", created=self.store.now(), request={})
        context = Context(self.store.now, SystemIds(), LIMITS)
        work = Work(
            self.place, context, JobKeys(self.prefix), metadata, self.kept.get("work", {}), self.epoch, self.kept
        )
        self.store.left, self.store.after = dies_at, after
        try:
            await SubmitJob(engine, self.options).run(work)
        except JobPaused:
            return True
        except Dead:
            return False
        finally:
            await engine.settle()
            self.store.left = None
        return True

    async def to_end(self) -> None:
        """Runs until there is nothing left to do."""
        async with asyncio.timeout(60):
            while not await self.run():
                pass
