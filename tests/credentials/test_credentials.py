"""What the token endpoint stores: clients, signing keys, used assertions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import count

import pytest

from fhirstore import Access, AccessDenied, Client, FhirStore
from fhirstore.credentials.assertions import KEPT
from fhirstore.credentials.signing_keys import OVERLAP, PERIOD
from fhirstore.errors import CorruptRecord, Unavailable
from fhirstore.objects.memory import MemoryStore
from fhirstore.tenancy import PrefixTenancy
from tests.commit.hurried import HandClock

CLIENT = Client(id="clinic.etl", tenant="clinic", scopes=("system/*.rs",), jwks_uri="https://etl.example/keys")
_NUMBERS = count()


def make() -> Mapping[str, object]:
    """A key; nothing here looks into it."""
    return {"kid": f"clinic.{next(_NUMBERS)}", "d": "secret"}


def stores(clock: HandClock | None = None, number: int = 2) -> list[FhirStore]:
    """Processes on one store."""
    objects = MemoryStore(clock) if clock is not None else MemoryStore()
    return [FhirStore(PrefixTenancy(objects, None)) for _ in range(number)]


async def test_a_client_is_registered_once_and_may_come_again_after_its_removal() -> None:
    """Of many that register the same id at once, one does; all processes see it."""
    one, other = (store.tenant("clinic").credentials.clients for store in stores())
    assert sorted(await asyncio.gather(*(each.add(CLIENT) for each in (one, other) * 5))) == [False] * 9 + [True]
    assert await other.find(CLIENT.id) == CLIENT
    assert await one.list() == [CLIENT]
    assert sorted(await asyncio.gather(*(each.remove(CLIENT.id) for each in (one, other)))) == [False, True]
    assert (await other.find(CLIENT.id), await one.list()) == (None, [])
    assert await other.add(CLIENT)
    assert await one.find("clinic.nobody") is None


async def test_processes_that_begin_together_sign_with_one_key() -> None:
    """The first key is made once, whoever asks."""
    rings = [store.tenant("clinic").credentials.keys for store in stores(number=5)]
    found = await asyncio.gather(*(ring.for_signing(make) for ring in rings))
    assert len({keys[0].kid for keys in found}) == 1
    assert "secret" not in repr(found)


async def test_keys_are_replaced_with_an_overlap() -> None:
    """After a month a new key signs; the old one counts for an hour more."""
    clock = HandClock()
    one, other = (store.tenant("clinic").credentials.keys for store in stores(clock))
    first = (await one.for_signing(make))[0].kid
    clock.ms += PERIOD - 1
    assert (await one.for_signing(make))[0].kid == first
    clock.ms += 2
    new = [key.kid for key in await other.for_signing(make)]
    assert (len(new), new[1]) == (2, first)
    clock.ms += OVERLAP
    assert [key.kid for key in await one.accepted()] == [new[0]]
    replaced = [key.kid for key in await one.for_signing(make, anew=True)]
    assert (len(replaced), [key.kid for key in await other.accepted()]) == (1, replaced)


async def test_an_assertion_is_used_once_in_all_processes() -> None:
    """Whoever is first; that of another client, or another tenant, is another one."""
    one, other = (store.tenant("clinic").credentials.assertions for store in stores())
    assert sorted(await asyncio.gather(*(each.use("a", "1") for each in (one, other) * 5))) == [False] * 9 + [True]
    assert await one.use("b", "1")
    assert await one.use("a", "11")


async def test_the_sweeper_removes_assertions_that_can_count_no_more() -> None:
    """Not earlier: a removed one could be used again."""
    clock = HandClock()
    store = stores(clock)[0]
    tenant = store.tenant("clinic")
    await tenant.credentials.assertions.use("a", "1")
    clock.ms += KEPT - 60_000
    assert (await tenant.upkeep.sweep()).assertions == 0
    assert not await tenant.credentials.assertions.use("a", "1")
    clock.ms += 120_000
    assert (await tenant.upkeep.sweep()).assertions == 1
    assert (await tenant.upkeep.fsck()).counts == {}


async def test_damage_is_told_and_not_guessed() -> None:
    """A damaged client is no missing client."""
    store = stores()[0]
    tenant = store.tenant("clinic")
    await tenant.credentials.clients.add(CLIENT)
    await tenant.credentials.keys.for_signing(make)
    (objects,) = store.tenancy.stores
    for key in ("clinic/access/keys.json", next(k for k in objects._objects if "clients" in k)):  # type: ignore[attr-defined]
        await objects.put(key, b"{}")
    for doing in (tenant.credentials.clients.find(CLIENT.id), tenant.credentials.keys.accepted()):
        with pytest.raises(CorruptRecord):
            await doing


async def test_credentials_are_for_administrators() -> None:
    """A client with scopes on resources cannot register another one."""
    tenant = stores()[0].tenant("clinic")
    with pytest.raises(AccessDenied):
        tenant.acting(Access(subject="s", client="c", tenant="clinic")).credentials  # noqa: B018 - it raises


def test_an_answer_that_was_lost_does_not_let_an_assertion_count() -> None:
    """Whether it was written cannot be told; so it counts for nobody."""
    from fhirstore.commit.messages import Unknown
    from fhirstore.credentials.assertions import _used

    protocol = _used("k")
    next(protocol)
    with pytest.raises(Unavailable):
        protocol.send((Unknown(),))
