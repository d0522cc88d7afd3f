"""`python -m tests.submit.killing --lines 100000 --kills 12 --store embedded`: workers are killed in a submission.

A provider's files hold lines of all kinds, 1 % of them bad; processes take the submission over, one after the other,
each killed with SIGKILL at a random instant. At the end the counts, the outcomes, every version of every resource are
compared with what the files say; a second time, with other kills, everything must be the same; and when the submission
is stopped, again under kills, every resource must be gone.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from fhirstore.commit.limits import Limits
from fhirstore.errors import Gone
from fhirstore.objects import S3Options
from fhirstore.store import FhirStore
from fhirstore.submit.lines import Bounds
from fhirstore.submit.status import SubmissionStatus
from fhirstore.submit.work import SubmitJob
from fhirstore.tenant import TenantStore
from tests.submit.providing import ACME, Folder, options, outcomes, patient, request

LIMITS = Limits(window=1_000, apply=300)
LEASE = 1_500
_FILES = 4
_BAD: tuple[bytes, ...] = (
    b'{"resourceType":"Patient","id":"bad","gender":"unheard-of"}',
    b'{"resourceType":"Patient","id":"bad",',
    b'{"resourceType":"Nothing","id":"bad"}',
    b'{"resourceType":"Patient"}',
)


@dataclass(slots=True)
class Expected:
    """What the files say. `versions`: by id, the marks of its lines in their order. `bad`: (file, line)."""

    lines: int = 0
    versions: dict[str, list[str]] = field(default_factory=dict)
    bad: set[tuple[str, int]] = field(default_factory=set)


def provide(folder: Folder, lines: int, *, seed: int) -> tuple[str, Expected]:
    """Writes the files and their manifest. One in ten lines is for a resource that another line is for, too."""
    chance, expected, files = random.Random(seed), Expected(lines=lines), []
    for number in range(_FILES):
        some = lines // _FILES + (number < lines % _FILES)
        url = folder.write(f"f{number}.ndjson", _lines(number, some, chance, expected))
        files.append(("Patient", url, some))
    return folder.manifest("all.json", files), expected


def _lines(file: int, count: int, chance: random.Random, expected: Expected) -> Iterator[object]:
    known = list(expected.versions)
    for line in range(1, count + 1):
        if line % 100 == 50:
            expected.bad.add((f"f{file}.ndjson", line))
            yield _BAD[line // 100 % len(_BAD)]
            continue
        again = known and chance.random() < 0.1
        id_ = chance.choice(known) if again else f"p{file}-{line}"
        if not again:
            known.append(id_)
        mark = f"{file}-{line}"
        expected.versions.setdefault(id_, []).append(mark)
        yield patient(id_, name=[{"family": mark}], birthDate="2000-01-01")


@asynccontextmanager
async def opened(location: str, folder: Path, segment: int) -> AsyncIterator[FhirStore]:
    """The store there, with the submitter of the tests."""
    endpoint = os.environ.get("FHIRSTORE_S3_ENDPOINT_URL")
    s3 = S3Options(endpoint_url=endpoint, allow_http=True) if endpoint else None
    submit = options(folder, bounds=Bounds(lines=segment), concurrency=32)
    async with FhirStore.open(location, s3=s3, limits=LIMITS, submit_options=submit) as store:
        yield store


async def work(location: str, folder: Path, segment: int) -> None:
    """What each process does until it is killed."""
    async with opened(location, folder, segment) as store:
        kinds = [replace(job, lease=LEASE, attempts=1_000) for job in store._job_kinds() if isinstance(job, SubmitJob)]
        await store.worker(kinds=kinds, poll=0.1).run(asyncio.Event())


class Workers:
    """One process after the other, each killed after a while."""

    def __init__(self, location: str, folder: Path, segment: int, chance: random.Random) -> None:
        self._command = [sys.executable, "-m", "tests.submit.killing", "--work", location, str(folder), str(segment)]
        self._chance = chance
        self.kills = 0

    async def until(
        self, clinic: TenantStore, *, kills: int, pause: float, ready: float | None = None
    ) -> SubmissionStatus:
        """Kills so many, each some time after it has got on, then lets one work to the end.

        `pause`: seconds that each has for that on average; counted from `ready` seconds after its start where nobody
        can see how far it is.
        """
        status: SubmissionStatus | None = None
        while status is None or not _is_done(status):
            process = await asyncio.create_subprocess_exec(*self._command)
            begun, kill_at = status, float("inf")
            if ready is not None:
                kill_at = time.monotonic() + ready + self._chance.uniform(0.0, 2.0 * pause)
            try:
                while status is None or not _is_done(status):
                    await asyncio.sleep(0.05)
                    assert process.returncode is None, "a worker ended by itself"
                    status = await clinic.submissions.status(ACME, "s1")
                    if begun is None:
                        begun = status
                    if kill_at == float("inf") and status.progress != begun.progress:
                        kill_at = time.monotonic() + self._chance.uniform(0.0, 2.0 * pause)
                    if self.kills < kills and time.monotonic() > kill_at:
                        self.kills += 1
                        break
            finally:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return status


def _is_done(status: SubmissionStatus) -> bool:
    """Whether a worker has nothing left to do."""
    return bool(status.failure) or all(one.state not in ("received", "withdrawn") for one in status.manifests)


async def check(clinic: TenantStore, status: SubmissionStatus, expected: Expected) -> str:
    """Compares all there is with what was expected. Returns a digest of it."""
    good = sum(map(len, expected.versions.values()))
    counts = status.manifests[0].counts
    wanted = (expected.lines, len(expected.versions), good - len(expected.versions), len(expected.bad))
    assert (counts.lines, counts.created, counts.updated, counts.failed) == wanted, (counts, wanted)
    told = await outcomes(clinic, status)
    places = [str(one["issue"][0]["diagnostics"]).partition(":")[0] for one in told]  # type: ignore[index]
    assert sorted(places[:-1]) == sorted(f"{file}, line {line}" for file, line in expected.bad)
    digest = hashlib.sha256(json.dumps(told).encode())
    ids = iter(sorted(expected.versions))
    marks: dict[str, str] = {}

    async def look() -> None:
        for id_ in ids:
            version = await clinic.read("Patient", id_)
            lines = expected.versions[id_]
            mark = version.json()["name"][0]["family"]  # type: ignore[index]
            assert (version.version_id, mark) == (len(lines), lines[-1]), id_
            marks[id_] = f"{version.version_id} {mark}"

    await asyncio.gather(*[look() for _ in range(32)])
    digest.update(json.dumps(sorted(marks.items())).encode())
    return digest.hexdigest()


async def check_undone(clinic: TenantStore, expected: Expected) -> None:
    """Nothing of it is left."""
    ids = iter(expected.versions)

    async def look() -> None:
        for id_ in ids:
            try:
                await clinic.read("Patient", id_)
            except Gone as gone:
                assert gone.version == len(expected.versions[id_]) + 1, id_
            else:
                raise AssertionError(f"{id_} is still there")

    await asyncio.gather(*[look() for _ in range(32)])


async def run(location: str, *, lines: int, kills: int, seed: int, segment: int, undo: bool) -> tuple[str, str]:
    """One submission under kills. Returns the digest of what it came to, and a line of figures."""
    with tempfile.TemporaryDirectory(prefix="fhirstore-submit-") as name:
        path = Path(name).resolve()
        manifest, expected = provide(Folder(path), lines, seed=1)
        async with opened(location, path, segment) as store:
            clinic = store.tenant("default")
            began = time.monotonic()
            await clinic.submissions.submit(request(manifest))
            if not undo:
                await clinic.submissions.submit(request(status="completed"))
            workers = Workers(location, path, segment, random.Random(seed))
            pause = lines / 1_500 / max(1, kills)
            status = await workers.until(clinic, kills=kills, pause=pause)
            took = time.monotonic() - began
            digest = await check(clinic, status, expected)
            text = f"{lines:,} lines, {workers.kills} kills, {took:.0f} s: exact"
            if undo:
                await clinic.submissions.submit(request(status="stopped"))
                killed = workers.kills
                await workers.until(clinic, kills=killed + kills, pause=pause / 2, ready=4.0)
                await check_undone(clinic, expected)
                text += f"; stopped, {workers.kills - killed} kills: nothing is left"
            return digest, text


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(prog="python -m tests.submit.killing", description=__doc__)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--segment", type=int, default=1_000)
    parser.add_argument("--store", choices=("embedded", "seaweedfs"), default="embedded")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", nargs=3, metavar=("LOCATION", "FOLDER", "SEGMENT"))
    asked = parser.parse_args()
    if asked.work:
        asyncio.run(work(asked.work[0], Path(asked.work[1]), int(asked.work[2])))
        return
    from tests.submit.rates import place

    digests: set[str] = set()
    for number in (0, 1):
        with place(asked.store) as location:
            digest, text = asyncio.run(
                run(
                    location,
                    lines=asked.lines,
                    kills=asked.kills,
                    seed=asked.seed + number,
                    segment=asked.segment,
                    undo=number == 1,
                )
            )
        digests.add(digest)
        sys.stdout.write(f"{asked.store}: {text}\n")
        sys.stdout.flush()
    assert len(digests) == 1, "two runs differ"
    sys.stdout.write("both came to the same, to the last outcome and version\n")


if __name__ == "__main__":
    main()
