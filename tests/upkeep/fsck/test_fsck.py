"""fsck finds every kind of damage, repairs what can be, and takes no live writer for damage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from fhirstore import FhirStore
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Limits
from fhirstore.commit.purge import purge
from fhirstore.commit.single import write
from fhirstore.errors import Contention, StoreUnavailable, Unavailable, WriteOutcomeUnknown
from fhirstore.objects import open_objects
from fhirstore.objects.base import ObjectStore, Page, StoredObject
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.upkeep.fsck.census import BUCKETS
from fhirstore.upkeep.fsck.finding import DAMAGE, KINDS
from fhirstore.upkeep.fsck.run import FsckReport, Progress, Thoroughness, fsck
from fhirstore.upkeep.sweep.run import Pace, sweep
from server.cli import app
from tests.commit.hurried import HandClock, hurry
from tests.upkeep.fsck.credentials import CREDENTIAL_CASES
from tests.upkeep.fsck.damage import CASES as RESOURCE_CASES
from tests.upkeep.fsck.damage import KEY, Case, healthy, record_at
from tests.upkeep.fsck.payloads import PAYLOAD_CASES
from tests.upkeep.fsck.runs import RUN_CASES
from tests.upkeep.fsck.transactions import TRANSACTION_CASES
from tests.upkeep.sweep.attempts import KEYS, SETTLED, basic, context, die, keys_of, put


async def _fsck(store: ObjectStore, clock: HandClock, how: Thoroughness | None = None) -> FsckReport:
    return await hurry(fsck(KEYS, context=context(store), how=how), store, clock)


async def _snapshot(store: ObjectStore) -> dict[str, bytes]:
    return {key: (await store.get(key)).body for key in await keys_of(store)}


@asynccontextmanager
async def _store(kind: str, clock: HandClock, folder: Path) -> AsyncIterator[ObjectStore]:
    if kind == "memory":
        yield MemoryStore(clock)
        return
    store = await open_objects(f"file:{folder}")
    clock.ms = store.now() - 60_000
    try:
        yield store
    finally:
        await store.aclose()


@pytest.mark.parametrize(
    "how", [Thoroughness(), Thoroughness(deep=True, page=2, together=2), Thoroughness(repair=True)]
)
async def test_a_healthy_store_is_clean(how: Thoroughness) -> None:
    """Deletions, purges, a sweep and a fence's traces included; nothing is changed, not even by --repair."""
    clock = HandClock()
    store = MemoryStore(clock)
    await healthy(store, clock)
    await hurry(purge(KEYS.resource("Patient", "b3"), by="x", context=context(store)), store, clock)
    await put(store, clock, "b3", type="Patient")
    await die(store, "a")
    await die(store, "new")
    clock.ms += SETTLED
    await hurry(sweep(KEYS, context=context(store)), store, clock)
    clock.ms += SETTLED  # the sweep's hold is over
    await die(store, "a")
    await put(store, clock, "a")  # fences and takes the slot over
    await put(store, clock, "a")
    clock.ms += SETTLED
    await hurry(sweep(KEYS, context=context(store)), store, clock)
    before = await _snapshot(store)
    report = await _fsck(store, clock, how)
    assert report.counts == {}
    assert (report.resources, report.versions, report.events) == (15, 19, 19)
    assert await _snapshot(store) == before


async def test_a_healthy_embedded_store_is_clean(tmp_path: Path) -> None:
    """The same on SQLite, with its own clock."""
    store = await open_objects(f"file:{tmp_path}")
    try:
        for n in range(6):
            keys = KEYS.resource("Patient", f"p-{n % 3}")
            await drive(write(keys, basic(keys), context=context(store)), store)
        await asyncio.sleep(0.05)
        ctx = replace(
            context(store), limits=Limits(window=20, apply=10, transaction_window=20)
        )  # all writers are done, so that is enough
        report = await drive(fsck(KEYS, context=ctx, how=Thoroughness(deep=True)), store)
        assert (report.counts, report.resources, report.versions, report.events) == ({}, 3, 6, 6)
    finally:
        await store.aclose()


CASES = (*RESOURCE_CASES, *TRANSACTION_CASES, *RUN_CASES, *PAYLOAD_CASES, *CREDENTIAL_CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
async def test_damage_is_found_named_and_where_possible_repaired(case: Case) -> None:
    """A dry run finds it by kind and key and changes nothing; a repair leaves a store that is clean."""
    clock = HandClock()
    store = MemoryStore(clock)
    await healthy(store, clock)
    kinds = await case.damage(store, clock)
    before = await _snapshot(store)
    report = await _fsck(store, clock, Thoroughness(deep=case.deep))
    assert await _snapshot(store) == before
    found = {(finding.kind, finding.key) for finding in report.findings}
    for kind, key in kinds.items():
        assert (kind, key) in found or (not key and kind in report.counts), found
    assert {kind for kind, _ in found} >= set(kinds)
    unexpected = {kind for kind, _ in found} - set(kinds)
    assert unexpected <= {"prior-broken", "time-order"}, found  # what a neighbour says of it
    main = next(finding for finding in report.findings if finding.kind == next(iter(kinds)))
    assert main.repairable == case.repairable
    assert report.damage == sum(KINDS[kind][0] == DAMAGE for kind, _ in found)
    repaired = await _fsck(store, clock, Thoroughness(deep=case.deep, repair=True))
    after = await _fsck(store, clock, Thoroughness(deep=case.deep))
    if case.repairable:
        assert all(finding.repaired for finding in repaired.findings)
        assert after.counts == {}
        lines = [key for key in await keys_of(store, "t/audit/") if "_repair_" in key]
        assert lines or set(kinds) <= {
            "sweep-state",
            "index-entry-missing",
            "index-entry-dead",
            "run-leftover",
            "payload-leftover",
        }
    else:
        assert {(finding.kind, finding.key) for finding in after.findings} == found


def test_every_kind_of_finding_has_a_test_that_makes_it() -> None:
    """The table of kinds and the cases above name the same things."""
    clock = HandClock()

    async def made() -> set[str]:
        kinds: set[str] = set()
        for case in CASES:
            store = MemoryStore(clock)
            await healthy(store, clock)
            kinds |= set(await case.damage(store, clock))
        return kinds

    found_elsewhere = {"unreadable", "index-differs", *(kind for kind in KINDS if kind.startswith("job-"))}
    assert asyncio.run(made()) == set(KINDS) - found_elsewhere  # test_damaged_database, test_jobs, test_verify


async def test_a_repaired_current_is_what_it_was() -> None:
    """Rebuilt from its version, current.json carries the same record; only a nonce and a hold are new."""
    for damage in (b"", None):
        clock = HandClock()
        store = MemoryStore(clock)
        await healthy(store, clock)
        was = await record_at(store, KEY.current)
        await (store.delete(KEY.current) if damage is None else store.put(KEY.current, damage))
        await _fsck(store, clock, Thoroughness(repair=True))
        now = await record_at(store, KEY.current)
        assert replace(now, fence=None, hold=0) == was
        assert now.fence is not None
        assert (await put(store, clock, "a")).version == 4


async def test_what_cannot_be_judged_yet_is_not_reported() -> None:
    """Attempts inside their window, first versions and later ones, are nobody's business."""
    clock = HandClock()
    store = MemoryStore(clock)
    await healthy(store, clock)
    await die(store, "a")
    await die(store, "new")
    assert (await _fsck(store, clock)).counts == {}


async def test_a_purge_at_work_is_no_damage() -> None:
    """Between its commit point and its last DELETE, versions below the floor are still there."""
    clock = HandClock()
    store = MemoryStore(clock)
    await healthy(store, clock)
    old = await store.get(KEY.version(1))
    await hurry(purge(KEY, by="x", context=context(store)), store, clock)
    await store.put(KEY.version(1), old.body)
    assert (await _fsck(store, clock)).counts == {}


@pytest.mark.parametrize("kind", ["memory", "embedded"])
async def test_live_writers_are_never_taken_for_damage(kind: str, tmp_path: Path) -> None:
    """Writers, dying writers, deletions, purges and a sweeper at work while fsck runs, again and again."""
    async with _store(kind, HandClock(), tmp_path) as given:
        store = MemoryStore() if kind == "memory" else given
        ctx = replace(context(store), limits=Limits(window=200, apply=50, transaction_window=200))
        over = asyncio.Event()

        async def writer(n: int) -> None:
            turn = 0
            while not over.is_set():
                turn += 1
                keys = KEYS.resource("Basic", f"r{(n + turn) % 5}")
                with suppress(Contention, WriteOutcomeUnknown):
                    if turn % 7 == n:
                        await die(store, keys.id, limits=ctx.limits)
                    elif turn % 11 == n:
                        await drive(purge(keys, by="x", context=ctx), store)
                    else:
                        method = "DELETE" if turn % 5 == n else "PUT"
                        await drive(write(keys, basic(keys, method), context=ctx), store)
                await asyncio.sleep(0.001)

        async def sweeper() -> None:
            while not over.is_set():
                await drive(sweep(KEYS, context=ctx, pace=Pace(margin=10, lease=200)), store)
                await asyncio.sleep(0.02)

        tasks = [asyncio.create_task(writer(n)) for n in range(4)] + [asyncio.create_task(sweeper())]
        try:
            for n in range(20):
                how = Thoroughness(deep=n % 2 == 0, page=3 if n % 3 else 1000)
                report = await drive(fsck(KEYS, context=ctx, how=how), store)
                assert report.damage == 0, report.findings
                await asyncio.sleep(0.01)
        finally:
            over.set()
            await asyncio.gather(*tasks)
        await asyncio.sleep(0.3)
        report = await drive(fsck(KEYS, context=ctx, how=Thoroughness(deep=True, repair=True)), store)
        assert report.damage == 0, report.findings


async def test_repairs_beside_live_writers_lose_nothing() -> None:
    """While writers update a resource, its events and newest objects vanish and come back."""
    store = MemoryStore()
    ctx = replace(context(store), limits=Limits(window=200, apply=50, transaction_window=200))
    keys = KEYS.resource("Basic", "a")
    for _ in range(3):
        await drive(write(keys, basic(keys), context=ctx), store)
    await asyncio.sleep(0.3)
    await store.delete_many((await keys_of(store, "t/history/system/"))[:2])

    async def writer() -> int:
        for _ in range(40):
            await drive(write(keys, basic(keys), context=ctx), store)
            await asyncio.sleep(0.01)
        return 40

    writing = asyncio.create_task(writer())
    report = await drive(fsck(KEYS, context=ctx, how=Thoroughness(repair=True)), store)
    assert report.counts == {"system-event-missing": 2}
    assert report.repaired == 2
    await writing
    await asyncio.sleep(0.3)
    report = await drive(fsck(KEYS, context=ctx, how=Thoroughness(deep=True)), store)
    assert (report.counts, report.versions) == ({}, 43)


class Watching(MemoryStore):
    """A memory store that keeps watch over how much is asked of it at once."""

    most_gets = 0
    largest_page = 0
    _gets = 0

    async def get(self, key: str) -> StoredObject:
        self._gets += 1
        self.most_gets = max(self.most_gets, self._gets)
        await asyncio.sleep(0)
        try:
            return await super().get(key)
        finally:
            self._gets -= 1

    async def list(
        self,
        prefix: str,
        *,
        start_after: str | None = None,
        cursor: str | None = None,
        delimiter: bool = False,
        limit: int = 1000,
    ) -> Page:
        self.largest_page = max(self.largest_page, limit)
        return await super().list(prefix, start_after=start_after, cursor=cursor, delimiter=delimiter, limit=limit)


async def test_requests_grow_by_one_get_per_resource_and_version() -> None:
    """No GET for events while the census agrees; LISTs by pages; at most 64 GETs in flight."""
    clock = HandClock()
    inner = Watching(clock)
    for n in range(40):
        for _ in range(1 + n % 3):
            await put(inner, clock, f"a{n}")
    for _ in range(60):
        await put(inner, clock, "many")
    clock.ms += SETTLED
    store = MeteredStore(inner)
    with store.measure() as cost:
        report = await drive(fsck(KEYS, context=context(store)), store)
    assert (report.resources, report.versions, report.counts) == (41, 139, {})
    assert cost.requests == {"GET": 1 + 41 + 139 + 1, "LIST": 3 + 1 + 1 + 1 + 3 + 1 + 1 + 1 + 2}
    assert 8 < inner.most_gets <= 64


async def test_one_missing_event_costs_one_bucket() -> None:
    """Only resources in its bucket are looked at again: with 4,096 buckets, mostly the one."""
    clock = HandClock()
    inner = MemoryStore(clock)
    for n in range(30):
        await put(inner, clock, f"a{n}")
    await inner.delete((await keys_of(inner, "t/history/system/"))[0])
    clock.ms += SETTLED
    store = MeteredStore(inner)
    with store.measure() as cost:
        report = await hurry(fsck(KEYS, context=context(store)), store, clock)
    assert report.counts == {"system-event-missing": 1}
    assert BUCKETS == 4096
    assert cost.requests["GET"] <= 1 + 2 * 30 + 20


async def test_findings_are_counted_whole_and_kept_in_part() -> None:
    """However much is broken, the report keeps a bounded list and says how many it left off."""
    clock = HandClock()
    store = MemoryStore(clock)
    for n in range(30):
        await put(store, clock, f"a{n}")
        await store.delete(KEYS.resource("Basic", f"a{n}").version(1))
    clock.ms += SETTLED
    report = await _fsck(store, clock, Thoroughness(keep=5))
    assert (report.counts, len(report.findings), report.left_off) == ({"version-missing": 30}, 5, 25)


async def test_progress_is_told() -> None:
    """Phases in order, counts that grow."""
    clock = HandClock()
    store = MemoryStore(clock)
    await healthy(store, clock)
    told: list[Progress] = []
    await hurry(fsck(KEYS, context=context(store), on_progress=told.append), store, clock)
    assert [progress.phase for progress in told] == ["resources", "events"]
    assert (told[0].done, told[1].done, told[1].total) == (14, 17, 17)


async def test_a_store_that_does_not_answer_is_no_damage() -> None:
    """Unavailable is raised; nothing is concluded from silence."""

    class Silent(MemoryStore):
        async def get(self, key: str) -> StoredObject:
            if key.endswith("current.json"):
                raise StoreUnavailable(key)
            return await super().get(key)

    clock = HandClock()
    store = Silent(clock)
    await MemoryStore.put(store, KEY.version(1), b"x")
    with pytest.raises(Unavailable):
        await _fsck(store, clock)


async def test_details_hold_no_content() -> None:
    """Findings name keys, kinds and numbers, never what a resource says."""
    clock = HandClock()
    store = MemoryStore(clock)
    await healthy(store, clock)
    record = await record_at(store, KEY.version(2))
    await store.put(KEY.version(2), replace(record, resource=b'{"secret":"x"', sha256=None).encode())
    report = await _fsck(store, clock)
    assert report.counts == {"identity": 1}
    assert b"secret" not in msgspec.json.encode(report.as_json())


def test_the_command_says_by_its_exit_code_what_it_found(tmp_path: Path) -> None:
    """0: clean; 1: damage; 2: could not run. --json reports each tenant."""
    runner = CliRunner()
    where = ["--store", f"file:{tmp_path}"]

    async def store_one() -> None:
        async with FhirStore.open(f"file:{tmp_path}") as store:
            await store.tenant("default").create({"resourceType": "Patient"})

    asyncio.run(store_one())
    assert "1 resources, 1 versions" in runner.invoke(app, ["fsck", *where]).stdout
    assert "clean" in runner.invoke(app, ["fsck", *where]).stdout

    async def damage() -> None:
        store = await open_objects(f"file:{tmp_path}")
        await store.put("default/sweep/state.json", b"{")
        await store.put("default/resources/x", b"")
        await store.aclose()

    asyncio.run(damage())
    result = runner.invoke(app, ["fsck", "--json", *where])
    assert result.exit_code == 1
    report = msgspec.json.decode(result.stdout)["default"]
    assert report["counts"] == {"sweep-state": 1, "stray-key": 1}
    assert report["findings"][0]["key"] == "default/sweep/state.json"
    shown = runner.invoke(app, ["fsck", "--repair", *where])
    assert shown.exit_code == 1
    assert "repaired" in shown.stdout
    assert "not repairable" in shown.stdout
    assert runner.invoke(app, ["fsck", "--tenant", "nobody", *where]).exit_code == 2
