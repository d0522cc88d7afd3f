"""The probe passes safe stores and refuses unsafe ones, each time; it cleans up, and never guesses."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ulid import ULID

from conformance.s3servers import S3Server
from fhirstore.clock import SystemIds
from fhirstore.errors import (
    StoreMisconfigured,
)
from fhirstore.objects.base import Condition, ObjectStore, Written
from fhirstore.objects.embedded.store import EmbeddedStore
from fhirstore.objects.facts import Facts
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.probe import SHORT, Effort, Outcome, ProbeReport, advice, probe, run
from fhirstore.objects.s3.options import S3Options
from fhirstore.objects.s3.store import S3Store
from fhirstore.objects.wrappers.faulty import FaultRates, FaultyStore
from fhirstore.objects.wrappers.metered import MeteredStore
from tests.objects.probe.unsafe_stores import (
    ChecksThenWrites,
    ForgetsCursor,
    IgnoresExpires,
    IgnoresExpiresOfDeletes,
    IgnoresIfAbsent,
    IgnoresIfMatch,
    KeepsETags,
    ListsBackwards,
    NeverAnswersIfMatch,
    NeverDeletesMany,
    PassingOn,
    RemembersReads,
    Silent,
    SilentAbout,
    StoppedClock,
)
from tests.objects.s3.scripted_http import ScriptedServer
from tests.objects.s3.signing_gateway import signing_anew
from tests.objects.store_under_test import every_key

REPEATS = 10  # a probe that is right only now and then is wrong


class Hasty(SystemIds):
    """Does not wait between attempts."""

    def jitter(self, low: float, high: float) -> float:
        return 0.0


def broken(report: ProbeReport) -> set[str]:
    """The checks, required or not, that the store was seen to violate."""
    return {check.name for check in report.checks if check.outcome is Outcome.BROKEN}


@pytest.mark.parametrize("thorough", [False, True])
async def test_safe_store_is_safe(thorough: bool) -> None:
    """On a store that keeps every promise every check holds, in both forms, and nothing is left behind."""
    store = MemoryStore()
    report = await probe(store, thorough=thorough)
    assert [check.name for check in report.checks if not check.held] == []
    assert report.safe
    assert await every_key(store, "") == []


async def test_safe_store_is_safe_under_interleaving() -> None:
    """Racing requests that give way to each other still leave one winner each."""
    for _ in range(REPEATS):
        assert (await probe(PassingOn(MemoryStore()))).safe


@pytest.mark.parametrize(
    ("unsafe", "at_least"),
    [
        (IgnoresIfMatch, {"if-match-race", "lost-update-race", "stale-match", "match-on-missing"}),
        (IgnoresIfAbsent, {"if-absent-race", "absent-on-existing", "absent-after-delete"}),
        (ChecksThenWrites, {"if-absent-race", "if-match-race", "lost-update-race"}),
        (IgnoresExpires, {"write-window"}),
        (IgnoresExpiresOfDeletes, {"write-window"}),
        (RemembersReads, {"read-after-write"}),
        (KeepsETags, {"etag-changes"}),
        (ListsBackwards, {"list-order"}),
        (ForgetsCursor, {"list-pages"}),
        (StoppedClock, {"store-clock"}),
    ],
)
async def test_unsafe_store_is_refused_every_time(
    unsafe: Callable[[ObjectStore], ObjectStore], at_least: set[str]
) -> None:
    """The short form finds the broken promise in every one of many probes, and cleans up after itself."""
    store = unsafe(MemoryStore())
    for _ in range(REPEATS):
        report = await probe(store, ids=Hasty())
        assert not report.safe
        assert at_least <= broken(report)
    assert (await store.list("_probe/")).objects == ()


async def test_check_then_act_passes_all_sequential_checks() -> None:
    """A store that checks first and writes later breaks in races only: without them it would be called safe."""
    report = await probe(ChecksThenWrites(MemoryStore()))
    assert broken(report) == {"if-absent-race", "if-match-race", "lost-update-race"}


@pytest.fixture(params=["ministack", "seaweedfs", "rclone", "s3rver"])
async def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """Each S3 server that this machine can start."""
    server: S3Server = request.getfixturevalue(request.param)
    server.use(monkeypatch)
    return server


@pytest.fixture
async def bucket(server: S3Server) -> AsyncIterator[ObjectStore]:
    """A prefix of its own there."""
    options = S3Options(endpoint_url=server.endpoint_url, allow_http=True, attempts=2, backoff=0.01)
    store = await S3Store.open(server.location(), options)
    yield store
    await store.aclose()


async def test_real_servers_are_told_apart(server: S3Server, bucket: ObjectStore) -> None:
    """The short form passes S3 servers with atomic conditions, and refuses those that ignore them, every time.

    A race may be left undecided instead of broken: rclone, now and then, takes minutes over one of several racing PUTs.
    """
    races = {"if-absent-race", "if-match-race", "lost-update-race"}
    if server.name in ("ministack", "seaweedfs"):
        for _ in range(3):
            report = await probe(bucket)
            assert [(check.name, check.detail) for check in report.checks if check.required and not check.held] == []
        assert await every_key(bucket, "_probe/") == []
    else:
        for _ in range(3):
            report = await probe(bucket)
            assert [(check.name, check.detail) for check in report.checks if check.name in races and check.held] == []
            assert {"stale-match", "absent-on-existing"} <= broken(report)


async def test_store_that_ignores_signatures_windows_is_refused(
    ministack: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that takes a PUT after its X-Amz-Expires fails that check, and no other."""
    ministack.use(monkeypatch)
    async with ScriptedServer.running() as gateway:
        gateway.answer = signing_anew(ministack)
        store = await S3Store.open(ministack.location(), S3Options(endpoint_url=gateway.url, allow_http=True))
        assert broken(await probe(store)) == {"write-window"}
        await store.aclose()


@pytest.mark.parametrize("server", ["ministack"], indirect=True)
async def test_races_are_real_over_a_network(bucket: ObjectStore) -> None:
    """Racers really are in flight together: a store that checks by one request and writes by the next is caught."""
    for _ in range(3):
        assert {"if-absent-race", "if-match-race"} <= broken(await probe(ChecksThenWrites(bucket)))


async def test_embedded_store_is_safe(tmp_path: Path) -> None:
    """The default store may be shared by several processes."""
    store = await EmbeddedStore.open(tmp_path)
    for _ in range(3):
        report = await probe(store)
        assert [(check.name, check.detail) for check in report.checks if not check.held] == []
    await store.aclose()


TRYING = FaultRates(
    busy=0.1,
    unavailable=0.1,
    conflict=0.05,
    lost_request=0.05,
    late_request=0.03,
    lost_response=0.05,
    own_412=0.05,
    delay=0.3,
    longest_delay=0.001,
    longest_lag=0.002,
)


async def test_faults_never_turn_an_unsafe_store_safe() -> None:
    """However many answers are lost, a store that loses updates does not pass."""
    for seed in range(REPEATS):
        store = FaultyStore(ChecksThenWrites(MemoryStore()), TRYING, seed=seed)
        assert not (await probe(store)).safe
        await store.aclose()


async def test_faults_never_blame_a_safe_races_store() -> None:
    """Lost and echoed answers leave a race unclear at worst: no race on a safe store is called broken."""
    races = {"if-absent-race", "if-match-race", "lost-update-race"}
    for seed in range(REPEATS):
        store = FaultyStore(PassingOn(MemoryStore()), TRYING, seed=seed)
        assert not races & broken(await probe(store))
        await store.aclose()


async def test_silent_store_is_inconclusive_not_safe() -> None:
    """A store that is always too busy is not shown to be safe, nor to be broken."""
    report = await probe(FaultyStore(MemoryStore(), FaultRates(busy=1), seed=1), ids=Hasty())
    assert not report.safe
    assert {check.outcome for check in report.checks} == {Outcome.INCONCLUSIVE}
    assert "probe again" in advice(report)


class NoConditions(PassingOn):
    """Refuses conditional PUTs outright, as stores do that answer 501."""

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        if condition is not None:
            raise StoreMisconfigured(key, "conditional PUTs are not implemented")
        return await super().put(key, body, expires=expires, facts=facts)


class NoBucket(PassingOn):
    """Is not there at all."""

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        raise StoreMisconfigured(key, "create the bucket")


async def test_store_without_conditions_is_broken() -> None:
    """A store that takes plain PUTs and refuses conditional ones is reported, check by check."""
    report = await probe(NoConditions(MemoryStore()))
    assert {"if-absent-race", "if-match-race"} <= broken(report)


async def test_unusable_store_ends_the_probe() -> None:
    """A missing bucket is the operator's to mend, not a finding about conditional writes."""
    with pytest.raises(StoreMisconfigured):
        await probe(NoBucket(MemoryStore()))


class StopsMidway(PassingOn):
    """Cancels, or fails, the probe at its n-th PUT."""

    def __init__(self, inner: ObjectStore, at: int) -> None:
        super().__init__(inner)
        self.left = at
        self.victim: asyncio.Task[ProbeReport] | None = None

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        self.left -= 1
        if self.left == 0:
            if self.victim is None:
                raise RuntimeError("a bug")
            self.victim.cancel()
        return await super().put(key, body, condition=condition, expires=expires, facts=facts)


@pytest.mark.parametrize("at", [1, 2, 20, 60])
async def test_cancelled_probe_leaves_nothing(at: int) -> None:
    """Wherever a probe is cancelled, its objects are removed before it ends."""
    inner = MemoryStore()
    store = StopsMidway(inner, at)
    store.victim = asyncio.create_task(probe(store))
    with pytest.raises(asyncio.CancelledError):
        await store.victim
    assert await every_key(inner, "") == []


async def test_failed_probe_leaves_nothing() -> None:
    """A bug in the probe or the store shows as itself, and the probe's objects are removed all the same."""
    inner = MemoryStore()
    with pytest.raises(ExceptionGroup) as raised:
        await probe(StopsMidway(inner, 30))
    assert raised.group_contains(RuntimeError)
    assert await every_key(inner, "") == []


class HandClock:
    """A clock that a test sets."""

    def __init__(self, at: int) -> None:
        self.at = at

    def now(self) -> int:
        return self.at


async def test_old_leftovers_are_removed() -> None:
    """What a crashed probe left is removed an hour later, by the store's clock; a running one's and data are not."""
    clock = HandClock(10_000_000)
    store = MemoryStore(clock)
    crashed, running = (f"_probe/{ULID()}/x" for _ in range(2))
    await store.put(crashed, b"")
    await store.put("resources/Patient/1/current.json", b"")
    clock.at += 3_600_001
    await store.put(running, b"")
    await probe(store, clock=clock)
    assert await every_key(store, "") == [running, "resources/Patient/1/current.json"]


async def test_probes_run_side_by_side() -> None:
    """Several servers that start on one store at once all find it safe."""
    store = PassingOn(MemoryStore())
    reports = await asyncio.gather(*(probe(store) for _ in range(4)))
    assert all(report.safe for report in reports)
    assert await every_key(store, "") == []


async def test_short_form_is_short() -> None:
    """The short form, run at every start, costs at most 250 requests, and its clearing up a handful."""
    store = MeteredStore(MemoryStore())
    report = await probe(store)
    assert report.requests <= 250
    assert sum(store.totals.requests.values()) <= report.requests + 5


async def test_effort_is_a_parameter() -> None:
    """How many race, and how often, is the caller's to choose."""
    few = await probe(MemoryStore(), effort=Effort(racers=(2,), counters=2, patient=False))
    assert few.requests < (await probe(MemoryStore(), effort=SHORT)).requests


HURRIED = replace(SHORT, seconds=0.5)


@pytest.mark.parametrize(
    ("silent", "undecided"),
    [
        (NeverAnswersIfMatch, {"if-match-race", "lost-update-race", "stale-match", "match-on-missing"}),
        (NeverDeletesMany, {"delete-many"}),
    ],
)
async def test_store_that_never_answers_does_not_hold_the_probe(
    silent: Callable[[ObjectStore], ObjectStore], undecided: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not answered in time is inconclusive: the probe ends, and so does its removal."""
    monkeypatch.setattr(run, "REMOVAL", 0.1)
    report = await probe(silent(MemoryStore()), effort=HURRIED)
    assert undecided <= set(report.failed(Outcome.INCONCLUSIVE))
    assert not report.safe
    assert not report.broken
    assert all(check.held or check.detail == "not decided within 0.5 s" for check in report.checks)


async def test_store_that_answers_nothing_does_not_hold_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does one whose first answer never comes."""
    monkeypatch.setattr(run, "REMOVAL", 0.1)
    report = await probe(Silent(MemoryStore()), effort=HURRIED)
    assert {check.outcome for check in report.checks} == {Outcome.INCONCLUSIVE}


async def test_round_that_is_not_answered_hides_no_broken_one() -> None:
    """A store that loses updates in one race and never answers another is broken, and that is told at once."""
    store = SilentAbout(ChecksThenWrites(MemoryStore()), "if-absent-race/0-0")
    assert "if-absent-race" in broken(await probe(store))
