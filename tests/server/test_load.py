"""`fhirstore load` sends what is in the files, as it is there, and tells what became of it."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fhirstore.clock import SystemIds
from server.commands.load import LoadSummary, Progress, Retries, load, run_load
from server.commands.load.reading import Reader, Resource, Skipped, Unreadable, find_files
from server.commands.retries import seconds_asked

SWIFT = Retries(attempts=4, first=0.001, longest=0.01, patience=0.01)


@dataclass
class Server:
    """A FHIR server of sorts: remembers what it gets, and answers what it is told to, else 201 or 200."""

    url: str
    got: list[tuple[str, str, bytes]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answers: list[Response] = field(default_factory=list)
    before: Callable[[], Awaitable[object]] | None = None

    async def answer(self, request: Request) -> Response:
        if request.url.path == "/fhir/metadata":
            return JSONResponse({"resourceType": "CapabilityStatement"})
        path = request.scope["raw_path"].decode()
        known = any(path == earlier for _, earlier, _ in self.got)
        self.got.append((request.method, path, await request.body()))
        self.headers.append(dict(request.headers))
        if self.before:
            await self.before()
        if self.answers:
            return self.answers.pop(0)
        return Response(status_code=200 if known and request.method == "PUT" else 201)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A recording server on a free port."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()  # from here on a request waits until the server has started
    recorder = Server(f"http://127.0.0.1:{listening.getsockname()[1]}/fhir")
    app = Starlette(routes=[Route("/{path:path}", recorder.answer, methods=["GET", "PUT", "POST"])])
    process = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
    serving = asyncio.create_task(process.serve(sockets=[listening]))
    yield recorder
    process.should_exit = True
    await serving


@asynccontextmanager
async def unsteady(*, drops: int = 0, leaves_after: int = -1) -> AsyncIterator[tuple[str, list[str]]]:
    """A server that hangs up on the first `drops` requests once it has read them, and is gone `leaves_after` some.

    Yields its URL and the methods it has seen.
    """
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next((int(line[15:]) for line in head.splitlines() if line.lower().startswith("content-length:")), 0)
        await reader.readexactly(length)
        method = head.split()[0]
        if method != "GET":
            seen.append(method)
        if len(seen) == leaves_after:
            listener.close()
        if method == "GET" or len(seen) > drops:
            writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/fhir", seen


def outcome(status: int, diagnostics: str, *, code: str = "invalid", **headers: str) -> Response:
    issue = [{"severity": "warning", "code": "informational"}, {"severity": "error", "code": code}]
    issue[1]["diagnostics"] = diagnostics
    return JSONResponse({"resourceType": "OperationOutcome", "issue": issue}, status, headers)


def patient(id_: str | None = None, **more: object) -> dict[str, object]:
    return {"resourceType": "Patient"} | ({"id": id_} if id_ is not None else {}) | more


def write(path: Path, *resources: object) -> Path:
    """Resources as a JSON file, or as NDJSON, by the name."""
    lines = [one if isinstance(one, str) else json.dumps(one) for one in resources]
    content = "\n".join(lines).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return path


def read(*paths: Path, whole: bool = False) -> list[object]:
    return list(Reader(find_files(paths), bundles="whole" if whole else "entries"))


async def send(server: Server, *paths: Path, **options: object) -> LoadSummary:
    return await load(paths, server.url, retries=SWIFT, **options)  # type: ignore[arg-type]  # the test names them


# --- what is sent -------------------------------------------------------------------------------------------


async def test_a_file_is_sent_byte_for_byte(server: Server, tmp_path: Path) -> None:
    """PUT to its id, with white space, escapes and decimals as they are in the file."""
    body = '{ "resourceType":"Observation", "id":"a.b-1",\n "valueQuantity":{"value":1.00, "unit":"\\u00b0C"} }\n'
    summary = await send(server, write(tmp_path / "o.json", body))
    assert server.got == [("PUT", "/fhir/Observation/a.b-1", body.encode())]
    assert server.headers[0]["content-type"] == "application/fhir+json"
    assert summary.ok
    assert (summary.types, summary.bytes) == ({"Observation": {"created": 1}}, len(body))


async def test_a_resource_without_id_is_posted(server: Server, tmp_path: Path) -> None:
    """The server gives the id."""
    await send(server, write(tmp_path / "p.json", patient(active=True)))
    assert server.got == [("POST", "/fhir/Patient", json.dumps(patient(active=True)).encode())]


@pytest.mark.parametrize("name", ["p.ndjson", "p.ndjson.gz"])
async def test_ndjson_is_sent_line_by_line(server: Server, tmp_path: Path, name: str) -> None:
    """Each line is a resource with the line's own bytes; blank lines are none."""
    lines = ['{"resourceType": "Patient", "id": "1", "x": 1E2}', "", '{"resourceType":"Group","id":"2"}\r', " "]
    summary = await send(server, write(tmp_path / name, *lines), concurrency=1)
    assert server.got == [
        ("PUT", "/fhir/Patient/1", lines[0].encode()),
        ("PUT", "/fhir/Group/2", lines[2].strip().encode()),
    ]
    assert summary.types == {"Group": {"created": 1}, "Patient": {"created": 1}}


@pytest.mark.parametrize("type_", ["transaction", "batch", "collection", "searchset"])
async def test_the_entries_of_a_container_are_sent_one_by_one(server: Server, tmp_path: Path, type_: str) -> None:
    """Entries are written anew, decimals to the digit; one with a mere fullUrl is posted."""
    bundle = (
        f'{{"resourceType":"Bundle","type":"{type_}","entry":['
        '{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient", "x":1.00}},'
        '{"resource":{"resourceType":"Basic","id":"b"}},{"request":{"method":"DELETE","url":"Patient/1"}},'
        '{"search":{"mode":"outcome"},"resource":{"resourceType":"OperationOutcome"}}]}'
    )
    summary = await send(server, write(tmp_path / "b.json", bundle), concurrency=1, bundles="entries")
    assert server.got == [
        ("POST", "/fhir/Patient", b'{"resourceType":"Patient","x":1.00}'),
        ("PUT", "/fhir/Basic/b", b'{"resourceType":"Basic","id":"b"}'),
    ]
    assert (summary.skipped, summary.ok) == (2, True)


def answered(*statuses: str, type_: str = "batch-response") -> Response:
    entries = [{"response": {"status": status}} for status in statuses]
    return JSONResponse({"resourceType": "Bundle", "type": type_, "entry": entries})


def bundle(type_: str, *requests: tuple[str, str]) -> dict[str, object]:
    entries = [{"request": {"method": method, "url": url}, "resource": patient()} for method, url in requests]
    return {"resourceType": "Bundle", "type": type_, "entry": entries}


async def test_batches_and_transactions_are_sent_whole(server: Server, tmp_path: Path) -> None:
    """As they are in the file, transactions last; each entry counts by what became of it."""
    first = write(tmp_path / "a.json", bundle("transaction", ("POST", "Patient")))
    second = write(tmp_path / "b.json", bundle("batch", ("POST", "Patient"), ("POST", "Patient"), ("PUT", "Patient/1")))
    third = write(tmp_path / "c.json", patient("1"))
    issue = {"severity": "error", "code": "value", "diagnostics": "bad", "expression": ["Bundle.entry[2]"]}
    body = json.loads(bytes(answered("201 Created", "200 OK", "400 Bad Request").body))
    body["entry"][2]["response"]["outcome"] = {"resourceType": "OperationOutcome", "issue": [issue]}
    server.answers = [JSONResponse(body), Response(status_code=201), answered("201 Created")]
    summary = await send(server, first, second, third, concurrency=1)
    assert server.got == [
        ("POST", "/fhir", second.read_bytes()),
        ("PUT", "/fhir/Patient/1", third.read_bytes()),
        ("POST", "/fhir", first.read_bytes()),
    ]
    assert summary.types == {"Patient": {"created": 3, "existing": 1, "failed": 1}}
    (group,) = summary.failures
    assert (group.cause.status, group.cause.diagnostics) == (400, "bad (Bundle.entry[2])")
    assert group.examples == [f"{second} entry[2]"]


async def test_a_transaction_that_fails_fails_every_entry_for_one_cause(server: Server, tmp_path: Path) -> None:
    """None of them is stored; a busy server is asked again, since it did nothing."""
    path = write(tmp_path / "a.json", bundle("transaction", *[("POST", "Patient")] * 3))
    server.answers = [Response(status_code=503), outcome(412, "two match")]
    summary = await send(server, path)
    assert (summary.types, summary.retries) == ({"Patient": {"failed": 3}}, 1)
    assert [(group.count, group.cause.status) for group in summary.failures] == [(3, 412)]


async def test_what_became_of_a_bundle_may_be_unknown(server: Server, tmp_path: Path) -> None:
    """504, or an answer that has other entries than were sent: it may or may not stand, and is not sent again."""
    path = write(tmp_path / "a.json", bundle("transaction", *[("POST", "Patient")] * 2))
    for answer in (outcome(504, "lost"), answered("201 Created"), Response("<html>", 200)):
        server.answers = [answer]
        assert (await send(server, path)).types == {"Patient": {"unknown": 2}}
    assert len(server.got) == 3


@pytest.mark.parametrize("type_", ["document", "message", None])
def test_other_bundles_stay_whole(tmp_path: Path, type_: str | None) -> None:
    """A document, a message, or a Bundle that does not say is a resource of its own."""
    said = {"type": type_} if type_ else {}
    path = write(tmp_path / "b.json", {"resourceType": "Bundle", "id": "b", **said, "entry": [{"resource": patient()}]})
    assert read(path) == [Resource(str(path), "Bundle", "b", path.read_bytes())]


def test_every_bundle_can_be_kept_whole(tmp_path: Path) -> None:
    """With whole bundles, a transaction is stored as the Bundle that it is."""
    path = write(tmp_path / "b.json", {"resourceType": "Bundle", "type": "transaction"})
    assert read(path, whole=True) == [Resource(str(path), "Bundle", None, path.read_bytes())]


async def test_versions_of_one_resource_are_sent_in_their_order(server: Server, tmp_path: Path) -> None:
    """A history is sent from its oldest version on, and never two versions at once."""
    entries = [{"resource": patient("1", n=n)} for n in range(9, -1, -1)]
    history = write(tmp_path / "a.json", {"resourceType": "Bundle", "type": "history", "entry": entries})
    later = write(tmp_path / "b.ndjson", *[patient("1", n=n) for n in range(10, 20)])
    summary = await send(server, history, later)
    assert [json.loads(body)["n"] for _, _, body in server.got] == list(range(20))
    assert summary.types == {"Patient": {"created": 1, "updated": 19}}


async def test_as_many_requests_are_in_flight_as_allowed_and_no_more(server: Server, tmp_path: Path) -> None:
    """The server lets nobody go before four are there; a fifth never comes meanwhile."""
    barrier = asyncio.Barrier(4)
    waiting: list[int] = []

    async def before() -> None:
        waiting.append(barrier.n_waiting)
        await barrier.wait()

    server.before = before
    summary = await send(server, write(tmp_path / "p.ndjson", *[patient(str(n)) for n in range(40)]), concurrency=4)
    assert summary.stored == 40
    assert max(waiting) == 3


async def test_a_long_body_is_sent_whole(server: Server, tmp_path: Path) -> None:
    """Megabytes arrive as they are, once more after a busy answer, too."""
    server.answers += [Response(status_code=503)]
    path = write(tmp_path / "p.json", patient("1", data="x" * 3_000_000))
    assert (await send(server, path)).ok
    assert [body for _, _, body in server.got] == [path.read_bytes()] * 2


async def test_headers_go_with_every_request(server: Server, tmp_path: Path) -> None:
    """A tenant is named by its header."""
    await send(server, write(tmp_path / "p.json", patient("1")), headers={"X-Tenant-ID": "clinic-a"})
    assert [headers["x-tenant-id"] for headers in server.headers] == ["clinic-a"]


async def test_an_id_cannot_lead_elsewhere(server: Server, tmp_path: Path) -> None:
    """An odd id is sent as one path segment, for the server to refuse; dot segments are not sent at all."""
    paths = [write(tmp_path / f"{n}.json", patient(id_)) for n, id_ in enumerate(["a/../b?x#y", "..", ".", ""])]
    summary = await send(server, *paths, write(tmp_path / "n.json", '{"resourceType":"Patient","id":1}'))
    assert [path for _, path, _ in server.got] == ["/fhir/Patient/a%2F..%2Fb%3Fx%23y"]
    assert summary.count("failed") == 4


# --- files --------------------------------------------------------------------------------------------------


def test_folders_are_walked_by_name_and_hold_other_files_too(tmp_path: Path) -> None:
    """Files below a folder that are no FHIR, hidden or named otherwise are passed over; a named one is not."""
    for name in ("b/2.json", "a/z/1.ndjson", "a/b.json.gz", "a/.index.json", ".git/x.json", "a/read.me"):
        write(tmp_path / name, patient(name[0]))
    package = write(tmp_path / "package.json", {"name": "no resource"})
    found = read(tmp_path)
    names = ["a/b.json.gz", "a/z/1.ndjson:1", "b/2.json", "package.json"]
    assert [item.source for item in found] == [str(tmp_path / name) for name in names]  # type: ignore[attr-defined]  # all have one
    assert found[-1] == Skipped(str(package))
    assert isinstance(read(package)[0], Unreadable)


@pytest.mark.parametrize("name", ["p.ndjson", "p.ndjson.gz"])
def test_ndjson_is_not_read_ahead(tmp_path: Path, name: str) -> None:
    """The first line is there long before the file is read to its end."""
    lines = [patient(str(n), text=SystemIds().new() * 100) for n in range(2000)]
    reader = Reader(find_files([write(tmp_path / name, *lines)]))
    assert next(iter(reader)).source.endswith(":1")
    assert 0 < reader.position < reader.total / 2 or name.endswith("gz")
    assert len(list(reader)) == 2000
    assert reader.position == reader.total


UNREADABLE = {
    "broken.json": ('{"resourceType":', "structure"),
    "twice.json": ('{"resourceType":"Patient","id":"1","id":"2"}', "structure"),
    "untyped.json": ('{"id":"1"}', "required"),
    "type.json": ('{"resourceType":"../Patient"}', "required"),
    "entry.json": ('{"resourceType":"Bundle","type":"batch","entry":{}}', "structure"),
    "entries.json": ('{"resourceType":"Bundle","type":"batch","entry":[1]}', "structure"),
    "resource.json": ('{"resourceType":"Bundle","type":"batch","entry":[{"resource":1}]}', "structure"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_resource_is_told_with_its_place(tmp_path: Path, name: str) -> None:
    """A file that cannot be sent is a failure of its own, with a FHIR issue code."""
    body, code = UNREADABLE[name]
    (found,) = read(write(tmp_path / name, body))
    assert isinstance(found, Unreadable)
    assert (found.code, name in found.source) == (code, True)


def test_a_damaged_archive_keeps_what_came_before(tmp_path: Path) -> None:
    """A cut-off gzip file gives the lines that are whole, and a failure."""
    path = write(tmp_path / "p.ndjson.gz", *[patient(str(n), text=SystemIds().new()) for n in range(2000)])
    path.write_bytes(path.read_bytes()[:-2000])
    *good, bad = read(path, write(tmp_path / "q.json", patient("1")))[:-1]
    assert 0 < len(good) < 2000
    assert isinstance(bad, Unreadable)


# --- when it does not go well -------------------------------------------------------------------------------


@pytest.mark.parametrize("id_", ["1", None])
async def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path, id_: str | None) -> None:
    """429 and 503 say that nothing was done, so that a PUT and a POST are sent again."""
    soon = format_datetime(datetime(2020, 1, 1, tzinfo=UTC), usegmt=True)
    server.answers += [Response(status_code=429), outcome(503, "busy", **{"Retry-After": "0"})]
    server.answers += [Response(status_code=503, headers={"Retry-After": soon})]
    summary = await send(server, write(tmp_path / "p.json", patient(id_)))
    assert (len(server.got), summary.retries, summary.stored, summary.ok) == (4, 3, 1, True)


def test_retry_after_is_heeded_up_to_the_patience() -> None:
    """The pause is at least what the server asked for, in seconds or as a date, and never beyond what we bear."""
    asked = {
        "7": 7.0,
        "Fri, 20 Nov 2026 04:47:29 GMT": 5.0,
        "Fri, 20 Nov 2020 04:47:29 GMT": 0.0,
        "soon": 0.0,
        "-1": 0.0,
    }
    for text, seconds in asked.items():
        assert seconds_asked(text, now=1_795_150_044_000) == seconds
    retries, ids = Retries(), SystemIds()
    assert 7 <= retries.pause(1, asked=7.0, ids=ids) <= 8.75
    assert 60 <= retries.pause(1, asked=3600.0, ids=ids) <= 75
    assert all(0.125 <= retries.pause(1, asked=0.0, ids=ids) <= 0.25 for _ in range(50))
    assert all(5 <= retries.pause(40, asked=0.0, ids=ids) <= 10 for _ in range(50))


async def test_patience_ends(server: Server, tmp_path: Path) -> None:
    """A server that stays busy makes a failure with its own words."""
    server.answers += [outcome(503, "still busy", code="transient") for _ in range(4)]
    summary = await send(server, write(tmp_path / "p.json", patient("1")))
    assert (len(server.got), summary.count("failed")) == (4, 1)
    assert (summary.failures[0].cause.status, summary.failures[0].cause.code) == (503, "transient")


async def test_a_put_is_repeated_after_a_lost_connection(tmp_path: Path) -> None:
    """Whatever became of the first PUT, the second one leaves the same resource."""
    async with unsteady(drops=2) as (url, seen):
        summary = await load([write(tmp_path / "p.json", patient("1"))], url, retries=SWIFT)
    assert (seen, summary.ok) == (["PUT"] * 3, True)


async def test_a_post_is_not_repeated_after_a_lost_connection(tmp_path: Path) -> None:
    """It may have created the resource, so it is reported as unknown rather than sent twice."""
    async with unsteady(drops=1) as (url, seen):
        summary = await load([write(tmp_path / "p.json", patient())], url, retries=SWIFT)
    assert (seen, summary.types, summary.ok) == (["POST"], {"Patient": {"unknown": 1}}, False)


async def test_a_post_answered_504_is_unknown(server: Server, tmp_path: Path) -> None:
    """504 says that the write may or may not stand: a POST stays unknown, a PUT is repeated."""
    server.answers += [outcome(504, "lost", code="timeout"), outcome(504, "lost", code="timeout")]
    paths = [write(tmp_path / "1.json", patient()), write(tmp_path / "2.json", patient("2"))]
    summary = await send(server, *paths, concurrency=1)
    assert (summary.types, summary.retries) == ({"Patient": {"unknown": 1, "updated": 1}}, 1)


async def test_a_server_that_goes_away_stops_the_load(tmp_path: Path) -> None:
    """Once no connection comes about, the rest of the files is not tried one by one."""
    path = write(tmp_path / "p.ndjson", *[patient(str(n)) for n in range(500)])
    async with unsteady(leaves_after=20) as (url, seen):
        summary = await load([path], url, concurrency=2, retries=SWIFT)
    assert summary.stored == len(seen)
    assert 20 <= len(seen) <= 22  # a connection or two may have been accepted before the server left
    assert 1 <= summary.count("failed") <= 4
    assert summary.stopped is not None
    assert not summary.ok


async def test_failures_are_grouped_by_cause(server: Server, tmp_path: Path) -> None:
    """Messages that differ in ids and numbers only are one group, with a few examples of where."""
    server.answers += [outcome(400, f"Patient/{n} is bad at byte {n}", code="value") for n in range(5)]
    server.answers += [Response("<html>", 413), outcome(422, "no name", code="required")]
    path = write(tmp_path / "p.ndjson", *[patient(str(n)) for n in range(8)], '{"resourceType":')
    summary = await send(server, path, concurrency=1)
    groups = {(g.cause.status, g.cause.code, g.cause.diagnostics): (g.count, g.examples) for g in summary.failures}
    assert groups == {
        (400, "value", "Patient/0 is bad at byte 0"): (5, [f"{path}:{n}" for n in (1, 2, 3)]),
        (413, "", "Request Entity Too Large"): (1, [f"{path}:6"]),
        (422, "required", "no name"): (1, [f"{path}:7"]),
        (0, "structure", "Not JSON: it ends too early, at byte 16"): (1, [f"{path}:9"]),
    }
    assert summary.types == {"(not sent)": {"failed": 1}, "Patient": {"created": 1, "failed": 7}}


async def test_progress_counts_every_resource(server: Server, tmp_path: Path) -> None:
    """Each resource is reported as it ends, and at the end the files are read."""
    seen: list[Progress] = []
    server.answers += [outcome(400, "bad")]
    path = write(tmp_path / "p.ndjson", *[patient(str(n)) for n in range(10)])
    await send(server, path, on_progress=seen.append)
    assert [p.stored + p.failed for p in seen] == list(range(1, 11))
    assert (seen[-1].position, seen[-1].total, seen[-1].failed) == (path.stat().st_size, path.stat().st_size, 1)


# --- the command --------------------------------------------------------------------------------------------


async def test_the_command_exits_0_and_prints_what_was_stored(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person gets a table by type."""
    path = write(tmp_path / "p.json", patient("1"))
    assert await asyncio.to_thread(run_load, [path], server.url, tenant="clinic-a") == 0
    assert "Patient" in capsys.readouterr().out
    assert server.headers[0]["x-tenant-id"] == "clinic-a"


async def test_the_command_exits_1_when_anything_failed(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine gets JSON on standard output and nothing else there."""
    server.answers += [outcome(400, "[bold]bad")]
    path = write(tmp_path / "p.ndjson", patient("1"), patient("2"))
    assert await asyncio.to_thread(run_load, [path], server.url, concurrency=1, as_json=True) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["created"], told["failed"], told["types"]) == (1, 1, {"Patient": {"failed": 1, "created": 1}})
    assert told["failures"][0] == {
        "status": 400, "code": "invalid", "diagnostics": "[bold]bad", "count": 1, "examples": [f"{path}:1"]
    }  # fmt: skip
    server.answers += [outcome(400, "[bold]bad")]
    assert await asyncio.to_thread(run_load, [path], server.url) == 1
    assert "[bold]bad" in capsys.readouterr().out


def _unused(tmp_path: Path) -> Sequence[tuple[Sequence[Path], str, str, str]]:
    good, other = write(tmp_path / "p.json", patient("1")), write(tmp_path / "p.xml", "<x/>")
    empty = tmp_path / "empty"
    empty.mkdir()
    return (
        ([tmp_path / "gone.json"], "http://127.0.0.1:1/fhir", "entries", "no such file"),
        ([other], "http://127.0.0.1:1/fhir", "entries", "must end in"),
        ([empty], "http://127.0.0.1:1/fhir", "entries", "holds no file"),
        ([good], "127.0.0.1:1/fhir", "entries", "not a FHIR base URL"),
        ([good], "ftp://127.0.0.1/fhir", "entries", "not a FHIR base URL"),
        ([good], "http://a:b/fhir", "entries", "not a FHIR base URL"),
        ([good], "http://127.0.0.1:1/fhir", "entries", "Is the server running?"),
        ([good], "http://127.0.0.1:1/fhir", "some", "process, entries, whole"),
    )


def test_the_command_exits_2_with_one_line_when_it_cannot_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bad usage and a server that is not there are told at once, on standard error."""
    for paths, url, bundles, says in _unused(tmp_path):
        assert run_load(paths, url, bundles=bundles) == 2
        told = capsys.readouterr()
        assert says in told.err
        assert (told.out, told.err.count("\n")) == ("", 1)


def test_byte_order_marks_are_no_part_of_what_is_sent(tmp_path: Path) -> None:
    """At the start of a file, and where files with one were joined; .ndjson, .json, compressed or not."""
    mark, body = b"\xef\xbb\xbf", b'{"resourceType":"Patient"}'
    (tmp_path / "a.ndjson").write_bytes(mark + body + b"\n" + mark + body + b"\r\n" + mark)
    (tmp_path / "b.json").write_bytes(mark + body)
    (tmp_path / "c.ndjson.gz").write_bytes(gzip.compress(mark + b"\n" + body))
    found = list(Reader(find_files([tmp_path])))
    assert [each.body for each in found if isinstance(each, Resource)] == [body] * 4
    assert len(found) == 4
