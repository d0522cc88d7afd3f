"""A caller that goes away midway leaves no half a write: the protocol runs to its end without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from fhirstore.errors import NotFound
from fhirstore.objects.base import ObjectStore, PutAnswer, PutRequest, StoredObject, Written
from fhirstore.objects.embedded.store import EmbeddedStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.store import FhirStore
from fhirstore.tenancy import PrefixTenancy

PATIENT = {"resourceType": "Patient", "id": "p", "active": True}


class SlowStore(MemoryStore):
    """Every request takes two turns of the event loop before and after it is applied."""

    async def get(self, key: str) -> StoredObject:
        await _turns(2)
        return await super().get(key)

    async def put(self, key: str, body: bytes, **how: object) -> Written:
        await _turns(2)
        written = await super().put(key, body, **how)  # type: ignore[arg-type]
        await _turns(2)
        return written

    async def put_many(self, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
        await _turns(2)
        answers = await super().put_many(puts)
        await _turns(2)
        return answers


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture(params=["one by one", "at once"])
async def objects(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    """A store that decides each request by itself, and one that decides a commit along with what it follows."""
    objects = SlowStore() if request.param == "one by one" else await EmbeddedStore.open(tmp_path)
    yield objects
    await objects.aclose()


@pytest.mark.parametrize("patience", range(24))
async def test_a_cancelled_update_is_wholly_there_or_wholly_absent(objects: ObjectStore, patience: int) -> None:
    """Cancelled after any number of turns of the loop, the update ends by itself and the next one is not hindered."""
    store = FhirStore(PrefixTenancy(objects, frozenset({"default"})))
    tenant = store.tenant("default")
    caller = asyncio.create_task(tenant.update(PATIENT))
    await _turns(patience)
    if not caller.cancel():
        await caller
    await asyncio.gather(caller, return_exceptions=True)
    await store.settle()
    try:
        assert (await tenant.read("Patient", "p")).version_id == 1
        written = 1
    except NotFound:
        written = 0
    keys = [listed.key for listed in (await objects.list("")).objects]
    assert len(keys) == 4 * written, "an attempt that began was seen through, one that had not left nothing"
    assert (await tenant.update(PATIENT)).version_id == written + 1
