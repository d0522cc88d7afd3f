"""The face of a tenant: `clinic.runs("dataset")`, on every kind of store by its location alone."""

from __future__ import annotations

import asyncio

import pytest

from fhirstore import FhirStore, InvalidName, RunNotFound
from fhirstore.objects.base import Condition, Written
from fhirstore.objects.facts import Facts
from fhirstore.objects.memory import MemoryStore
from fhirstore.tenancy import PrefixTenancy

DAY = {"day": "2026-11-28"}


async def test_tenants_do_not_see_each_other() -> None:
    """The same dataset and run id are two runs."""
    async with FhirStore.open("memory:", tenants=("north", "south")) as store:
        async with store.tenant("north").runs("labs").writer(DAY, run_id="r") as run:
            await run.write(b"1")
            await run.finalize()
        with pytest.raises(RunNotFound):
            await store.tenant("south").runs("labs").open(DAY, run_id="r")
        assert (await store.tenant("south").runs("labs").partitions()).partitions == ()
        assert (await store.tenant("north").runs("labs").open(DAY, run_id="r")).run_id == "r"
        with pytest.raises(InvalidName):
            store.tenant("north").runs("../south")


class HoldingStore(MemoryStore):
    """Lets the PUT of a seal wait."""

    def __init__(self) -> None:
        super().__init__()
        self.sealing = asyncio.Event()
        self.may_go = asyncio.Event()

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        if key.endswith("metadata.json"):
            self.sealing.set()
            await self.may_go.wait()
        return await super().put(key, body, condition=condition, expires=expires, facts=facts)


async def test_a_cancelled_finalize_is_finished() -> None:
    """The files are kept, since the run may be sealed; and it is, by what goes on without the caller."""
    objects = HoldingStore()
    store = FhirStore(PrefixTenancy(objects, frozenset({"clinic"})))
    runs = store.tenant("clinic").runs("labs")

    async def write() -> None:
        async with runs.writer(DAY, run_id="r") as run:
            await run.write(b"1")
            await run.finalize()

    task = asyncio.create_task(write())
    await objects.sealing.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    objects.may_go.set()
    await store.settle(within=10.0)
    run = await runs.open(DAY, run_id="r")
    await run.verify()


async def test_tags_and_content_type_are_on_the_objects() -> None:
    """On the files and on the seal, with two of our own, so that lifecycle rules can find them."""
    objects = MemoryStore()
    runs = FhirStore(PrefixTenancy(objects, frozenset({"clinic"}))).tenant("clinic").runs("labs")
    async with runs.writer(DAY, tags={"keep": "7y"}) as writer:
        await writer.write(b"1")
        run = await writer.finalize()
    for key in (run.key(), run.key().replace("payload.jsonl", "metadata.json")):
        assert await objects.get_tags(key) == {"kind": "run", "dataset": "labs", "keep": "7y"}
