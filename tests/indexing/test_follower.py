"""What runs in the background: one process of a machine looks for others' writes and purges, each applies its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from copy import deepcopy
from pathlib import Path

import pytest

from fhirstore.indexing.options import IndexOptions
from fhirstore.indexing.verify import verify
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from tests.indexing.machines import Machine, machine, patient

FOLLOWS = IndexOptions(follow=True, poll=0.02)
LOCAL = IndexOptions(consistency="local", poll=0.02)


async def eventually(what: Callable[[], Awaitable[bool]]) -> None:
    """Waits until it is so; ten seconds at most."""
    async with asyncio.timeout(10):
        while not await what():  # noqa: ASYNC110 - what it waits for is another process's, too
            await asyncio.sleep(0.01)


async def has(one: Machine, number: int) -> bool:
    """Whether the file has so many resources, as it is."""
    return (await one.indexer.status()).resources == number


async def test_what_a_process_wrote_is_applied_without_a_search(tmp_path: Path) -> None:
    """And the status says that it waits until then."""
    async with machine(MemoryStore(), tmp_path / "a", options=FOLLOWS) as one:
        one.indexer.follow()
        one.wrote(await one.clinic.update(patient("p", "Own")))
        assert (await one.indexer.status()).queued == 1
        await eventually(lambda: has(one, 1))
        assert (await one.indexer.status()).queued == 0


async def test_others_writes_are_applied_without_a_search(tmp_path: Path) -> None:
    """By the process that leads; the lag is what has passed since its last look."""
    store = MemoryStore()
    async with machine(store, tmp_path / "a", options=FOLLOWS) as one, machine(store, tmp_path / "b") as other:
        one.indexer.follow()
        for number in range(5):
            await other.clinic.update(patient(f"p{number}", "Theirs"))
        await eventually(lambda: has(one, 5))
        status = await one.indexer.status()
        assert status.leads
        assert status.state == "ready"
        assert status.lag is not None
        assert status.lag < 10


async def test_one_process_of_a_machine_leads_and_another_takes_over(tmp_path: Path) -> None:
    """Both apply what they wrote; when the one that leads ends, the other looks for others' writes."""
    store, path = MemoryStore(), tmp_path / "shared"
    async with machine(store, path, options=FOLLOWS) as second:
        async with machine(store, path, options=FOLLOWS) as first:
            first.indexer.follow()
            await eventually(lambda: leads(first))
            second.indexer.follow()
            second.wrote(await second.clinic.update(patient("p", "Own")))
            await eventually(lambda: has(first, 1))
            assert not await leads(second)
        await second.clinic.update(patient("q", "Unheard"))
        await eventually(lambda: has(second, 2))
        await eventually(lambda: leads(second))  # it may have found that while it applied its own, a look before


async def leads(one: Machine) -> bool:
    """Whether this process leads."""
    return one.indexer.lead.held


async def test_a_local_search_sends_nothing_and_finds_what_this_process_wrote(tmp_path: Path) -> None:
    """At once; what others wrote it finds as soon as a look has seen it."""
    store = MeteredStore(MemoryStore())
    seldom = IndexOptions(consistency="local", poll=60.0)
    async with machine(store, tmp_path / "a", options=seldom) as one, machine(store, tmp_path / "b") as other:
        await one.search("Patient", "")  # the first one looks at the log
        one.wrote(await one.clinic.update(patient("p", "Own")))
        await other.clinic.update(patient("q", "Theirs"))
        with store.measure() as sent:
            assert await one.search("Patient", "") == ["Patient/p/1"]
            assert await one.search("Patient", "") == ["Patient/p/1"]
        assert not sent.requests
        await one.indexer.ensure(strong=True)
        assert sorted(await one.search("Patient", "")) == ["Patient/p/1", "Patient/q/1"]


async def test_a_local_search_finds_others_writes_after_a_look(tmp_path: Path) -> None:
    """Within the seconds between two looks, more or less."""
    store = MemoryStore()
    async with machine(store, tmp_path / "a", options=LOCAL) as one, machine(store, tmp_path / "b") as other:
        assert await one.search("Patient", "") == []
        await other.clinic.update(patient("q", "Theirs"))

        async def found() -> bool:
            return await one.search("Patient", "family=theirs") == ["Patient/q/1"]

        await eventually(found)


async def test_a_local_search_finds_what_the_queue_had_no_room_for(tmp_path: Path) -> None:
    """It looks at the log once."""
    async with machine(MemoryStore(), tmp_path / "a", options=IndexOptions(consistency="local", poll=60.0)) as one:
        await one.search("Patient", "")
        one.indexer.queue.room = 100
        one.wrote(await one.clinic.update(patient("p", "Large" * 100)))
        assert one.indexer.queue.dropped
        assert await one.search("Patient", "") == ["Patient/p/1"]


async def test_a_local_search_opens_another_file_where_its_own_was_removed(tmp_path: Path) -> None:
    """Also where this process has written what the index does not have yet."""
    async with machine(MemoryStore(), tmp_path / "a", options=IndexOptions(consistency="local", poll=60.0)) as one:
        await one.search("Patient", "")
        one.wrote(await one.clinic.update(patient("p", "Own")))
        (tmp_path / "a").unlink()
        assert await one.search("Patient", "") == ["Patient/p/1"]


async def test_a_purge_on_another_machine_is_noticed(tmp_path: Path) -> None:
    """No look at the log can tell: a purge has no event. No value of the resource is kept, old ones neither."""
    store = MemoryStore()
    async with machine(store, tmp_path / "a", options=FOLLOWS) as one, machine(store, tmp_path / "b") as other:
        await other.clinic.update(patient("p", "Secret"))
        await other.clinic.update(patient("p", "Secretary"))
        await other.clinic.update(patient("q", "Kept"))
        assert await one.search("Patient", "family=secret") == ["Patient/p/2"]
        await other.clinic.upkeep.purge("Patient", "p", by="test")
        one.indexer.follow()
        await eventually(lambda: has(one, 1))
        assert await one.search("Patient", "") == ["Patient/q/1"]
        kept = await one.indexer.read(
            lambda reader: reader.rows("SELECT text FROM string UNION SELECT text FROM string_old")
        )
        assert ("kept",) in kept
        assert not [text for (text,) in kept if str(text).startswith("secret")]
        await other.clinic.update(patient("p", "Again"))
        assert sorted(await one.search("Patient", "")) == ["Patient/p/3", "Patient/q/1"]


async def test_old_rows_are_dropped(tmp_path: Path) -> None:
    """Those that no page needs any more; the others stay."""
    async with machine(MemoryStore(), tmp_path / "a") as one:
        for number in range(4):
            one.wrote(await one.clinic.update(patient("p", f"Name{number}")))
            await one.indexer.ensure()
        file, now = one.indexer.opened(), one.indexer.context.now()
        old = "SELECT count(*) FROM string_old"
        assert await one.indexer.read(lambda reader: reader.rows(old)) != [(0,)]
        file.prune(now - 3_600_000)
        assert await one.indexer.read(lambda reader: reader.rows(old)) != [(0,)]
        file.prune(now + 1)
        assert await one.indexer.read(lambda reader: reader.rows(old)) == [(0,)]
        assert await one.search("Patient", "") == ["Patient/p/4"]


async def test_a_bucket_that_went_back_in_time_is_indexed_anew(tmp_path: Path) -> None:
    """A restored bucket may have other versions at times that the index has passed: they are not trusted."""
    before, after = MemoryStore(), MemoryStore()
    for store, name in ((before, "Before"), (after, "After")):
        async with machine(store, tmp_path / name) as one:
            await one.clinic.update(patient("p", name))
    async with machine(after, tmp_path / "a") as one:
        assert await one.search("Patient", "family=after") == ["Patient/p/1"]
    async with machine(before, tmp_path / "a") as one:
        assert await one.search("Patient", "family=before") == ["Patient/p/1"]
        assert await one.search("Patient", "family=after") == []


@pytest.mark.parametrize("how", ["deleted", "overtaken"])
async def test_what_a_restored_bucket_has_again_is_found(how: str, tmp_path: Path) -> None:
    """Though since the moment of the backup the index has seen nothing but deletions, or versions that others have
    followed.
    """
    store = MemoryStore()
    async with machine(store, tmp_path / "x") as one:
        for id_ in "pqrst":
            await one.clinic.update(patient(id_, "Kept"))
    backup = deepcopy(store)
    async with machine(store, tmp_path / "a") as one:
        assert len(await one.search("Patient", "family=kept")) == 5
        if how == "deleted":
            await one.clinic.delete("Patient", "p")
        else:
            await one.clinic.update(patient("lost", "Kept"))
            for id_ in "pqrst":
                await one.clinic.update(patient(id_, "Lost"))
        await one.search("Patient", "")
    async with machine(backup, tmp_path / "b") as one:
        for id_ in "pqrst" if how == "overtaken" else "":
            for _ in range(2):
                await one.clinic.update(patient(id_, "Kept"))
    async with machine(backup, tmp_path / "a") as one:
        assert len(await one.search("Patient", "family=kept")) == 5
        assert (await verify(one.indexer)).ok
