"""The indexes of a process: each is opened when it is needed, and only so many are open at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fhirstore import FhirStore, IndexOptions, TenantStore
from fhirstore.clock import SystemIds
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context, Limits
from fhirstore.errors import InvalidResource
from fhirstore.format.registry import ADD, DROP, LEAVE
from fhirstore.indexing import indexes
from fhirstore.objects import list_all
from fhirstore.objects.memory import MemoryStore
from fhirstore.tenancy import RegisteredTenancy
from fhirstore.upkeep.tenants import change
from tests.indexing.machines import TENANT, patient
from tests.indexing.test_follower import eventually

_OPEN = Path("/proc/self/fd")


def open_files(folder: Path) -> set[str]:
    """The index files that this process holds open."""
    names = {str(link.readlink()) for link in _OPEN.iterdir() if link.is_symlink()}
    return {Path(name).name for name in names if name.startswith(str(folder)) and name.endswith(".sqlite")}


@pytest.mark.skipif(not _OPEN.exists(), reason="only Linux tells which files a process has open")
@pytest.mark.parametrize("consistency", ["strong", "local"])
async def test_only_so_many_are_open(consistency: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were used last; the others are opened again when they are needed, and find all."""
    monkeypatch.setattr(indexes, "MOST_AWAKE", 3)
    names = [f"t{number}" for number in range(8)]
    options = IndexOptions(tmp_path, "local" if consistency == "local" else "strong", poll=0.05)
    async with FhirStore.open("memory:", tenants=names, index=options) as store:
        for _ in range(2):
            for name in names:
                tenant = store.tenant(name)
                await tenant.create({"resourceType": "Patient", "name": [{"family": "Found"}]})
                await tenant.search("Patient", family="found")
        for name in names:
            assert await store.tenant(name).count("Patient", family="found") == 2

        async def few() -> bool:
            return len(open_files(tmp_path)) <= 4

        await eventually(few)
        assert open_files(tmp_path)


async def test_writes_alone_are_indexed_where_indexes_are_followed(tmp_path: Path) -> None:
    """As in a server; elsewhere an index begins with the first search."""
    options = IndexOptions(tmp_path / "index", follow=True, poll=0.05)
    async with FhirStore.open(f"file:{tmp_path / 'data'}", index=options) as store:
        tenant = store.tenant("default")
        await tenant.update(patient("p", "Followed"))

        async def indexed() -> bool:
            return (await tenant.upkeep.search_index.status()).resources == 1

        await eventually(indexed)
    async with FhirStore.open(f"file:{tmp_path / 'data'}", index=options) as store:
        other = FhirStore(store.tenancy)  # another process, which follows nothing
        await other.tenant("default").update(patient("q", "Later"))

        async def goes_on() -> bool:
            return (await store.tenant("default").upkeep.search_index.status()).resources == 2

        await eventually(goes_on)


async def test_a_library_that_only_writes_has_no_index(tmp_path: Path) -> None:
    """No folder, and no file."""
    async with FhirStore.open(f"file:{tmp_path / 'data'}") as store:
        await store.tenant("default").update(patient("p", "Written"))
    assert not (tmp_path / "data" / "index").exists()


async def test_a_tenant_made_anew_has_an_index_of_its_own(tmp_path: Path) -> None:
    """Nothing of the removed one is found, and all of the new one, though its versions have lower numbers; a process
    that does nothing for the new one does not hold it up.
    """
    objects, options = MemoryStore(), IndexOptions(tmp_path, follow=True, poll=0.02)
    await _changed(objects, ADD)
    tenancies = [RegisteredTenancy(objects), RegisteredTenancy(objects)]
    idle, server = (FhirStore(tenancy, index=options) for tenancy in tenancies)
    try:
        for tenancy in tenancies:
            await tenancy.look()
        assert await idle.tenant(TENANT).count("Patient") == 0
        for id_ in ("p", "p", "q"):
            await server.tenant(TENANT).update({"resourceType": "Patient", "id": id_})
        assert await server.tenant(TENANT).count("Patient") == 2
        await _changed(objects, LEAVE)
        for key in [found.key async for found in list_all(objects, f"{TENANT}/")]:
            await objects.delete(key)
        await _changed(objects, DROP)
        await _changed(objects, ADD)
        for tenancy in tenancies:
            await tenancy.look()
        await server.tenant(TENANT).update({"resourceType": "Patient", "id": "p"})
        found = [one async for one in server.tenant(TENANT).search("Patient")]
        assert [(one.id, one.version_id) for one in found] == [("p", 1)]
        assert await server.tenant(TENANT).count("Patient") == 1
    finally:
        await idle.aclose()
        await server.aclose()


async def test_the_file_of_a_removed_tenant_is_removed(tmp_path: Path) -> None:
    """With what its patients are called; each process that follows it notices."""
    objects, options = MemoryStore(), IndexOptions(tmp_path, follow=True, poll=0.02)
    await _changed(objects, ADD)
    tenancy = RegisteredTenancy(objects)
    server = FhirStore(tenancy, index=options)
    try:
        await tenancy.look()
        await server.tenant(TENANT).update({"resourceType": "Patient", "id": "p"})
        assert await server.tenant(TENANT).count("Patient") == 1
        (tmp_path / f"{TENANT}.sqlite.damaged").write_bytes(b"an earlier one")
        await _changed(objects, LEAVE)
        await tenancy.look()

        async def gone() -> bool:
            return {path.suffix for path in tmp_path.iterdir()} == {".lock", ".swap"}

        await eventually(gone)
    finally:
        await server.aclose()


async def test_a_tenant_that_has_nothing_has_no_file(tmp_path: Path) -> None:
    """Whatever is asked of it: whoever can name tenants fills no disk. What it gets is found at once."""
    options = IndexOptions(tmp_path / "index", follow=True, poll=0.02)
    async with FhirStore.open(f"file:{tmp_path / 'data'}", tenants=None, index=options) as store:
        for name in (f"made-up-{number}" for number in range(20)):
            asked = store.tenant(name)
            assert await asked.count("Patient", name="x") == 0
            page = await asked.search(None, {"_lastUpdated": "gt2000", "_total": "accurate", "_sort": "_lastUpdated"})
            assert (page.matches, page.next, page.total) == ((), None, 0)
            with pytest.raises(InvalidResource):
                await asked.search("Patient", {"nothing": "known"})
        assert not (tmp_path / "index").exists()
        other = FhirStore(store.tenancy)  # another process, which follows nothing
        await other.tenant("made-up-3").update(patient("p", "Later"))
        assert await asked.count("Patient") == 0
        assert await store.tenant("made-up-3").count("Patient", family="later") == 1
        await store.tenant("made-up-4").update(patient("p", "Own"))
        assert await store.tenant("made-up-4").count("Patient", family="own") == 1
        assert {path.stem for path in (tmp_path / "index").glob("*.sqlite")} == {"made-up-3", "made-up-4"}


@pytest.mark.parametrize("consistency", ["strong", "local"])
async def test_what_comes_while_a_tenant_is_found_empty_is_found(consistency: str, tmp_path: Path) -> None:
    """By all who begin to search after it was acknowledged, however many look at the time."""
    options = IndexOptions(tmp_path / "index", "local" if consistency == "local" else "strong", poll=0.02)
    async with FhirStore.open("memory:", tenants=None, index=options) as store:
        for number in range(10):
            tenant, stop = store.tenant(f"t{number}"), asyncio.Event()

            async def looking(tenant: TenantStore = tenant, stop: asyncio.Event = stop) -> None:
                while not stop.is_set():
                    await tenant.count("Patient")

            looks = [asyncio.create_task(looking()) for _ in range(4)]
            await asyncio.sleep(0.003 * number)
            writer = tenant if consistency == "local" or number % 2 else FhirStore(store.tenancy).tenant(f"t{number}")
            await writer.update(patient("p", "Found"))
            assert await tenant.count("Patient", family="found") == 1
            stop.set()
            await asyncio.gather(*looks)


async def _changed(objects: MemoryStore, event: str) -> None:
    context = Context(objects.now, SystemIds(), Limits())
    assert await drive(change(event, TENANT, context=context), objects)
