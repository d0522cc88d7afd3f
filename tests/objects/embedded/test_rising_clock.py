"""The store's clock never goes back: not when the machine's is set back, not at a restart, not between processes."""

import time
from pathlib import Path

import pytest

from fhirstore import FhirStore, HistoryQuery
from fhirstore.objects.embedded.store import EmbeddedStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.rising_clock import RisingClock
from fhirstore.tenancy import PrefixTenancy

HOUR = 3_600_000
NOW = 1_790_000_000_000


class HandClock:
    """A clock that a test sets."""

    def __init__(self, at: int = NOW) -> None:
        self.at = at

    def now(self) -> int:
        return self.at


class Machine:
    """Both clocks of a machine, ns; `set` moves the one that people see."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.pace = NOW * 1_000_000, 5_000_000_000
        monkeypatch.setattr(time, "time_ns", lambda: self.wall)
        monkeypatch.setattr(time, "monotonic_ns", lambda: self.pace)

    def set(self, ms: int) -> None:
        self.wall += ms * 1_000_000

    def passes(self, ms: int) -> None:
        self.wall += ms * 1_000_000
        self.pace += ms * 1_000_000


def test_clock_set_back_goes_on_in_real_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time goes on from the highest that was shown as fast as time passes, however often the clock is set back."""
    machine = Machine(monkeypatch)
    clock = RisingClock()
    assert clock.now() == NOW
    machine.set(HOUR)
    assert clock.now() == NOW + HOUR
    machine.set(-HOUR)
    assert clock.now() == NOW + HOUR
    machine.passes(1_000)
    assert clock.now() == NOW + HOUR + 1_000
    machine.set(-HOUR)
    machine.passes(1_000)
    assert clock.now() == NOW + HOUR + 2_000
    machine.set(3 * HOUR)
    assert clock.now() == NOW + 2 * HOUR + 2_000  # right again, so that one counts
    machine.set(-HOUR)
    assert clock.now() == NOW + 2 * HOUR + 2_000


def test_clock_that_runs_well_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is added to a clock that goes forward."""
    machine = Machine(monkeypatch)
    clock = RisingClock()
    for _ in range(5):
        machine.passes(7)
        assert clock.now() == machine.wall // 1_000_000


@pytest.mark.parametrize("kind", ["memory", "embedded"])
async def test_writes_after_a_clock_was_set_back_are_seen_by_since(kind: str, tmp_path: Path) -> None:
    """Clock one hour ahead, write a, clock right again, write c: whoever asks for what is new since a hears of c."""
    clock = HandClock(NOW + HOUR)
    objects = MemoryStore(clock) if kind == "memory" else await EmbeddedStore.open(tmp_path, clock=clock)
    store = FhirStore(PrefixTenancy(objects, frozenset({"default"})))
    tenant = store.tenant("default")
    a = await tenant.create(b'{"resourceType":"Basic","code":{"text":"a"}}')
    clock.at = NOW
    c = await tenant.create(b'{"resourceType":"Basic","code":{"text":"c"}}')
    assert c.last_updated >= a.last_updated
    page = await tenant.history_page(query=HistoryQuery(since=a.last_updated_ms))
    assert {entry.id for entry in page.versions} >= {c.id}
    await objects.aclose()


async def test_time_survives_a_restart_with_the_clock_set_back(tmp_path: Path) -> None:
    """The time of the last commit, and of a store that was closed, is where the next one begins."""
    clock = HandClock(NOW + HOUR)
    store = await EmbeddedStore.open(tmp_path, clock=clock)
    await store.put("a", b"1")
    clock.at += 500
    assert store.now() == clock.at
    await store.aclose()
    store = await EmbeddedStore.open(tmp_path, clock=HandClock(NOW))
    assert store.now() == NOW + HOUR + 500
    assert (await store.put("b", b"1")).date == NOW + HOUR + 500
    await store.aclose()


async def test_commits_keep_their_time(tmp_path: Path) -> None:
    """Every commit, of whatever kind, leaves its time in the database: a killed process takes none with it."""
    clock = HandClock(NOW)
    store = await EmbeddedStore.open(tmp_path, clock=clock)
    for at, write in enumerate((store.put("a", b"1"), store.delete("a"), store.put("b", b""))):
        clock.at = NOW + at
        await write
        (reached,) = store._rows._connection.execute("SELECT reached FROM clock").fetchone()
        assert reached == NOW + at
    await store.aclose()


async def test_stores_on_one_directory_have_one_clock(tmp_path: Path) -> None:
    """What one store showed, the others never go behind, whether it wrote or only read."""
    ahead, behind = HandClock(NOW + HOUR), HandClock(NOW)
    one = await EmbeddedStore.open(tmp_path, clock=behind)
    two = await EmbeddedStore.open(tmp_path, clock=ahead)
    assert two.now() == NOW + HOUR
    assert one.now() == NOW + HOUR
    assert (await one.put("a", b"1")).date == NOW + HOUR
    await two.aclose()
    assert one.now() == NOW + HOUR
    await one.aclose()


async def test_clock_file_of_another_start_of_the_machine_is_not_believed(tmp_path: Path) -> None:
    """What a file says that nobody has open is forgotten; the database's time counts."""
    store = await EmbeddedStore.open(tmp_path, clock=HandClock(NOW))
    await store.put("a", b"1")
    await store.aclose()
    (tmp_path / "clock").write_bytes(b"\x7f" * 16)
    store = await EmbeddedStore.open(tmp_path, clock=HandClock(NOW + 5))
    assert store.now() == NOW + 5
    await store.aclose()
