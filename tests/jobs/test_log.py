"""The log of a job is bounded, each part is written once, and a store that does not answer only delays it."""

from __future__ import annotations

import pytest

from fhirstore.errors import CorruptRecord, OutcomeUnknown, StoreBusy
from fhirstore.format.keyspace import JobKeys
from fhirstore.jobs import log as job_log
from fhirstore.jobs.log import PART_BYTES, PART_LINES, JobLog, read_log
from fhirstore.objects.base import Condition, Written
from fhirstore.objects.facts import Facts
from fhirstore.objects.memory import MemoryStore
from tests.jobs.working import keys_of

KEYS = JobKeys("bulk/steps/x/")


async def _events(store: MemoryStore) -> list[object]:
    return [line["event"] async for line in read_log(store, KEYS)]


async def test_lines_come_in_order_over_parts_and_runs() -> None:
    """A part has a bounded number of lines and of bytes; long texts are cut."""
    store = MemoryStore()
    for epoch in (1, 2):
        log = JobLog(store, KEYS, epoch)
        for n in range(PART_LINES + 10):
            log.add(1000 + n, f"{epoch}-{n}", text="x" * 10_000, count=n)
        await log.flush()
        await log.flush()
    assert await _events(store) == [f"{epoch}-{n}" for epoch in (1, 2) for n in range(PART_LINES + 10)]
    sizes = [item.size for item in (await store.list(KEYS.logs)).objects]
    assert len(sizes) > 4
    assert max(sizes) <= PART_BYTES + 1024
    assert {len(str(line["text"])) async for line in read_log(store, KEYS)} == {500}


async def test_a_full_log_says_so_and_takes_no_more() -> None:
    """However long a job runs, a run writes a bounded number of parts."""
    store = MemoryStore()
    log = JobLog(store, KEYS, 1)
    for n in range(job_log.PARTS + 50):
        log.add(n, "line")
        await log.flush()
    assert len((await store.list(KEYS.logs)).objects) == job_log.PARTS
    assert (await _events(store))[-1] == "the log is full"


class Failing(MemoryStore):
    """A memory store whose next PUTs are applied or not, and not answered."""

    answers: list[bool]

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        applied = self.answers.pop(0) if self.answers else None
        if applied is False:
            raise StoreBusy(key)
        written = await super().put(key, body, condition=condition, expires=expires, facts=facts)
        if applied:
            raise OutcomeUnknown(key)
        return written


async def test_a_store_that_does_not_answer_loses_no_line_and_doubles_none() -> None:
    """The same part is sent again under the same key, before any other."""
    store = Failing()
    store.answers = [False, True, False, True]
    log = JobLog(store, KEYS, 1)
    for n in range(6):
        log.add(n, f"line {n}")
        await log.flush()
    await log.flush()
    assert await _events(store) == [f"line {n}" for n in range(6)]
    assert len(await keys_of(store)) >= 2


async def test_a_damaged_part_is_named() -> None:
    """The lines before it are read; then the error names the object, as for every damaged record."""
    store = MemoryStore()
    await store.put(KEYS.log(1, 0), b'{"t":1,"event":"begin"}\n{"t":2,"ev')
    seen: list[object] = []
    with pytest.raises(CorruptRecord, match="bulk/steps/x/log/"):
        async for line in read_log(store, KEYS):
            seen.append(line["event"])
    assert seen == ["begin"]
