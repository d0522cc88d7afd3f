"""The engine answers at the commit point, and sees everything else to its end, whoever goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Limits
from fhirstore.commit.reading import read
from fhirstore.commit.transaction import Part
from fhirstore.engine import Engine
from fhirstore.errors import VersionConflict
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.record import decode
from fhirstore.objects.base import PutAnswer, PutRequest, StoredObject
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.tenancy import Place, PrefixTenancy
from tests.commit.writing import increment


class Patient(MemoryStore):
    """PUTs wait while the gate is closed, once they are counted; every request takes a few turns of the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.close_after = 1_000_000  # batches of PUTs

    async def get(self, key: str) -> StoredObject:
        await asyncio.sleep(0)
        return await super().get(key)

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        self.close_after -= 1
        if self.close_after < 0:
            await self.gate.wait()
        await asyncio.sleep(0)
        return await super().put_many(puts)


def _engine(objects: MemoryStore | MeteredStore) -> tuple[Engine, Place]:
    return Engine(limits=Limits()), PrefixTenancy(objects, frozenset({"t"})).place("t")


def _parts(place: Place, count: int = 3) -> list[Part]:
    return [Part(place.keys.resource("Basic", f"r{n}"), increment()) for n in range(count)]


async def _versions(place: Place, *all_keys: ResourceKeys) -> list[int]:
    found = [await drive(read(keys), place.objects) for keys in all_keys]
    return [0 if record is None else record.version for record in found]


async def test_the_answer_does_not_wait_for_what_is_left_to_do() -> None:
    """The caller is answered at the commit point; `settle` waits until all is final."""
    objects = Patient()
    engine, place = _engine(objects)
    parts = _parts(place)
    objects.close_after = 1  # announcing passes, making final does not; the record is a PUT by itself
    objects.gate.clear()
    outcomes = await asyncio.wait_for(engine.transact(place, parts), 10)
    assert [outcome.applied for outcome in outcomes] == [True] * 3
    current = parts[0].keys.current
    assert decode((await objects.get(current)).body, "").intent is not None
    assert await _versions(place, *(part.keys for part in parts)) == [1, 1, 1]
    objects.gate.set()
    await engine.settle()
    assert decode((await objects.get(current)).body, "").intent is None


async def test_what_is_final_is_remembered() -> None:
    """An update after a transaction skips its GET: the new ETag is known."""
    objects = MeteredStore(MemoryStore())
    engine, place = _engine(objects)
    parts = _parts(place, 2)
    await engine.transact(place, parts)
    await engine.settle()
    with objects.measure() as cost:
        outcome = await engine.commit(place, parts[0].keys, increment())
    assert outcome.record is not None
    assert outcome.record.version == 2
    assert cost.requests == {"PUT": 4}


async def test_writers_of_the_process_wait_for_their_turn() -> None:
    """Transactions over the same resources in different orders, and updates between: nobody starts over."""
    objects = MeteredStore(MemoryStore())
    engine, place = _engine(objects)
    parts = _parts(place)
    with objects.measure() as cost:
        await asyncio.gather(
            engine.transact(place, parts),
            engine.commit(place, parts[1].keys, increment()),
            engine.transact(place, parts[::-1]),
            engine.commit(place, parts[0].keys, increment()),
            engine.transact(place, parts[1:]),
        )
        await engine.settle()
    assert await _versions(place, *(part.keys for part in parts)) == [3, 4, 3]
    assert cost.requests["PUT"] == 2 * 4 + 2 * (5 * 3 + 1) + (5 * 2 + 1)


async def test_a_refusal_reaches_the_caller() -> None:
    """What a part raises is raised, and the turns are free again."""
    engine, place = _engine(MemoryStore())
    parts = _parts(place)
    refusing = [*parts[:2], Part(parts[2].keys, increment(if_match=5))]
    with pytest.raises(VersionConflict):
        await engine.transact(place, refusing)
    await engine.transact(place, parts)
    await engine.settle()
    assert await _versions(place, *(part.keys for part in parts)) == [1, 1, 1]


async def test_any_error_reaches_the_caller() -> None:
    """An error that is nobody's refusal does not leave the caller waiting."""
    engine, place = _engine(MemoryStore())

    def broken(_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(engine.transact(place, [Part(place.keys.resource("Basic", "r"), broken)]), 10)
    await engine.settle()


@pytest.mark.parametrize("patience", range(0, 24, 2))
async def test_a_cancelled_caller_leaves_a_whole_transaction(patience: int) -> None:
    """Cancelled after any number of turns of the loop, it ends by itself, and all is there and final."""
    objects = Patient()
    engine, place = _engine(objects)
    parts = _parts(place)
    caller = asyncio.create_task(engine.transact(place, parts))
    for _ in range(patience):
        await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    await engine.settle()
    seen = set(await _versions(place, *(part.keys for part in parts)))
    assert seen == ({0} if patience == 0 else {1})
    for part in parts if patience else ():
        assert decode((await objects.get(part.keys.current)).body, "").intent is None
