"""`fhirstore submit` into a store: the engine of the server, in the command's own process."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from fhirstore import TenantStore
from fhirstore.errors import NotFound
from server.commands.submit import CannotSubmit, SubmitSummary, submit_here
from server.commands.submit.command import run_submit
from server.commands.submit.order import order_of
from server.commands.submit.progress import Progress
from server.process.deployment import open_store
from server.settings import Settings
from tests.submit.fetching.serving import serving


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    """Of an empty store in a folder."""
    settings = Settings(store=f"file:{tmp_path / 'store'}")
    async with open_store(settings, create=True):
        return settings


@asynccontextmanager
async def clinic(settings: Settings) -> AsyncIterator[TenantStore]:
    async with open_store(settings) as store:
        yield store.tenant("default")


def patients(*ids: str) -> bytes:
    return b"".join(json.dumps({"resourceType": "Patient", "id": id}).encode() + b"\n" for id in ids)


async def test_a_folder_is_taken_over_and_refused_lines_are_told(tmp_path: Path, settings: Settings) -> None:
    """By file and line, and every other resource is stored; the same again changes nothing where it is unchanged."""
    data = tmp_path / "data"
    (data / "deleted").mkdir(parents=True)
    (data / "Patient.ndjson").write_bytes(patients("a", "b", "gone") + b"{nonsense\n")
    (data / "Observation.ndjson.gz").write_bytes(
        gzip.compress(b'{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"}}\n')
    )
    entry = {"request": {"method": "DELETE", "url": "Patient/gone"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    (data / "deleted" / "Bundle.ndjson").write_text(json.dumps(bundle) + "\n")
    seen: list[Progress] = []
    summary = await submit_here(order_of([str(data)]), settings, on_progress=seen.append)
    assert summary.status == "complete" and not summary.ok and summary.failed == 1
    assert summary.counts["created"] == 4 and summary.counts["deleted"] == 1 and summary.accepted == 5
    (problem,) = summary.problems
    assert problem.text.startswith("Patient.ndjson, line 4:")
    assert seen[-1].read == seen[-1].total > 0
    (data / "deleted" / "Bundle.ndjson").unlink()
    again = await submit_here(order_of([str(data)], mode="create-only"), settings)
    assert (again.counts["existing"], again.counts["created"]) == (3, 1) and again.submission != summary.submission
    async with clinic(settings) as store:
        assert [job.status for job in await store.jobs.list()] == ["completed", "completed"]


async def test_files_come_from_the_hosts_that_were_named_and_from_no_other(tmp_path: Path, settings: Settings) -> None:
    """A manifest by URL may name files of its own host, and of those that are allowed."""
    files = {"/Patient.ndjson": patients("a")}

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        content = files.get(request.path)
        return web.Response(status=404) if content is None else web.Response(body=content)

    async with serving(answer) as own, serving(answer) as other:
        output = [{"type": "Patient", "url": provider.url("/Patient.ndjson")} for provider in (own, other)]
        files["/manifest"] = json.dumps({"transactionTime": "2026-11-28T00:00:00Z", "output": output}).encode()
        refused = await submit_here(order_of([own.url("/manifest")]), settings)
        assert refused.counts["created"] == 1 and refused.failed == 1 and not other.seen
        assert "not on this submitter's list" in refused.problems[0].text
        taken = await submit_here(order_of([own.url("/manifest")], hosts=(other.host,)), settings)
        assert taken.ok and taken.counts["updated"] == 2 and len(other.seen) == 1
        plain = await submit_here(
            order_of([own.url("/Patient.ndjson")], ids="remap", base="https://source.example.org/fhir"), settings
        )
        assert plain.ok and plain.counts["created"] == 1
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"output": [{"type": "Patient", "url": "p.ndjson"}, {"url": "file:///etc/passwd"}]}))
    (tmp_path / "p.ndjson").write_bytes(patients("local"))
    local = await submit_here(order_of([str(path)]), settings)
    assert local.counts["created"] == 1 and "outside of the submitter's folders" in local.problems[0].text


async def test_what_cannot_start_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No store, no such tenant, nothing to stop, no base for new ids."""
    (tmp_path / "p.ndjson").write_bytes(patients("a"))
    order = order_of([str(tmp_path)])
    nowhere = Settings(store=f"file:{tmp_path / 'none'}")
    assert await asyncio.to_thread(run_submit, order, nowhere) == 2
    assert "no fhirstore at" in capsys.readouterr().err
    settings = Settings(store=f"file:{tmp_path / 'store'}")
    async with open_store(settings, create=True):
        pass
    for more, stop, told in (
        ({"tenant": "other"}, False, "other"),
        ({}, True, "is unfinished"),
        ({"ids": "remap"}, False, "--fhir-base-url"),
    ):
        with pytest.raises(CannotSubmit, match=told):
            await submit_here(order_of([str(tmp_path)], **more), settings, stop=stop)
    async with clinic(settings) as store:
        assert not await store.jobs.list()
        with pytest.raises(NotFound):
            await store.read("Patient", "a")


async def test_where_one_of_several_is_refused_nothing_is_begun(tmp_path: Path, settings: Settings) -> None:
    """No half of a submission waits in the store."""
    (tmp_path / "p.ndjson").write_bytes(patients("a"))
    with pytest.raises(CannotSubmit, match="fragment"):
        await submit_here(order_of([str(tmp_path / "p.ndjson"), "https://x.example.org/manifest#part"]), settings)
    async with clinic(settings) as store:
        assert [job.is_live for job in await store.jobs.list()] in ([], [False])


async def test_a_deadline_ends_the_command_and_not_the_submission(settings: Settings) -> None:
    """A source that hangs: the command ends with a summary that says how to go on."""
    held = asyncio.Event()

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        await held.wait()
        return web.Response()

    async with serving(answer) as provider:
        late: SubmitSummary = await submit_here(order_of([provider.url("/Patient.ndjson")]), settings, deadline=1)
        held.set()
    assert late.status == "incomplete" and not late.ok and "1 s" in str(late.stopped) and "--stop" in str(late.again)
