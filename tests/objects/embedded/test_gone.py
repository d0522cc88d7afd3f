"""A store whose files are removed or replaced while it is open acknowledges nothing more, and says why."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fhirstore.errors import StoreGone, StoreMisconfigured
from fhirstore.objects.base import IF_ABSENT
from fhirstore.objects.embedded.database import DATABASE, WAL
from fhirstore.objects.embedded.store import EmbeddedStore
from tests.objects.store_under_test import Put
from tests.server.serving import FHIR_JSON, serving


def removed(directory: Path) -> None:
    """The whole directory is gone."""
    shutil.rmtree(directory)


def moved(directory: Path) -> None:
    """The directory has another name."""
    directory.rename(directory.with_name("moved"))


def database_moved(directory: Path) -> None:
    """The database has another name."""
    (directory / DATABASE).rename(directory / "other.sqlite")


def database_replaced(directory: Path) -> None:
    """A copy lies in its place, as after a restore."""
    shutil.copy(directory / DATABASE, directory / "copy")
    (directory / "copy").rename(directory / DATABASE)


def log_removed(directory: Path) -> None:
    """What was committed last is gone with the log."""
    (directory / WAL).unlink()


WAYS = (removed, moved, database_moved, database_replaced, log_removed)


@pytest.mark.parametrize("away", WAYS)
async def test_write_into_files_that_are_gone_is_refused(away: Callable[[Path], None], tmp_path: Path) -> None:
    """Every kind of write raises StoreGone, alone and in groups, and the check says that it is not ready."""
    store = await EmbeddedStore.open(tmp_path / "store")
    await store.put("k", b"1")
    away(tmp_path / "store")
    with pytest.raises(StoreGone, match="restart"):
        await store.put("k", b"2")
    with pytest.raises(StoreGone):
        await store.put("new", b"2", condition=IF_ABSENT)
    with pytest.raises(StoreGone):
        await store.delete("k")
    told = await store.put_many([Put("a", b"1"), Put("b", b"2", follows=True)])
    assert isinstance(told[0], StoreGone)
    outcomes = await asyncio.gather(*(store.put(f"k/{n}", b"") for n in range(50)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StoreGone}
    with pytest.raises(StoreMisconfigured):
        await store.check()
    await store.aclose()


async def test_write_that_commits_while_the_files_go_is_not_acknowledged(tmp_path: Path) -> None:
    """Files that go between the look before and the commit's end make the write fail too."""
    store = await EmbeddedStore.open(tmp_path / "store")
    await store.put("k", b"1")
    accept = store._writer._transactions._puts.accept

    def accept_then_lose(rows: object) -> bool:
        done = accept(rows)  # type: ignore[arg-type]
        removed(tmp_path / "store")
        return done

    store._writer._transactions._puts.accept = accept_then_lose  # type: ignore[method-assign]
    with pytest.raises(StoreGone, match="may be lost"):
        await store.put("k", b"2")
    await store.aclose()


async def test_server_refuses_writes_into_files_that_are_gone(tmp_path: Path) -> None:
    """A create answers 503 with the true reason, and the server is not ready."""
    objects = await EmbeddedStore.open(tmp_path / "store")
    async with serving(objects=objects) as served:
        patient = {"resourceType": "Patient"}
        assert (await served.client.post("/fhir/Patient", json=patient, headers=FHIR_JSON)).status_code == 201
        assert (await served.client.get("/health/ready")).status_code == 200
        removed(tmp_path / "store")
        answer = await served.client.post("/fhir/Patient", json=patient, headers=FHIR_JSON)
        assert answer.status_code == 503
        assert "removed or replaced" in answer.json()["issue"][0]["diagnostics"]
        assert (await served.client.get("/health/ready")).status_code == 503
    await objects.aclose()
