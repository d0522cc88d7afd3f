"""A run becomes visible as a whole when it is sealed, never changes, and is read as it was written."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from fhirstore.clock import SystemIds
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context, Limits
from fhirstore.errors import (
    ContentTooLarge,
    CorruptRecord,
    FhirStoreError,
    InvalidName,
    InvalidResource,
    ObjectDamaged,
    OutcomeUnknown,
    RequestRefused,
    RunNotFound,
    RunSealed,
    WriteOutcomeUnknown,
)
from fhirstore.format.keyspace import Keyspace
from fhirstore.objects import ObjectStore
from fhirstore.objects.base import CONCURRENCY, PART_SIZE, Condition, Written
from fhirstore.objects.facts import Facts, Progress
from fhirstore.objects.memory import MemoryStore
from fhirstore.runs.dataset import Runs
from fhirstore.runs.files import BATCH
from fhirstore.runs.run import Run

KEYS = Keyspace("t/")
DAY = {"day": "2026-11-28", "site": "a/b c=ü"}


def runs_of(objects: ObjectStore, dataset: str = "labs", limits: Limits | None = None) -> Runs:
    """A dataset of a tenant, without an engine."""
    context = Context(objects.now, SystemIds(), limits or Limits())
    return Runs(objects, KEYS, dataset, context=context, perform=partial(drive, store=objects))


async def keys_of(objects: ObjectStore) -> list[str]:
    """All keys of the store."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await objects.list("", cursor=cursor)
        found += [item.key for item in page.objects]
        cursor = page.cursor
        if cursor is None:
            return sorted(found)


async def lines_of(run: Run, name: str = "payload.jsonl") -> list[bytes]:
    """All lines of a file."""
    async with run.read(name) as file:
        return [line async for line in file.lines()]


async def sealed(runs: Runs, partition: Mapping[str, str] = DAY, run_id: str | None = None) -> Run:
    """One more run, of two lines."""
    async with runs.writer(partition, run_id=run_id) as run:
        await run.write(b'{"a":1}')
        await run.write(b'{"a":2}\n')
        return await run.finalize({"by": "test"})


async def test_a_sealed_run_is_read_as_it_was_written(objects: ObjectStore) -> None:
    """Its files, their facts, its metadata; also after it was opened again."""
    runs = runs_of(objects)
    body = random.Random(1).randbytes(3 * BATCH + 11)
    async with runs.writer(DAY, tags={"keep": "7y"}, compression="zstd") as run:
        for n in range(5_000):
            await run.write(b'{"n":%d}' % n)
        async with run.file("raw.bin") as file:
            await file.write(body)
        async with run.file("text.csv", compression="gzip", content_type="text/csv") as file:
            await file.write(b"a,b\n1,2\n")
        made = await run.finalize({"source": "lab", "rows": 5_000})
    opened = await runs.open(DAY, run_id=made.run_id)
    for one in (made, opened):
        assert (one.dataset, one.partition, one.tags) == ("labs", DAY, {"keep": "7y"})
        assert one.metadata == {"source": "lab", "rows": 5_000}
        assert [(file.name, file.object, file.encoding) for file in one.files] == [
            ("payload.jsonl", "payload.jsonl.zst", "zstd"),
            ("raw.bin", "raw.bin", None),
            ("text.csv", "text.csv.gz", "gzip"),
        ]
        assert one.file("raw.bin").sha256 == hashlib.sha256(body).hexdigest()
        assert [json.loads(line)["n"] for line in await lines_of(one)] == list(range(5_000))
        async with one.read("raw.bin") as raw:
            assert b"".join([chunk async for chunk in raw]) == body
        assert await lines_of(one, "text.csv") == [b"a,b", b"1,2"]
        await one.verify()
    assert (await objects.stat(made.key("text.csv"))).content_type == "text/csv"


async def test_the_layout_is_that_of_hive(objects: ObjectStore) -> None:
    """Values are percent-encoded; the claim is hidden from Hive readers."""
    await sealed(runs_of(objects), run_id="r1")
    folder = "t/runs/labs/day=2026-11-28/site=a%2Fb%20c%3D%C3%BC/run_id=r1/"
    assert await keys_of(objects) == [f"{folder}{name}" for name in ("_writer.json", "metadata.json", "payload.jsonl")]
    seal = json.loads((await objects.get(f"{folder}metadata.json")).body)
    assert (seal["run_id"], seal["partition"]) == ("r1", DAY)


async def test_an_unsealed_run_is_invisible(objects: ObjectStore) -> None:
    """While it is written, after its writer failed, and after it gave up; then nothing but the claim is left."""
    runs = runs_of(objects)
    with pytest.raises(ZeroDivisionError):
        async with runs.writer(DAY, run_id="r") as run:
            async with run.file("one.jsonl") as file:
                await file.write(b"1\n")
            await run.write(bytes(2 * BATCH))
            with pytest.raises(RunNotFound):
                await runs.open(DAY, run_id="r")
            assert (await runs.list(DAY)).runs == ()
            raise ZeroDivisionError
    async with runs.writer(DAY, run_id="r") as run:
        await run.write(b"never finalized")
    assert [key.rpartition("/")[2] for key in await keys_of(objects)] == ["_writer.json"]
    with pytest.raises(RunNotFound):
        await runs.open(DAY, run_id="r")


async def test_a_failed_run_can_be_written_again(objects: ObjectStore) -> None:
    """The second attempt has other names, since the first has the claim; readers see no difference."""
    runs = runs_of(objects)
    with pytest.raises(ZeroDivisionError):
        async with runs.writer(DAY, run_id="again") as run:
            await run.write(b"1")
            raise ZeroDivisionError
    run_2 = await sealed(runs, run_id="again")
    assert await lines_of(await runs.open(DAY, run_id="again")) == [b'{"a":1}', b'{"a":2}']
    (file,) = run_2.files
    assert file.name == "payload.jsonl"
    assert file.object != "payload.jsonl"


async def test_of_two_writers_one_seals_and_the_other_is_told(objects: ObjectStore) -> None:
    """The loser's files are removed; the winner's are untouched."""
    runs = runs_of(objects)
    async with runs.writer(DAY, run_id="r") as first, runs.writer(DAY, run_id="r") as second:
        await first.write(b"first")
        await second.write(b"second")
        await second.finalize()
        with pytest.raises(RunSealed):
            await first.finalize()
    assert await lines_of(await runs.open(DAY, run_id="r")) == [b"second"]
    names = [key.rpartition("/")[2] for key in await keys_of(objects)]
    assert len(names) == 3
    assert "payload.jsonl" not in names


async def test_a_sealed_run_is_never_overwritten(objects: ObjectStore) -> None:
    """A later writer of the same id is refused before it has written anything."""
    runs = runs_of(objects)
    await sealed(runs, run_id="r")
    before = await keys_of(objects)
    with pytest.raises(RunSealed):
        async with runs.writer(DAY, run_id="r"):
            pass
    assert await keys_of(objects) == before


async def test_a_run_with_a_failed_file_cannot_be_sealed(objects: ObjectStore) -> None:
    """Nor one with a file that is still open."""
    runs = runs_of(objects)
    async with runs.writer(DAY) as run:
        with pytest.raises(ZeroDivisionError):
            async with run.file("a.jsonl"):
                raise ZeroDivisionError
        with pytest.raises(ValueError, match=r"a\.jsonl"):
            await run.finalize()
    async with runs.writer(DAY) as run, run.file("open.jsonl"):
        with pytest.raises(ValueError, match=r"open\.jsonl"):
            await run.finalize()


async def test_a_run_without_lines_has_an_empty_payload(objects: ObjectStore) -> None:
    """So every sealed run has a file."""
    async with runs_of(objects).writer() as run:
        done = await run.finalize()
    assert (done.file().size, await lines_of(done)) == (0, [])


async def test_a_deleted_run_is_gone_for_ever(objects: ObjectStore) -> None:
    """A tombstone stays, so that its id is not sealed again."""
    runs = runs_of(objects)
    await sealed(runs, run_id="r")
    await sealed(runs, run_id="other")
    await runs.delete(DAY, run_id="r")
    for gone in (runs.open(DAY, run_id="r"), runs.delete(DAY, run_id="r"), runs.delete(DAY, run_id="never")):
        with pytest.raises(RunNotFound):
            await gone
    with pytest.raises(RunSealed):
        async with runs.writer(DAY, run_id="r"):
            pass
    assert [run.run_id for run in (await runs.list(DAY)).runs] == ["other"]
    assert len([key for key in await keys_of(objects) if "run_id=r/" in key]) == 1


async def test_a_delete_that_was_cut_short_goes_on(objects: ObjectStore) -> None:
    """Files behind a tombstone are removed by the next delete."""
    runs = runs_of(objects)
    run = await sealed(runs, run_id="r")
    await runs.delete(DAY, run_id="r")
    await objects.put(run.key(), b"left over")
    await runs.delete(DAY, run_id="r")
    assert len(await keys_of(objects)) == 1


async def test_partitions_and_runs_are_listed_in_pages(objects: ObjectStore) -> None:
    """One level at a time; runs that were not sealed are left out, and what is not ours is passed over."""
    runs = runs_of(objects)
    expected: list[tuple[str, str]] = []
    for month in ("10", "11", "12"):
        for site in ("a", "b/c"):
            partition = {"month": month, "site": site}
            for n in range(2):
                await sealed(runs, partition, run_id=f"r{n}")
                expected.append((f"{month}{site}", f"r{n}"))
            async with runs.writer(partition, run_id="unsealed") as run:
                await run.write(b"x")
    await sealed(runs, {}, run_id="top")
    await sealed(runs_of(objects, "other"), {})
    await objects.put("t/runs/labs/month=%zz/run_id=x/payload.jsonl", b"")
    months: list[Mapping[str, str]] = []
    cursor: str | None = None
    while True:
        page = await runs.partitions(limit=2, cursor=cursor)
        months += page.partitions
        cursor = page.cursor
        if cursor is None:
            break
    assert sorted(one["month"] for one in months) == ["10", "11", "12"]
    sites = (await runs.partitions({"month": "11"})).partitions
    assert {one["site"] for one in sites} == {"a", "b/c"}
    found: list[str] = []
    while True:
        listed = await runs.list({"month": "11", "site": "b/c"}, limit=1, cursor=cursor)
        found += [run.run_id for run in listed.runs]
        cursor = listed.cursor
        if cursor is None:
            break
    assert sorted(found) == ["r0", "r1"]
    walked = [(run.partition.get("month", "") + run.partition.get("site", ""), run.run_id) async for run in runs.walk()]
    assert sorted(walked) == sorted([*expected, ("", "top")])


async def test_damage_is_found_when_a_file_is_read(objects: ObjectStore) -> None:
    """A changed byte, another size, a lost file, and an unreadable seal."""
    runs = runs_of(objects)
    run = await sealed(runs, run_id="r")
    for body in (b'{"a":1}\n{"a":3}\n', b'{"a":1}\n'):
        await objects.put(run.key(), body)
        with pytest.raises(ObjectDamaged):
            await lines_of(run)
        with pytest.raises(ObjectDamaged):
            await run.verify()
    await objects.delete(run.key())
    with pytest.raises(ObjectDamaged):
        await lines_of(run)
    await objects.put(run.key().replace("payload.jsonl", "metadata.json"), b"{" * 100)
    with pytest.raises(CorruptRecord):
        await runs.open(DAY, run_id="r")


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
async def test_a_compressed_file_that_cannot_be_decoded_is_damaged(compression: str) -> None:
    """The reader is told so, and gets no other error."""
    objects = MemoryStore()
    runs = runs_of(objects)
    async with runs.writer(compression="gzip" if compression == "gzip" else "zstd") as writer:
        await writer.write(b"x" * 500)
        run = await writer.finalize()
    await objects.put(run.key(), bytes(run.file().size))
    with pytest.raises(ObjectDamaged):
        await lines_of(run)


async def test_a_reader_of_a_run_that_is_deleted_meanwhile_is_told(objects: ObjectStore) -> None:
    """It is not damaged, it is not there any more."""
    runs = runs_of(objects)
    run = await sealed(runs, run_id="r")
    await runs.delete(DAY, run_id="r")
    with pytest.raises(RunNotFound):
        await lines_of(run)
    with pytest.raises(RunNotFound):
        run.file("no.such")


async def test_a_run_is_downloaded_whole(objects: ObjectStore, tmp_path: Path) -> None:
    """With the folders of Hive; a second download does nothing, a damaged run leaves nothing."""
    runs = runs_of(objects, "runs")
    await sealed(runs, run_id="r1")
    await sealed(runs, {}, run_id="r2")
    folders = await runs.download(tmp_path / "out")
    assert {folder.relative_to(tmp_path / "out").as_posix() for folder in folders} == {
        "day=2026-11-28/site=a%2Fb%20c%3D%C3%BC/run_id=r1",
        "run_id=r2",
    }
    assert (folders[0] / "payload.jsonl").read_bytes() == b'{"a":1}\n{"a":2}\n'
    assert await runs.download(tmp_path / "out") == folders
    broken = await sealed(runs, {"day": "x"}, run_id="r3")
    await objects.put(broken.key(), b'{"a":1}\n{"a":3}\n')
    with pytest.raises(ObjectDamaged):
        await broken.download(tmp_path / "out")
    assert list((tmp_path / "out" / "day=x").iterdir()) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda runs: runs.writer({"run_id": "x"}),
        lambda runs: runs.writer({"a/b": "x"}),
        lambda runs: runs.writer({"a": ""}),
        lambda runs: runs.writer({"a": "x" * 300}),
        lambda runs: runs.writer({"a": "\ud800"}),
        lambda runs: runs.writer({f"k{n}": "v" for n in range(9)}),
        lambda runs: runs.writer({f"k{n}": "v" * 190 for n in range(8)}),
        lambda runs: runs.writer(run_id="../x"),
        lambda runs: runs.writer(run_id="_x"),
        lambda runs: runs.writer(tags={"kind": "x"}),
        lambda runs: runs.writer(tags={f"t{n}": "" for n in range(9)}),
        lambda runs: runs.writer(tags={"a": "ü"}),
    ],
)
def test_malformed_names_are_refused(call: object) -> None:
    """Before anything is sent."""
    assert callable(call)
    with pytest.raises(InvalidName):
        call(runs_of(MemoryStore()))


@pytest.mark.parametrize("dataset", ["", ".", "a/b", "_x", "x" * 101, "ü"])
def test_malformed_datasets_are_refused(dataset: str) -> None:
    """They would leave the folder of the runs, or be hidden."""
    with pytest.raises(InvalidName):
        runs_of(MemoryStore(), dataset)


async def test_malformed_files_and_metadata_are_refused() -> None:
    """The run can go on after it."""
    async with runs_of(MemoryStore()).writer() as run:
        for name in ("metadata.json", "_writer.json", "a/b", "", "..", "x" * 101):
            with pytest.raises(InvalidName):
                async with run.file(name):
                    pass
        async with run.file("a.csv"):
            pass
        with pytest.raises(InvalidName):
            async with run.file("a.csv"):
                pass
        async with run.file("b.csv", compression="gzip"):
            with pytest.raises(InvalidName):
                async with run.file("b.csv.gz"):
                    pass
        with pytest.raises(InvalidResource):
            await run.finalize({"a": object()})
        with pytest.raises(ContentTooLarge):
            await run.finalize({"a": "x" * 100_000})
        assert [file.name for file in (await run.finalize({"a": None})).files] == ["a.csv", "b.csv"]


async def test_a_line_has_a_longest_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without line ends is not held in memory."""
    monkeypatch.setattr("fhirstore.runs.reading.LONGEST_LINE", 1_000)
    async with runs_of(MemoryStore()).writer() as writer:
        await writer.write(b"x" * 1_001)
        run = await writer.finalize()
    with pytest.raises(ContentTooLarge):
        await lines_of(run)


class SilentStore(MemoryStore):
    """Does not answer the PUT of a seal, `silent` times; applies it or not."""

    def __init__(self, *, silent: int, applies: bool) -> None:
        super().__init__()
        self.silent = silent
        self.applies = applies

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        if not key.endswith("metadata.json") or self.silent == 0:
            return await super().put(key, body, condition=condition, expires=expires, facts=facts)
        self.silent -= 1
        if self.applies:
            await super().put(key, body, condition=condition, expires=expires, facts=facts)
        raise OutcomeUnknown(key, "injected")


@pytest.mark.parametrize("applies", [True, False])
async def test_a_lost_answer_to_the_seal_is_settled_by_reading(applies: bool) -> None:
    """The writer learns that it has sealed."""
    run = await sealed(runs_of(SilentStore(silent=1, applies=applies)))
    assert await lines_of(run) == [b'{"a":1}', b'{"a":2}']


async def test_an_unknown_seal_keeps_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is removed that may have been sealed, and `finalize` may be called again."""
    objects = SilentStore(silent=1_000_000, applies=False)
    runs = runs_of(objects)

    async def no_wait(_: float) -> None:
        pass

    async with runs.writer(DAY, run_id="r") as run:
        await run.write(b"1")
        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "sleep", no_wait)
            with pytest.raises(WriteOutcomeUnknown):
                await run.finalize()
    assert len(await keys_of(objects)) == 2
    objects.silent = 0
    assert isinstance(await run.finalize(), Run)
    assert await lines_of(await runs.open(DAY, run_id="r")) == [b"1"]


def test_errors_name_no_data() -> None:
    """No value of a partition, no metadata."""
    with pytest.raises(FhirStoreError) as refused:
        runs_of(MemoryStore()).writer({"patient": "x" * 300})
    assert "xxx" not in str(refused.value)


@pytest.mark.parametrize("partition", [{"year": 2026}, {"year": None}, {"year": b"2026"}, {2026: "year"}], ids=str)
def test_a_partition_that_is_no_text_is_refused(partition: dict[str, str]) -> None:
    """A number is a usual slip; the message says what to write."""
    with pytest.raises(InvalidName):
        runs_of(MemoryStore()).writer(partition)


@pytest.mark.parametrize("run_id", ["", 7, b"r"], ids=str)
async def test_a_run_id_that_is_none_is_refused(run_id: str) -> None:
    """Also an empty one, which does not mean a new one."""
    runs = runs_of(MemoryStore())
    with pytest.raises(InvalidName):
        runs.writer(run_id=run_id)
    with pytest.raises(InvalidName):
        await runs.open(run_id=run_id)


async def test_text_is_refused_as_a_line() -> None:
    """By a TypeError that says what to do; the run goes on."""
    async with runs_of(MemoryStore()).writer() as run:
        with pytest.raises(TypeError, match="encode the text"):
            await run.write(cast("bytes", "text"))
        await run.write(b"bytes")
        async with run.file("other.txt") as file:
            with pytest.raises(TypeError, match="encode the text"):
                await file.write(cast("bytes", "text"))
        assert [file.size for file in (await run.finalize()).files] == [6, 0]


async def test_a_file_that_was_read_is_not_read_again(objects: ObjectStore) -> None:
    """The second read says so, and does not report damage."""
    run = await sealed(runs_of(objects))
    async with run.read() as file:
        assert len([line async for line in file.lines()]) == 2
        with pytest.raises(ValueError, match="open it again"):
            await anext(aiter(file))


@pytest.mark.parametrize("limit", [-1, 0, 1001])
async def test_a_limit_that_no_store_lists_is_refused(limit: int) -> None:
    """A page of none would be continued for ever."""
    runs = runs_of(MemoryStore())
    for call in (runs.list(limit=limit), runs.partitions(limit=limit)):
        with pytest.raises(RequestRefused, match="use 1 to 1000"):
            await call


async def test_downloads_of_one_run_side_by_side_are_all_whole(objects: ObjectStore, tmp_path: Path) -> None:
    """They do not disturb one another, and leave nothing else."""
    run = await sealed(runs_of(objects), run_id="r")
    folders = await asyncio.gather(*[run.download(tmp_path) for _ in range(4)])
    assert len(set(folders)) == 1
    assert sorted(path.name for path in folders[0].iterdir()) == ["metadata.json", "payload.jsonl"]
    assert [path.name for path in folders[0].parent.iterdir()] == ["run_id=r"]


async def test_a_download_over_another_run_is_refused(tmp_path: Path) -> None:
    """Two datasets may have the same partitions and ids: the second must not pass for downloaded."""
    objects = MemoryStore()
    first, second = [await sealed(runs_of(objects, dataset), run_id="r") for dataset in ("one", "two")]
    await first.download(tmp_path)
    with pytest.raises(FileExistsError, match="a directory of its own"):
        await second.download(tmp_path)
    assert await first.download(tmp_path)


class SlowStore(MemoryStore):
    """A store whose answer to a streamed body comes late, when the object is there already."""

    async def put_stream(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        facts: Facts | None = None,
        part_size: int = PART_SIZE,
        concurrency: int = CONCURRENCY,
        progress: Progress | None = None,
    ) -> Written:
        await super().put_stream(key, chunks, facts=facts)
        await asyncio.sleep(3_600)
        raise AssertionError


async def test_a_writer_cancelled_while_a_file_appears_leaves_no_file() -> None:
    """The file is removed although its completion was never answered."""
    objects = SlowStore()

    async def write() -> None:
        async with runs_of(objects).writer(run_id="r") as run:
            await run.write(b"1")
            await run.finalize()

    task = asyncio.create_task(write())
    while len(await keys_of(objects)) < 2:  # noqa: ASYNC110 - the store tells nobody
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await keys_of(objects) == ["t/runs/labs/run_id=r/_writer.json"]
