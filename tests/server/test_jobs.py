"""$jobs, $job and $job-file show the jobs in the store; `fhirstore jobs` shows the same without a server."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp, Message
from typer.testing import CliRunner

from fhirstore import FhirStore, Job, JobFile, JobWork, SupportedSearch
from fhirstore.jobs.pace import Pacer
from server.cli import app
from server.documents.openapi import openapi_document
from server.process.deployment import Deployment
from server.routes import TABLE
from server.settings import Settings
from tests.jobs.working import Steps, ended, failing, until, working
from tests.server.serving import Served, serving

_LINES = b"".join(b'{"resourceType":"Patient","id":"%d"}\n' % n for n in range(20_000))
_NDJSON = "application/fhir+ndjson"


class Files(Steps):
    """Writes one file as it is and one compressed."""

    async def run(self, work: JobWork) -> dict[str, object]:
        for name, body, encoding in (("plain.ndjson", _LINES, None), ("packed.ndjson", gzip.compress(_LINES), "gzip")):
            key = f"{work.keys.prefix}output/{name}"
            await work.place.objects.put(key, body)
            await work.add_file(
                JobFile(
                    name=name,
                    key=key,
                    size=len(body),
                    sha256=f"{len(body):064x}",
                    count=20_000,
                    encoding=encoding,
                    content_type=_NDJSON,
                    milliseconds=7,
                )
            )
        return {}


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


async def _with_files(served: Served) -> Job:
    clinic = served.store.tenant("default")
    async with working(served.store, Files()):
        return await ended(clinic, await clinic.jobs.create("steps", {"n": 1}, by="test"))


def _values(parameters: list[dict[str, object]]) -> dict[str, object]:
    return {
        str(one["name"]): next(value for name, value in one.items() if name.startswith(("value", "resource", "part")))
        for one in parameters
    }


async def test_jobs_are_listed_and_shown_with_their_files(served: Served) -> None:
    """Parameters with kind, status and times; of one job also its request, and the files with URL, size and hash."""
    job = await _with_files(served)
    listed = (await served.client.get("/fhir/$jobs")).json()
    (part,) = [_values(one["part"]) for one in listed["parameter"]]
    assert (part["id"], part["kind"], part["status"], part["by"]) == (job.id, "steps", "completed", "test")
    assert (await served.client.get("/fhir/$jobs?kind=other")).json() == {"resourceType": "Parameters"}
    shown = (await served.client.get("/fhir/$job", params={"id": job.id})).json()
    files = [_values(one["part"]) for one in shown["parameter"] if one["name"] == "file"]
    assert [one["name"] for one in files] == ["packed.ndjson", "plain.ndjson"]
    assert (files[1]["size"], files[1]["count"], files[1]["milliseconds"]) == (len(_LINES), 20_000, 7)
    for file in files:
        assert (await served.client.get(str(file["url"]))).content == _LINES


async def test_a_failed_job_is_shown_with_its_outcome(served: Served) -> None:
    """The reasons are an OperationOutcome."""
    clinic = served.store.tenant("default")
    async with working(served.store, Steps(step=failing)):
        job = await ended(clinic, await clinic.jobs.create("steps", {}))
    shown = _values((await served.client.get("/fhir/$job", params={"id": job.id})).json()["parameter"])
    assert shown["status"] == "failed"
    assert shown["outcome"] == {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "invalid", "diagnostics": "This cannot be done"}],
    }


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 400), ("id=", 400), ("id=x", 404), ("id=a&id=b", 400), ("id=../../x", 404), ("id=x&odd=1", 400)],
)
async def test_a_job_that_cannot_be_found_is_said_so(served: Served, query: str, status: int) -> None:
    """With an OperationOutcome."""
    response = await served.client.get(f"/fhir/$job?{query}")
    assert (response.status_code, response.json()["resourceType"]) == (status, "OperationOutcome")


@pytest.mark.parametrize("query", ["kind=", "kind=a&kind=b", "odd=1"])
async def test_a_list_that_cannot_be_made_is_refused(served: Served, query: str) -> None:
    """A kind is given once, or not at all; none of two is passed over."""
    response = await served.client.get(f"/fhir/$jobs?{query}")
    assert (response.status_code, response.json()["resourceType"]) == (400, "OperationOutcome")


async def test_ranges_of_a_file_are_served(served: Served) -> None:
    """206 with Content-Range, 416 beyond the end, the whole file for what is no single range or another file."""
    job = await _with_files(served)
    url = f"/fhir/$job-file?id={job.id}&name=plain.ndjson"
    plain = {"Accept-Encoding": "identity"}
    whole = await served.client.get(url, headers=plain)
    tag, size = whole.headers["etag"], len(_LINES)
    assert (whole.status_code, whole.headers["content-length"], whole.headers["content-type"]) == (
        200,
        str(size),
        _NDJSON,
    )
    for asked, start, end in (
        ("bytes=0-9", 0, 10),
        (f"bytes={size - 5}-", size - 5, size),
        ("bytes=-7", size - 7, size),
    ):
        part = await served.client.get(url, headers={"Range": asked})
        assert (part.status_code, part.content) == (206, _LINES[start:end])
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    beyond = await served.client.get(url, headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    for headers in ({"Range": "bytes=0-1,4-5"}, {"Range": "lines=1-2"}, {"Range": "bytes=0-1", "If-Range": '"other"'}):
        assert (await served.client.get(url, headers=headers)).content == _LINES
    resumed = await served.client.get(url, headers={"Range": "bytes=5-", "If-Range": tag})
    assert (resumed.status_code, resumed.content) == (206, _LINES[5:])
    head = await served.client.head(url, headers=plain)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(size))
    assert (await served.client.get(url, headers={"If-None-Match": tag})).status_code == 304


async def test_a_compressed_file_is_sent_as_the_client_accepts_it(served: Served) -> None:
    """As it is stored with Content-Encoding, or decompressed on its way."""
    job = await _with_files(served)
    url = f"/fhir/$job-file?id={job.id}&name=packed.ndjson"
    packed = await served.client.get(url, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == _LINES
    plain = await served.client.get(url, headers={"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in plain.headers
    assert plain.content == _LINES
    assert (await served.client.get(f"/fhir/$job-file?id={job.id}&name=none")).status_code == 404


async def test_the_documents_name_the_operations() -> None:
    """CapabilityStatement and OpenAPI are computed from the route table."""
    async with serving() as served:
        operations = (await served.client.get("/fhir/metadata")).json()["rest"][0]["operation"]
    assert {"jobs", "job", "job-file"} <= {one["name"] for one in operations}
    async with FhirStore.open("memory:") as store:
        assert {"/$jobs", "/$job", "/$job-file"} <= set(
            openapi_document(TABLE, Settings(), SupportedSearch.of(store.definitions))["paths"]  # type: ignore[call-overload]
        )


async def _make(location: str) -> tuple[str, str]:
    """A completed job and a waiting one."""
    async with FhirStore.open(location) as store:
        clinic = store.tenant("default")
        async with working(store, Files()):
            done = await ended(clinic, await clinic.jobs.create("steps", {"n": 1}))
        return done.id, (await clinic.jobs.create("steps", {})).id


def test_the_commands_show_and_cancel_jobs(tmp_path: Path) -> None:
    """ls, show, logs, files and cancel, as text and as JSON, with their exit codes."""
    location = f"file:{tmp_path / 'data'}"
    done, waiting = asyncio.run(_make(location))
    run = CliRunner()

    def jobs(*args: str) -> tuple[int, str]:
        result = run.invoke(app, ["jobs", *args, "--store", location])
        return result.exit_code, result.stdout

    code, text = jobs("ls", "--json")
    assert code == 0
    assert [one["status"] for one in json.loads(text)["default"]["jobs"]] == ["waiting", "completed"]
    assert waiting in jobs("ls")[1]
    assert jobs("ls", "--kind", "other", "--json") == (0, jobs("ls", "--kind", "other", "--json")[1])
    assert json.loads(jobs("show", done, "--json")[1])["request"] == {"n": 1}
    assert "completed" in jobs("show", done)[1]
    assert [json.loads(line)["event"] for line in jobs("logs", done, "--json")[1].splitlines()] == [
        "begin",
        "completed",
    ]
    assert "begin" in jobs("logs", done)[1]
    assert [one["name"] for one in json.loads(jobs("files", done, "--json")[1])["files"]] == [
        "packed.ndjson",
        "plain.ndjson",
    ]
    assert "plain.ndjson" in jobs("files", done)[1]
    assert "output/plain.ndjson" in jobs("files", done, "--urls")[1]
    assert jobs("cancel", done)[0] == 1
    assert jobs("cancel", waiting, "--json") == (0, jobs_json(waiting))
    assert jobs("cancel", waiting)[0] == 1
    assert jobs("show", "none")[0] == 1
    assert run.invoke(app, ["jobs", "show", done, "--store", f"file:{tmp_path / 'nowhere'}"]).exit_code == 2
    assert run.invoke(app, ["jobs", "ls", "--tenant", "other", "--store", location]).exit_code == 2


def jobs_json(id: str) -> str:
    return json.dumps({"id": id, "status": "cancelled"}, indent=2) + "\n"


@pytest.mark.parametrize("worker", [True, False])
async def test_a_server_process_runs_jobs_unless_it_is_told_not_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worker: bool
) -> None:
    """With FHIRSTORE_WORKER, which is on by default, the process claims jobs; at its end it hands them back.

    They go by the pace of its requests.
    """
    location = f"file:{tmp_path / 'data'}"
    kind = Steps(gate=asyncio.Event())
    monkeypatch.setattr(FhirStore, "_job_kinds", lambda _: (kind,))
    async with FhirStore.open(location) as store:
        clinic = store.tenant("default")
        job = await clinic.jobs.create("steps", {})
        deployment = Deployment(Settings(store=location, worker=worker))
        told: asyncio.Queue[Message] = asyncio.Queue()
        asked: asyncio.Queue[Message] = asyncio.Queue()
        monkeypatch.setattr("server.process.ending.Ending.handle_signals", lambda _: None)
        monkeypatch.setattr("server.process.deployment._collect_less", lambda: None)
        monkeypatch.setattr("server.process.deployment._take_turns_sooner", lambda: None)
        life = asyncio.create_task(deployment({"type": "lifespan", "state": {}}, asked.get, told.put))
        await asked.put({"type": "lifespan.startup"})
        assert (await told.get())["type"] == "lifespan.startup.complete"
        if worker:
            await until(lambda: kind.at_once == 1)
            await _goes_by_requests(kind.pacers[0], deployment)
        else:
            await asyncio.sleep(1.2)
        await asked.put({"type": "lifespan.shutdown"})
        await life
        state = (await clinic.jobs.get(job.id)).state
        assert (state.status, state.epoch) == ("waiting", int(worker))


async def _goes_by_requests(pacer: Pacer, app: ASGIApp) -> None:
    """A request says that others are active."""
    assert not pacer.others_active()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        assert (await client.get("/fhir/Patient/p")).status_code == 404
    assert pacer.activity is not None and pacer.activity() == (1, 0)
    assert pacer.others_active()
