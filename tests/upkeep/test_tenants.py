"""Tenants are added to a store's registry and removed with their data, beside servers that serve them."""

from __future__ import annotations

import asyncio
from itertools import product

import pytest

from fhirstore import REGISTERED, FhirStore, TenantRemoval
from fhirstore.clock import SystemIds
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context, Limits
from fhirstore.commit.messages import Pause, Protocol, Replies, Result
from fhirstore.errors import (
    CorruptRecord,
    NotFound,
    StoreCannot,
    StoreMisconfigured,
    StoreUnavailable,
    TenantNotEmpty,
    Unavailable,
    UnknownTenant,
    Unsupported,
)
from fhirstore.format.keyspace import Keyspace
from fhirstore.format.registry import ADD, EVENTS, LEAVING, LIVE, LOG, MOST_TENANTS, REGISTRY, STATES, Registry, Tenant
from fhirstore.objects import list_all
from fhirstore.objects.base import ObjectStore, StoredObject
from fhirstore.objects.memory import MemoryStore
from fhirstore.tenancy import TRUSTED_FOR, RegisteredTenancy
from fhirstore.upkeep.tenants import Tenants, change, removal
from tests.commit.hurried import HandClock, hurry
from tests.jobs.working import until

PATIENT = {"resourceType": "Patient", "id": "p"}


class Seconds:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _context(objects: ObjectStore) -> Context:
    return Context(objects.now, SystemIds(), Limits())


async def _registered(*tenants: str) -> MemoryStore:
    """A store with these tenants, each with a Patient."""
    objects = MemoryStore()
    tenancy = RegisteredTenancy(objects)
    for tenant in tenants:
        await Tenants(tenancy, _context(objects)).add(tenant)
    await tenancy.look()
    for tenant in tenants:
        await FhirStore(tenancy).tenant(tenant).update(PATIENT)
    return objects


def _removal(objects: ObjectStore, tenant: str = "a", *, purge_data: bool = True) -> Protocol[int]:
    return removal(
        Keyspace.of_tenant(tenant),
        tenant,
        purge_data=purge_data,
        trusted_for=TRUSTED_FOR,
        settled=32.0,
        context=_context(objects),
        on_progress=lambda _: None,
    )


def _serves(tenancy: RegisteredTenancy, tenant: str) -> bool:
    try:
        return tenancy.place(tenant).tenant == tenant
    except UnknownTenant:
        return False


async def _keys(objects: ObjectStore, prefix: str) -> list[str]:
    return [one.key async for one in list_all(objects, prefix)]


@pytest.mark.parametrize(("event", "state"), list(product(EVENTS, STATES)))
def test_the_registry_changes_as_the_table_says(event: str, state: str | None) -> None:
    """Every event in every state: the next state, or a refusal; other tenants stay as they are."""
    known = {"b": Tenant(LIVE, 1)} | ({} if state is None else {"a": Tenant(state, 2)})
    after = Registry(known).after(event, "a", now=3, write="w")
    if state not in EVENTS[event]:
        assert after is None
        return
    assert after is not None
    assert after.state("a") == EVENTS[event][state]
    assert after.tenants["b"] == Tenant(LIVE, 1)
    if after.state("a") is not None:
        assert after.tenants["a"].added == (3 if state is None else 2)


async def test_tenants_that_are_added_at_once_are_all_there() -> None:
    """Five callers change one registry, and one of them twice: none of the changes is lost."""
    objects = MemoryStore()
    tenants = Tenants(RegisteredTenancy(objects), _context(objects))
    added = await asyncio.gather(*(tenants.add(f"t{n % 4}") for n in range(5)))
    assert sorted(added) == [False, True, True, True, True]
    assert sorted(await tenants.list()) == ["t0", "t1", "t2", "t3"]
    assert len(await _keys(objects, LOG)) == 4


async def test_a_server_notices_additions_and_removals_without_a_restart() -> None:
    """Within one interval a new tenant is served, and a removed one is unknown."""
    objects = await _registered("a")
    tenants = Tenants(RegisteredTenancy(objects), _context(objects))
    tenancy = RegisteredTenancy(objects, every=0.005)
    store = FhirStore(tenancy)
    async with tenancy.watching():
        assert (await store.tenant("a").read("Patient", "p")).version_id == 1
        with pytest.raises(UnknownTenant):
            store.tenant("b")
        await tenants.add("b")
        await tenants.remove("a", keep_data=True)
        await until(lambda: _serves(tenancy, "b") and not _serves(tenancy, "a"))
        with pytest.raises(NotFound):
            await store.tenant("b").read("Patient", "p")
        with pytest.raises(UnknownTenant):
            store.tenant("a")
    assert await tenancy.not_configured() == ["a"]


async def test_a_process_that_cannot_read_the_registry_serves_nobody() -> None:
    """After 15 s without it, no tenant: somebody may have removed it. It serves again once it can read it."""

    class Failing(MemoryStore):
        fails = False

        async def get(self, key: str) -> StoredObject:
            if self.fails:
                raise StoreUnavailable(key)
            return await super().get(key)

    objects, seconds = Failing(), Seconds()
    tenancy = RegisteredTenancy(objects, monotonic=seconds)
    with pytest.raises(Unavailable):
        tenancy.place("a")
    await Tenants(tenancy, _context(objects)).add("a")
    await tenancy.look()
    seconds.now += TRUSTED_FOR
    objects.fails = True
    assert tenancy.place("a").tenant == "a"
    seconds.now += 0.1
    with pytest.raises(StoreUnavailable):
        await tenancy.look()
    with pytest.raises(Unavailable, match="cannot be read"):
        tenancy.place("a")
    with pytest.raises(Unavailable):
        await FhirStore(tenancy).check()  # which /health/ready asks
    objects.fails = False
    await tenancy.look()
    assert tenancy.place("a").tenant == "a"
    await FhirStore(tenancy).check()
    good = (await objects.get(REGISTRY)).body
    await objects.put(REGISTRY, good[:-1])
    seconds.now += TRUSTED_FOR + 0.1
    with pytest.raises(CorruptRecord):
        await tenancy.look()
    with pytest.raises(Unavailable, match="is damaged"):
        tenancy.place("a")


async def test_removal_takes_everything_of_one_tenant_and_nothing_of_another() -> None:
    """Objects and pending uploads go; so does the tenant; one whose id begins alike stays."""
    objects = await _registered("a", "a-b")
    for n in range(2_100):
        await objects.put(f"a/binary/payload/{n}", b"")
    await objects.create_upload("a/binary/payload/pending")
    await objects.create_upload("a-b/binary/payload/pending")
    others = await _keys(objects, "a-b/")
    count = await hurry(_removal(objects), objects, HandClock())
    assert count == 2_104
    assert (await _keys(objects, "a/"), (await objects.list_uploads("a/")).uploads) == ([], ())
    assert (await _keys(objects, "a-b/"), len((await objects.list_uploads("a-b/")).uploads)) == (others, 1)
    assert list(await Tenants(RegisteredTenancy(objects), _context(objects)).list()) == ["a-b"]
    assert [key.split("_")[2] for key in await _keys(objects, LOG)] == ["add", "add", "leave", "drop"]


async def test_data_is_removed_only_after_every_server_has_heard_of_it() -> None:
    """Nothing goes before the time has passed in which a server may still serve the tenant."""
    objects = await _registered("a")
    waited, first = 0.0, None

    def counted(protocol: Protocol[Result]) -> Protocol[Result]:
        nonlocal waited, first
        replies: Replies | None = None
        while True:
            try:
                batch = next(protocol) if replies is None else protocol.send(replies)
            except StopIteration as end:
                result: Result = end.value
                return result
            if isinstance(batch, Pause):
                waited += batch.seconds
                replies = ()
                continue
            if first is None and type(batch[0]).__name__ == "Delete":
                first = waited
            replies = yield batch

    await drive(counted(_removal(objects)), objects)
    assert first is not None and first >= TRUSTED_FOR
    assert waited >= TRUSTED_FOR + Limits().settled / 1000


async def test_a_tenant_with_data_stays_unless_it_is_said_what_happens_to_it() -> None:
    """Refused at once, with everything as it was; with `keep_data` the tenant goes and its data stays."""
    objects = await _registered("a")
    tenancy = RegisteredTenancy(objects)
    tenants = Tenants(tenancy, _context(objects))
    with pytest.raises(TenantNotEmpty):
        await tenants.remove("a")
    assert (await tenants.list())["a"].state == LIVE
    assert await tenants.remove("a", keep_data=True) == 0
    for again in (False, True):
        with pytest.raises(UnknownTenant):
            await tenants.remove("a", keep_data=again)
    assert await tenants.add("a")
    await tenancy.look()
    assert (await FhirStore(tenancy).tenant("a").read("Patient", "p")).version_id == 1


async def test_what_is_written_while_a_tenant_without_data_leaves_keeps_it() -> None:
    """A server wrote before it heard of the removal: the tenant is served again."""
    objects = MemoryStore()
    tenancy = RegisteredTenancy(objects)
    tenants = Tenants(tenancy, _context(objects))
    await tenants.add("a")
    await tenancy.look()
    late = FhirStore(tenancy).tenant("a")

    async def write(_: TenantRemoval) -> None:
        await late.update(PATIENT)

    writing: list[asyncio.Task[None]] = []
    with pytest.raises(TenantNotEmpty):
        await tenants.remove(
            "a",
            trusted_for=0.05,
            settled=0.0,
            on_progress=lambda done: writing.append(asyncio.create_task(write(done))),
        )
    await asyncio.gather(*writing)
    assert (await tenants.list())["a"].state == LIVE


async def test_a_removal_that_is_killed_at_any_request_goes_on() -> None:
    """Killed after each number of batches, the same call ends with nothing left and the tenant gone."""
    whole = 0
    for die_after in range(60):
        objects = await _registered("a", "b")
        for n in range(1_100):
            await objects.put(f"a/runs/{n}", b"")
        clock = HandClock()

        def mortal(protocol: Protocol[Result], requests: int = die_after) -> Protocol[Result | None]:
            replies: Replies | None = None
            while True:
                try:
                    batch = next(protocol) if replies is None else protocol.send(replies)
                except StopIteration as end:
                    result: Result = end.value
                    return result
                if isinstance(batch, Pause):
                    replies = ()
                    continue
                if requests == 0:
                    return None
                requests -= 1
                replies = yield batch

        done = await hurry(mortal(_removal(objects)), objects, clock)
        if done is not None:
            whole += 1
            if whole > 1:
                return
        elif (await Tenants(RegisteredTenancy(objects), _context(objects)).list()).get("a") is not None:
            await hurry(_removal(objects), objects, clock)
        assert await _keys(objects, "a/") == []
        assert list(await Tenants(RegisteredTenancy(objects), _context(objects)).list()) == ["b"]
    pytest.fail("the removal never came to its end")


async def test_a_tenant_that_is_leaving_is_neither_served_nor_added_nor_kept() -> None:
    """Its data is half gone: only the removal goes on."""
    objects = await _registered("a")
    await drive(change("leave", "a", context=_context(objects)), objects)
    tenancy = RegisteredTenancy(objects)
    tenants = Tenants(tenancy, _context(objects))
    assert (await tenants.list())["a"].state == LEAVING
    with pytest.raises(UnknownTenant):
        tenancy.place("a")
    for attempt in (tenants.add("a"), tenants.remove("a", keep_data=True)):
        with pytest.raises(TenantNotEmpty):
            await attempt


async def test_an_object_that_cannot_be_removed_ends_the_removal() -> None:
    """A store that keeps an object (a lock) makes no endless loop."""

    class Locked(MemoryStore):
        async def delete_many(self, keys: object) -> None:
            """Removes nothing."""

        async def delete(self, key: str, *, expires: int | None = None) -> None:
            """Removes nothing."""

    objects = Locked()
    await Tenants(RegisteredTenancy(objects), _context(objects)).add("a")
    await objects.put("a/x", b"")
    with pytest.raises(StoreCannot, match="a/x"):
        await hurry(_removal(objects), objects, HandClock())


async def test_the_registry_is_bounded_and_guarded() -> None:
    """No more than 10,000 tenants; a registry that is none is told as damage; malformed ids are refused."""
    full = Registry({f"t{n}": Tenant(LIVE, 0) for n in range(MOST_TENANTS)})
    assert full.after(ADD, "t0", now=0, write="w") is not None
    with pytest.raises(StoreMisconfigured):
        full.after(ADD, "one-more", now=0, write="w")
    objects = MemoryStore()
    tenants = Tenants(RegisteredTenancy(objects), _context(objects))
    with pytest.raises(UnknownTenant):
        await tenants.add("Not-This")
    for body in (b"", b"[]", b'{"format":2}', b'{"tenants":{"A":{"state":"live","added":1}}}'):
        await objects.put(REGISTRY, body)
        with pytest.raises(CorruptRecord):
            await tenants.list()


async def test_a_store_without_a_registry_says_so() -> None:
    """`store.tenants` is there only where the registry names the tenants."""
    async with FhirStore.open("memory:") as store:
        with pytest.raises(Unsupported):
            _ = store.tenants
    async with FhirStore.open("memory:", tenants=REGISTERED) as store:
        assert await store.tenants.list() == {}
        assert await store.tenants.add("a")
