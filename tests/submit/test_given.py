"""Manifests that are given, and the kind of job that keeps a process's submissions to itself."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from fhirstore.clock import SystemIds
from fhirstore.errors import SourceFailed
from fhirstore.store import FhirStore
from fhirstore.submit.given import PREFIX, GivenManifests
from fhirstore.submit.local import LocalFiles
from fhirstore.submit.source import Access, Wanted
from fhirstore.submit.submitters import Submitter, Submitters
from tests.submit.providing import ACME, QUICK, Folder, finished, options, patient, request

PAGES = (f"{PREFIX}a:1", f"{PREFIX}a:2")


def given(folder: Folder, read: dict[str, int]) -> GivenManifests:
    """A manifest of two pages, each with a file."""
    manifests = {}
    for number, page in enumerate(PAGES):
        url = folder.write(f"f{number}.ndjson", [patient(f"p{number}")])
        link = [{"relation": "next", "url": PAGES[1]}] if number == 0 else []
        manifests[page] = json.dumps({"output": [{"url": url}], "link": link}).encode()
    return GivenManifests(manifests, LocalFiles(), read.__setitem__)


async def test_a_given_manifest_is_read_page_by_page(tmp_path: Path) -> None:
    """What it lists comes from the sources below, and is told of as it is read."""
    read: dict[str, int] = {}
    submit = options(tmp_path, sources=given(Folder(tmp_path), read))
    async with FhirStore.open("memory:", limits=QUICK, submit_options=submit) as store:
        clinic = store.tenant("default")
        await clinic.submissions.submit(request(PAGES[0], status="completed"))
        stop = asyncio.Event()
        worker = asyncio.create_task(store.worker(only="submit", poll=0.05).run(stop))
        status = await finished(clinic)
        stop.set()
        await worker
        assert status.manifests[0].counts.created == 2
        assert read == {path.as_uri(): path.stat().st_size for path in tmp_path.glob("*.ndjson")}


async def test_a_manifest_that_another_process_gave_is_not_there(tmp_path: Path) -> None:
    """Nor is any other URL of that form; the sources below refuse to be asked for it."""
    sources = given(Folder(tmp_path), {})
    access = Access(Submitter(identifier=ACME, tenant="default", folders=(str(tmp_path),)))
    sources.check(PAGES[0], access)
    with pytest.raises(SourceFailed):
        sources.check(f"{PREFIX}b:1", access)
    async with sources.opening(access) as source:
        with pytest.raises(SourceFailed, match="another process"):
            async with source.open(Wanted(f"{PREFIX}b:1")):
                pass
        async with source.open(Wanted(PAGES[0], start=3)) as opened:
            assert b"".join([chunk async for chunk in opened]) == sources.manifests[PAGES[0]][3:]


async def test_a_worker_leaves_submissions_of_another_kind_alone(tmp_path: Path) -> None:
    """One that does not know the submitter would fail them."""
    submit = replace(options(tmp_path), kind="submitmine")
    url = Folder(tmp_path).patients("all", [patient("a")])
    async with FhirStore.open("memory:", limits=QUICK, submit_options=submit) as store:
        clinic, stop = store.tenant("default"), asyncio.Event()
        submission = await clinic.submissions.submit(request(url, status="completed"))
        store._submit_options = replace(submit, submitters=Submitters(), kind="submit")
        other = store.worker(poll=0.02)
        store._submit_options = submit
        working = asyncio.create_task(other.run(stop))
        await clinic.jobs.create("export", {}, by=SystemIds().new())
        async with asyncio.timeout(30):
            while len([job for job in await clinic.jobs.list() if job.state.epoch]) < 1:  # noqa: ASYNC110 - tells nobody
                await asyncio.sleep(0.02)
        assert (await clinic.jobs.get(submission.job)).state.epoch == 0
        mine = asyncio.create_task(store.worker(only="submitmine", poll=0.02).run(stop))
        assert (await finished(clinic)).manifests[0].state == "processed"
        stop.set()
        await asyncio.gather(working, mine)
