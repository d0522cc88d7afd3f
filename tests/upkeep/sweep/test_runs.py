"""The sweeper removes what was never sealed, and never what is being written."""

from __future__ import annotations

from pathlib import Path

from fhirstore import FhirStore
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Limits
from fhirstore.format.runs import run_keys, stored_as
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.runs.files import writing
from fhirstore.runs.sealing import claim
from fhirstore.upkeep.sweep.runs import RunPace, sweep_runs
from fhirstore.upkeep.sweep.uploads import sweep_uploads
from tests.commit.hurried import HandClock, hurry
from tests.upkeep.fsck.runs import LATE, runs_of, sealed
from tests.upkeep.sweep.attempts import KEYS, context, keys_of

DAY = {"day": "1"}


async def abandoned(store: ObjectStore, run_id: str) -> str:
    """A writer that is killed before it seals. Returns the folder of its run."""
    keys = run_keys(KEYS, "labs", DAY, run_id)
    claimed = await drive(claim(keys, context=context(store)), store)
    name = stored_as("a.jsonl", attempt=None if claimed.owner else claimed.attempt, suffix="")
    async with writing(store, keys.file(name)) as file:
        await file.write(b"1\n")
        await file.close()
    return keys.folder


async def test_what_was_never_sealed_goes_when_its_time_is_over() -> None:
    """Not before; the claim stays, and every sealed run."""
    clock = HandClock()
    store = MemoryStore(clock)
    await sealed(store, "a")
    folder = await abandoned(store, "b")
    await sealed(store, "c")
    clock.ms += Limits().run
    before = await keys_of(store)
    assert await hurry(sweep_runs(KEYS, context=context(store)), store, clock) == 0
    assert await keys_of(store) == before
    clock.ms += 120_000
    assert await hurry(sweep_runs(KEYS, context=context(store)), store, clock) == 1
    assert sorted(set(before) - set(await keys_of(store))) == [f"{folder}a.jsonl"]
    await (await runs_of(store).open(DAY, run_id="c")).verify()


async def test_the_files_of_a_loser_go_and_those_of_the_winner_stay() -> None:
    """In one folder: only the seal tells them apart."""
    clock = HandClock()
    store = MemoryStore(clock)
    folder = await abandoned(store, "r")
    run = await sealed(store, "r")
    clock.ms += LATE
    assert await hurry(sweep_runs(KEYS, context=context(store)), store, clock) == 1
    assert f"{folder}a.jsonl" not in await keys_of(store)
    await run.verify()


async def test_a_deleted_run_leaves_its_tombstone_alone() -> None:
    """Files that a crash of the deletion left go, with the claim."""
    clock = HandClock()
    store = MemoryStore(clock)
    run = await sealed(store, "r")
    await runs_of(store).delete(DAY, run_id="r")
    for name in ("payload.jsonl", "_writer.json"):
        await store.put(run.key().replace("payload.jsonl", name), b"{}")
    clock.ms += LATE
    assert await hurry(sweep_runs(KEYS, context=context(store)), store, clock) == 2
    assert [key.rpartition("/")[2] for key in await keys_of(store)] == ["metadata.json"]


async def test_a_pass_is_bounded_and_the_next_goes_on() -> None:
    """Its state is one small object; after the last page the walk begins anew."""
    clock = HandClock()
    store = MemoryStore(clock)
    for n in range(10):
        await abandoned(store, f"r{n}")
    clock.ms += LATE
    pace = RunPace(pages=2, page=3)
    removed = [await hurry(sweep_runs(KEYS, context=context(store), pace=pace), store, clock) for _ in range(5)]
    assert sum(removed) == 10
    assert max(removed) <= 4
    await abandoned(store, "r0")
    clock.ms += LATE
    assert sum([await hurry(sweep_runs(KEYS, context=context(store), pace=pace), store, clock) for _ in range(3)]) == 1


async def test_sealed_runs_cost_a_share_of_a_list() -> None:
    """A run of one file is judged by the listing alone."""
    clock = HandClock()
    inner = MemoryStore(clock)
    for n in range(20):
        async with runs_of(inner).writer(DAY, run_id=f"r{n:02d}") as run:
            await run.finalize()
    clock.ms += LATE
    store = MeteredStore(inner)
    with store.measure() as cost:
        assert await drive(sweep_runs(KEYS, context=context(store)), store) == 0
    assert cost.requests == {"GET": 1 + 2, "LIST": 1}  # the first and the last of a page may go on in another one


async def test_forgotten_uploads_are_aborted_and_young_ones_go_on() -> None:
    """Of this tenant alone, and only where fhirstore itself uploads."""
    clock = HandClock()
    store = MemoryStore(clock)
    await store.create_upload("t/runs/old")
    await store.create_upload("t/bulk/old")
    foreign = await store.create_upload("t/not-ours/old")
    await store.create_upload("other/runs/old")
    clock.ms += LATE
    young = await store.create_upload("t/runs/young")
    assert await hurry(sweep_uploads(KEYS, context=context(store)), store, clock) == 2
    left = {upload.upload for upload in (await store.list_uploads("t/")).uploads}
    assert left == {young, foreign}
    assert len((await store.list_uploads("other/")).uploads) == 1


async def test_a_sweep_reports_it(tmp_path: Path) -> None:
    """The face of a tenant, on the embedded store: nothing is old enough yet."""
    async with FhirStore.open(f"file:{tmp_path}") as store:
        tenant = store.tenant("default")
        async with tenant.runs("labs").writer() as run:
            await run.write(b"1")
            sealed_run = await run.finalize()
        report = await tenant.upkeep.sweep()
        assert (report.outcome, report.run_files, report.uploads) == ("swept", 0, 0)
        assert (await tenant.upkeep.fsck()).counts == {}
        await sealed_run.verify()
