"""A store that cannot be used is not well, and the answer says why."""

from __future__ import annotations

from pathlib import Path

from fhirstore.errors import StoreBusy, StoreMisconfigured
from fhirstore.objects import Facts, StoredObject, Written, health
from fhirstore.objects.base import Condition
from fhirstore.objects.embedded.store import EmbeddedStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.passing_on import PassingOn


class Missing(PassingOn):
    """Is not there."""

    async def check(self) -> None:
        raise StoreMisconfigured(detail="create the bucket")


class Busy(PassingOn):
    """Takes no write."""

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        raise StoreBusy(key, "slow down")


class Forgetful(PassingOn):
    """Gives back other bytes."""

    async def get(self, key: str) -> StoredObject:
        found = await super().get(key)
        return StoredObject(found.body[1:], found.etag, found.date)


async def test_a_store_that_cannot_be_used_is_not_well() -> None:
    """Missing, refusing writes, giving back other bytes: each is told apart, and nothing is left behind."""
    inner = MemoryStore()
    told = await health(Missing(inner))
    assert (told.well, told.detail) == (False, "create the bucket")
    assert (await health(Busy(inner))).well
    told = await health(Busy(inner), write=True)
    assert not told.well
    assert told.detail.endswith("slow down")
    told = await health(Forgetful(inner), write=True)
    assert "other bytes" in told.detail
    assert (await inner.list("")).objects == ()


async def test_a_directory_that_was_removed_is_not_well(tmp_path: Path) -> None:
    """The embedded store says that its files are gone."""
    store = await EmbeddedStore.open(tmp_path / "store")
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    told = await health(store)
    assert (told.well, "gone" in told.detail) == (False, True)
    await store.aclose()
