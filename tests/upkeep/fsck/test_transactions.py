"""fsck knows what a transaction means for a resource whose `current.json` is lost."""

from __future__ import annotations

from fhirstore.commit.drive import drive
from fhirstore.commit.reading import read
from fhirstore.objects.memory import MemoryStore
from fhirstore.upkeep.fsck.run import Thoroughness, fsck
from tests.commit.hurried import HandClock, hurry
from tests.upkeep.fsck.damage import KEY, SINGLE, healthy
from tests.upkeep.fsck.transactions import commit_only, undecided
from tests.upkeep.sweep.attempts import KEYS, SETTLED, context, put

REPAIR = Thoroughness(repair=True)


async def _repaired(store: MemoryStore, clock: HandClock) -> list[str]:
    report = await hurry(fsck(KEYS, context=context(store), how=REPAIR), store, clock)
    clock.ms += SETTLED  # a rebuilt current.json is held for a while
    return [finding.kind for finding in report.findings]


async def test_a_version_that_was_not_committed_is_not_brought_back() -> None:
    """The highest version is of a transaction without a record: what is below it is rebuilt, and it is swept away."""
    clock = HandClock()
    store = MemoryStore(clock)
    await healthy(store, clock)
    await undecided(store, clock)
    await store.delete(KEY.current)
    assert "current-missing" in await _repaired(store, clock)
    await _repaired(store, clock)
    assert await _repaired(store, clock) == []
    record = await drive(read(KEY), store)
    assert record is not None
    assert record.version == 3
    assert (await put(store, clock, "a")).version == 4


async def test_a_version_that_was_committed_is_brought_back() -> None:
    """The highest version is of a committed transaction: it is the current one, in `current.json` or not."""
    clock = HandClock()
    store = MemoryStore(clock)
    await healthy(store, clock)
    await commit_only(store)
    clock.ms += SETTLED
    await store.delete(KEY.current)
    assert "current-missing" in await _repaired(store, clock)
    assert await _repaired(store, clock) == []
    for keys, version in ((KEY, 4), (SINGLE, 2)):
        record = await drive(read(keys), store)
        assert record is not None
        assert record.version == version
