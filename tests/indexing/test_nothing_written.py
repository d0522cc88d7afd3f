"""While nobody writes to an embedded store, searches send it no LIST; they see all that anyone has written."""

from __future__ import annotations

from pathlib import Path

from fhirstore.indexing import catching_up
from fhirstore.objects.embedded.store import EmbeddedStore
from fhirstore.objects.wrappers.metered import MeteredStore
from tests.indexing.machines import machine, patient


async def test_a_search_lists_only_after_a_write(tmp_path: Path) -> None:
    """One of this process or of another one; the index of this one does not know of it otherwise."""
    objects, others = await EmbeddedStore.open(tmp_path / "s"), await EmbeddedStore.open(tmp_path / "s")
    store = MeteredStore(objects)
    try:
        async with machine(store, tmp_path / "a") as one, machine(others, tmp_path / "b") as other:
            await one.clinic.update(patient("p", "Here"))
            assert await one.search("Patient", "family=here") == ["Patient/p/1"]
            with store.measure() as quiet:
                assert await one.search("Patient", "family=here") == ["Patient/p/1"]
            assert quiet.requests == {}
            for number in range(3):
                await other.clinic.update(patient(f"q{number}", "There"))
                assert len(await one.search("Patient", "family=there")) == number + 1
    finally:
        await others.aclose()
        await objects.aclose()


async def test_a_run_is_not_put_off_for_longer_than_a_second(tmp_path: Path) -> None:
    """What it does beside, such as to write the watermark, is done all the same."""
    objects = await EmbeddedStore.open(tmp_path / "s")
    store = MeteredStore(objects)
    try:
        async with machine(store, tmp_path / "a") as one:
            await one.clinic.update(patient("p", "Here"))
            await one.search("Patient", "")
            known = one.indexer._catching_up.known
            assert known is not None
            known.listed -= catching_up._WRITTEN_EVERY
            with store.measure() as late:
                await one.search("Patient", "")
            assert late.requests == {"LIST": 1}
    finally:
        await objects.aclose()
