"""What a kind of job is, and what its work may do with the job while it runs.

`run` shares the event loop with the requests of the server: it must await often, go by `JobWork.pacer`, and steps that
take more than some milliseconds of CPU go to a thread (`fhirstore.threads.in_thread`). It may be ended at any await: by
LeaseLost, by a cancelled job, by the end of the process. The next run, perhaps in another process, begins with the work
of the last checkpoint, and may overlap with what a stopped process still writes: so keys of files carry the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from fhirstore.commit.limits import Context
from fhirstore.errors import FhirStoreError, Issue
from fhirstore.format.keyspace import JobKeys
from fhirstore.jobs.metadata import JobMetadata
from fhirstore.jobs.pace import Pacer
from fhirstore.tenancy import Place

DAY = 86_400_000


class JobFailed(FhirStoreError):
    """Raised by `run`: the job fails for good, for these reasons. They are shown to clients."""

    def __init__(self, *issues: Issue) -> None:
        super().__init__("; ".join(issue.diagnostics for issue in issues))
        self.issues = issues


class JobPaused(FhirStoreError):
    """Raised by `run`: there is nothing to do before `until`, epoch ms of the store's time, or until the job is woken.

    `work`: as in `checkpoint`; None keeps it. A paused job counts as queued.
    """

    def __init__(self, until: int, work: Mapping[str, object] | None = None) -> None:
        super().__init__("paused")
        self.until = until
        self.work = work


class JobFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file of a job. `size`, `sha256`: of the bytes as stored; `count`: lines; `milliseconds`: that writing took.

    `name` is unique in the job: of two records with one name the later counts. `failures`: tries that failed before.
    """

    name: str
    key: str
    size: int
    sha256: str
    count: int | None = None
    raw_size: int | None = None
    encoding: str | None = None
    content_type: str | None = None
    tags: Mapping[str, str] = {}
    milliseconds: int | None = None
    failures: int = 0


class JobWork(Protocol):
    """A job while it runs: its facts, and the writes that end with LeaseLost once another owner has it.

    `work`: of the last checkpoint before this run. `epoch`: of this run; higher than that of any run before.
    `expires`: when the lease ends unless it is renewed, epoch ms of the store's time. `pacer`: of the worker's jobs.
    """

    place: Place
    context: Context
    keys: JobKeys
    metadata: JobMetadata
    work: Mapping[str, object]
    epoch: int
    pacer: Pacer

    @property
    def expires(self) -> int: ...

    def now(self) -> int:
        """Returns the store's time, epoch ms."""
        ...

    async def checkpoint(self, work: Mapping[str, object]) -> None:
        """Stores the work done so far, renews the lease and resets the count of attempts. 1 PUT.

        Raises LeaseLost: then `run` must stop; Unavailable.
        """
        ...

    async def progress(self, name: str) -> Mapping[str, object] | None:
        """Returns a progress object and makes it this run's, so that an older run can write it no more. None if absent.

        1 GET, and 1 PUT where an older run wrote it. Raises LeaseLost if a newer run has it; CorruptRecord.
        """
        ...

    async def put_progress(self, name: str, body: Mapping[str, object]) -> None:
        """Writes a progress object by compare-and-set. 1 PUT, and for the first time 1 GET. Raises LeaseLost."""
        ...

    async def add_file(self, file: JobFile) -> None:
        """Records a file that was written, for the list of the job's files. 1 PUT."""
        ...

    def log(self, event: str, **fields: str | int | float | bool | None) -> None:
        """Adds a line to the job's log, which is written every few seconds. No data of a patient may be in it."""
        ...


class JobKind(Protocol):
    """One kind of job. `name`: 1 to 20 lower-case letters. `lease`: ms, how long a dead worker blocks the job.

    `attempts`: runs in a row that may end without a checkpoint before the job fails. `keep`: ms from the end to the
    removal of the job with its files; None for ever; a member `expires_at` of its work (epoch ms) takes precedence.
    """

    @property
    def name(self) -> str: ...
    @property
    def lease(self) -> int: ...
    @property
    def attempts(self) -> int: ...
    @property
    def keep(self) -> int | None: ...

    async def run(self, work: JobWork) -> Mapping[str, object]:
        """Does the job, from its last checkpoint on. Returns the work of the completed job.

        JobFailed fails it, JobPaused pauses it; after any other error it is tried again, with growing waits.
        """
        ...
