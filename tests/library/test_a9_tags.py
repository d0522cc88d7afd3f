"""A9: what a lifecycle rule is to find carries tags of its kind, tenant and job or type, on every kind of store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fhirstore import ExportRequest, FhirStore, S3Options, Tags
from fhirstore.commit.limits import Limits
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.tags import KINDS
from fhirstore.tenancy import PrefixTenancy
from tests.export.reading import exported
from tests.objects.store_under_test import every_key
from tests.submit.providing import Folder, finished, options, patient
from tests.submit.providing import request as submission

LIMITS = Limits(window=2_000, transaction_window=2_000, apply=200)
STORES = ("memory", "embedded", "ministack", "seaweedfs", "minio")


@asynccontextmanager
async def opened(
    kind: str, tags: Tags | None, test: pytest.FixtureRequest, folder: Path
) -> AsyncIterator[tuple[FhirStore, ObjectStore]]:
    """A store of this kind, and its objects. Submissions come from `folder`."""
    location, s3 = f"file:{folder / 'store'}", None
    if kind == "memory":
        location = "memory:"
    elif kind != "embedded":
        server = test.getfixturevalue(kind)
        server.use(test.getfixturevalue("monkeypatch"))
        location, s3 = server.location(), S3Options(endpoint_url=server.endpoint_url, allow_http=True)
    submit = options(folder)
    async with FhirStore.open(location, s3=s3, limits=LIMITS, submit_options=submit, tags=tags) as store:
        yield store, store.tenancy.stores[0]


async def tags_of(objects: ObjectStore, prefix: str) -> dict[str, dict[str, str]]:
    """The tags of all objects below a prefix, by key."""
    return {key: dict(await objects.get_tags(key)) for key in await every_key(objects, prefix)}


def all_tagged(found: Iterable[dict[str, str]], **wanted: str) -> bool:
    """Whether each has these tags, and there is one at least."""
    listed = list(found)
    return bool(listed) and all(wanted.items() <= tags.items() for tags in listed)


@pytest.mark.parametrize("kind", STORES)
async def test_a9_exports_submissions_and_versions_are_tagged(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Files of an export, raw lines of a submission, slots of single writes and of transactions; nothing else."""
    async with opened(kind, Tags(frozenset(KINDS)), request, tmp_path) as (store, objects):
        clinic = store.tenant("default")
        await clinic.create(patient("single"))
        entries = [{"resource": patient("x"), "request": {"method": "POST", "url": "Patient"}} for _ in range(2)]
        await clinic.process({"resourceType": "Bundle", "type": "transaction", "entry": entries})
        url = Folder(tmp_path).patients("all", [patient("submitted")])
        await clinic.submissions.submit(submission(url, status="completed"))
        await _worked(store)
        id_, _ = await exported(store, ExportRequest())
        await store.settle()
        found = await tags_of(objects, "default/")
        parts = {
            "version": {key: tags for key, tags in found.items() if "/_history/" in key},
            "export": {key: tags for key, tags in found.items() if key.endswith(".ndjson") and "bulk/export/" in key},
            "submission": {key: tags for key, tags in found.items() if "/raw/" in key},
        }
        for name, tagged in parts.items():
            assert all_tagged(tagged.values(), kind=name, tenant="default"), name
        assert all_tagged(parts["version"].values(), type="Patient")
        assert all_tagged(parts["export"].values(), job=id_)
        assert len({tags["job"] for tags in parts["submission"].values()}) == 1
        others = {key for key in found if not any(key in tagged for tagged in parts.values())}
        assert all(found[key] == {} for key in others)


async def _worked(store: FhirStore) -> None:
    stop = asyncio.Event()
    worker = asyncio.create_task(store.worker(only="submit", poll=0.05).run(stop))
    try:
        await finished(store.tenant("default"))
    finally:
        stop.set()
        await worker


@pytest.mark.parametrize("kinds", [None, frozenset[str]()])
async def test_a9_versions_carry_no_tags_unless_asked_for(kinds: frozenset[str] | None) -> None:
    """By default only the other kinds are tagged; each kind can be switched off."""
    objects = MemoryStore()
    store = FhirStore(PrefixTenancy(objects, None), tags=None if kinds is None else Tags(kinds))
    await store.tenant("default").create(patient("x"))
    assert set(map(str, (await tags_of(objects, "")).values())) == {"{}"}
    assert (store._engine.tags.facts("payload", "t") is None) == (kinds is not None)


async def test_a9_tags_cost_no_request() -> None:
    """Creates, updates, deletes and transactions send what they send without tags."""
    counts = []
    for tags in (Tags(), Tags(frozenset(KINDS))):
        objects = MeteredStore(MemoryStore())
        clinic = FhirStore(PrefixTenancy(objects, None), tags=tags).tenant("default")
        entry = {"resource": patient("x"), "request": {"method": "POST", "url": "Patient"}}
        with objects.measure() as measured:
            for number in range(3):
                await clinic.update(patient("a", language=f"x-{number}"))
            await clinic.delete("Patient", "a")
            await clinic.process({"resourceType": "Bundle", "type": "transaction", "entry": [entry, entry]})
            await clinic._engine.settle()
        counts.append((dict(measured.requests), measured.bytes_written))
    assert counts[0][0] == counts[1][0]


def test_a9_an_unknown_kind_is_refused() -> None:
    """A misspelt kind would leave objects without tags for ever."""
    with pytest.raises(ValueError, match="no such kind of object: verison"):
        Tags(frozenset({"verison"}))
