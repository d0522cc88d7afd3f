"""`fhirstore export` starts a job, waits for it, and leaves its files in a folder, checked."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest
from aiohttp import web

from server.commands.export import CannotExport, Order, run_export
from server.commands.export.asking import Answer
from server.commands.export.journal import NAME, Ended, Journal, Ordered, Started
from server.commands.export.order import check
from server.commands.export.progress import Progress
from server.commands.retries import Retries
from tests.server.export_command.scripted import SWIFT_PACE, TIME, BulkServer, outcome, run


def files_in(folder: Path) -> dict[str, bytes]:
    """The files that the export left, without its own records."""
    own = {NAME, "SHA256SUMS"}
    found = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name not in own}


# --- the kick-off -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "group", "path"),
    [
        ("system", None, "/fhir/$export"),
        ("patient", None, "/fhir/Patient/$export"),
        ("group", "g-1", "/fhir/Group/g-1/$export"),
    ],
)
async def test_each_level_has_its_endpoint(
    server: BulkServer, tmp_path: Path, level: str, group: str | None, path: str
) -> None:
    """The operation is asked for asynchronously, with FHIR's media type for what goes wrong."""
    assert (await run(server, tmp_path, level=level, group=group)).ok
    (got,) = server.asked("GET", path)
    assert (got.query, got.headers["Prefer"]) == ([], "respond-async")
    assert got.headers["Accept"] == "application/fhir+json"


async def test_parameters_go_into_the_url(server: BulkServer, tmp_path: Path) -> None:
    """Types and elements with commas; filters one by one, their own query encoded; a time zone keeps its plus."""
    await run(
        server,
        tmp_path,
        types=("Patient, Observation", "Patient"),
        since="2026-01-01T00:00:00+01:00",
        until="2026-02-01T00:00:00Z",
        type_filters=("Observation?code=a,b&status=final", "Patient?name=x y"),
        elements=("id", "Patient.name"),
        partial=True,
        lenient=True,
    )
    (got,) = server.asked("GET", "/fhir/$export")
    assert got.query == [
        ("_type", "Patient,Observation"),
        ("_elements", "id,Patient.name"),
        ("_since", "2026-01-01T00:00:00+01:00"),
        ("_until", "2026-02-01T00:00:00Z"),
        ("_typeFilter", "Observation?code=a,b&status=final"),
        ("_typeFilter", "Patient?name=x y"),
        ("allowPartialManifests", "true"),
    ]
    assert got.headers["Prefer"] == "respond-async, handling=lenient"


POSTED = [
    {"name": "_type", "valueString": "Patient"},
    {"name": "_type", "valueString": "Observation"},
    {"name": "_since", "valueInstant": TIME},
    {"name": "_typeFilter", "valueString": "Patient?active=true"},
]


@pytest.mark.parametrize("method", ["auto", "post"])
async def test_a_server_of_version_4_gets_a_post(server: BulkServer, tmp_path: Path, method: str) -> None:
    """Where there is no GET of the operation: Parameters, each value for itself."""
    server.kick_offs += [outcome(405, "POST only")] if method == "auto" else []
    types = ("Patient,Observation",)
    summary = await run(server, tmp_path, method=method, types=types, since=TIME, type_filters=("Patient?active=true",))
    assert summary.ok
    (got,) = server.asked("POST", "/fhir/$export")
    assert json.loads(got.body) == {"resourceType": "Parameters", "parameter": POSTED}
    assert got.headers["Content-Type"] == "application/fhir+json"


async def test_what_is_too_long_for_a_url_is_posted(server: BulkServer, tmp_path: Path) -> None:
    """Hundreds of filters do not fit into a request line."""
    filters = tuple(f"Observation?code=http://loinc.org|{n:05}" for n in range(400))
    assert (await run(server, tmp_path, type_filters=filters)).ok
    (got,) = server.asked("POST", "/fhir/$export")
    assert len(json.loads(got.body)["parameter"]) == 400
    assert server.asked("GET", "/fhir/$export") == []


async def test_a_busy_server_is_asked_again(server: BulkServer, tmp_path: Path) -> None:
    """429 and 503 at the kick-off: later, as Retry-After says."""
    server.kick_offs += [outcome(429, "one at a time", **{"Retry-After": "0"}), web.Response(status=503)]
    summary = await run(server, tmp_path)
    assert (summary.ok, summary.retries, len(server.asked("GET", "/fhir/$export"))) == (True, 2, 3)


async def test_a_refused_kick_off_fails_with_the_server_s_words(server: BulkServer, tmp_path: Path) -> None:
    """And the folder can be used for a better one."""
    server.kick_offs += [outcome(400, "_type: Nonsense is no resource type", code="value")]
    summary = await run(server, tmp_path, types=("Nonsense",))
    assert summary.status == "failed"
    assert summary.stopped == "The kick-off was answered 400: value _type: Nonsense is no resource type"
    assert (await run(server, tmp_path, types=("Patient",))).ok


@pytest.mark.parametrize("answer", [web.Response(status=200), web.Response(status=202)])
async def test_a_kick_off_without_a_status_url_fails(server: BulkServer, tmp_path: Path, answer: web.Response) -> None:
    """A server that answers at once does not export in bulk."""
    server.kick_offs += [answer]
    summary = await run(server, tmp_path)
    assert summary.status == "failed"
    assert "The kick-off was answered" in (summary.stopped or "")


# --- waiting ------------------------------------------------------------------------------------------------


async def test_polling_goes_on_until_it_is_complete(server: BulkServer, tmp_path: Path) -> None:
    """202, too fast, down for a moment, transient: nothing of this is the end."""
    server.polls += [
        web.Response(status=202, headers={"X-Progress": "Observation 41 % · 12,300 resources", "Retry-After": "7"}),
        outcome(429, "too fast"),
        web.Response(status=502),
        outcome(500, "deadlock", code="transient"),
        None,
    ]
    words: list[str] = []
    summary = await run(server, tmp_path, on_progress=lambda progress: words.append(progress.words))
    assert (summary.ok, len(server.asked("GET", "/status/0"))) == (True, 6)
    assert words[0].startswith("Observation 41 %")
    assert server.asked("GET", "/status/0")[0].headers["Accept"] == "application/json"


def test_retry_after_sets_the_pace() -> None:
    """What the server asks for, up to five minutes; else longer and longer."""
    pace = type(SWIFT_PACE)()
    assert [pace.pause(n, asked=0.0) for n in (1, 2, 3, 9, 99)] == [1, 2, 4, 30, 30]
    assert [pace.pause(1, asked=asked) for asked in (7.0, 18_000.0)] == [7, 300]


async def test_a_job_that_fails_is_told_with_its_reason(server: BulkServer, tmp_path: Path) -> None:
    """It is over: the next command starts a new one."""
    server.polls += [None, outcome(500, "the disk is full", code="processing")]
    summary = await run(server, tmp_path)
    assert (summary.status, summary.ok) == ("failed", False)
    assert summary.stopped == "The export failed: its status was answered 500: processing the disk is full"
    assert (await run(server, tmp_path)).ok
    assert len(server.asked("GET", "/fhir/$export")) == 2


async def test_patience_ends_but_the_job_can_be_gone_on_with(server: BulkServer, tmp_path: Path) -> None:
    """A server that stays down, and a token that is not taken, leave the job as it is."""
    server.polls += [web.Response(status=503) for _ in range(4)]
    assert (await run(server, tmp_path)).status == "incomplete"
    server.polls += [outcome(401, "expired", code="login")]
    assert (await run(server, tmp_path)).status == "incomplete"
    assert (await run(server, tmp_path)).ok
    assert len(server.asked("GET", "/fhir/$export")) == 1


async def test_the_deadline_ends_a_wait(server: BulkServer, tmp_path: Path) -> None:
    """A job that never completes is left, to be gone on with."""
    server.polls += [None] * 100_000
    summary = await run(server, tmp_path, deadline=0.3)
    assert (summary.status, summary.stopped) == ("incomplete", "not complete after 0 s")
    assert Journal.open(tmp_path, check(Order(base=server.base))).job == f"{server.url}/status/0"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"transactionTime": "yesterday"}, "no instant"),
        ({"output": None}, "the manifest is not one"),
        ({"output": [{"type": "Patient", "url": "/files/Patient.1"}]}, "no absolute URL"),
        ({"output": [{"type": "../x", "url": "http://h/x"}]}, "odd type"),
        ({"requiresAccessToken": "yes"}, "the manifest is not one"),
        ({"link": [{"relation": "next", "url": "next"}]}, "no absolute URL"),
    ],
)
async def test_a_manifest_that_cannot_be_used_is_told(
    server: BulkServer, tmp_path: Path, change: dict[str, object], says: str
) -> None:
    """Nothing is guessed, and no file is named by what a server likes."""
    server.pages = [server.manifest() | change]
    summary = await run(server, tmp_path)
    assert summary.status == "failed"
    assert says in (summary.stopped or "")


def test_statuses_that_may_pass_are_told_apart() -> None:
    """By the status, or by the issue's code; a plain 500 is the job's end."""
    transient = {408: b"", 429: b"", 502: b"", 503: b"", 504: b"", 500: b'{"issue":[{"code":"throttled"}]}'}
    final = {500: b"<html>", 400: b'{"issue":[{"code":"transient"}]}', 404: b"", 401: b""}
    assert all(Answer(status, "", {}, body, 0.0).transient for status, body in transient.items())
    assert not any(Answer(status, "", {}, body, 0.0).transient for status, body in final.items())


# --- the files ----------------------------------------------------------------------------------------------


async def test_files_are_named_by_type_and_summed(server: BulkServer, tmp_path: Path) -> None:
    """Output in the folder, deletions and messages in folders of their own; sums that sha256sum can check."""
    server.add("Patient.a", 3)
    server.add("Patient.b", 2)
    server.add("Observation.a", 5)
    server.add("Bundle.a", b'{"resourceType":"Bundle","type":"transaction","entry":[]}\n')
    server.pages = [server.manifest("Patient.a", "Observation.a", "Patient.b", deleted=[server.item("Bundle.a")])]
    summary = await run(server, tmp_path)
    assert files_in(tmp_path) == {
        "Observation.001.ndjson": server.files["Observation.a"].body,
        "Patient.001.ndjson": server.files["Patient.a"].body,
        "Patient.002.ndjson": server.files["Patient.b"].body,
        "deleted/Bundle.001.ndjson": server.files["Bundle.a"].body,
    }
    lines = (tmp_path / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    assert sums == {name: hashlib.sha256(body).hexdigest() for name, body in files_in(tmp_path).items()}
    assert summary.as_json()["output"] == {
        "Observation": {"files": 1, "count": 5, "bytes": len(server.files["Observation.a"].body)},
        "Patient": {"files": 2, "count": 5, "bytes": sum(len(server.files[f"Patient.{n}"].body) for n in "ab")},
    }
    assert (summary.transaction_time, summary.sections["deleted"]["Bundle"].count) == (TIME, 1)


async def test_a_manifest_of_version_4_is_read(server: BulkServer, tmp_path: Path) -> None:
    """`outcome` for `error`, no `request`, no type for deletions and outcomes, extensions as an array, file sizes."""
    patients, outcomes = (
        server.add("Patient.a", 3),
        server.add("OperationOutcome.a", message("information", "all is well")),
    )
    server.add("Bundle.a", b"{}\n")
    told, gone = ({"url": f"{server.url}/files/{name}"} for name in ("OperationOutcome.a", "Bundle.a"))
    manifest = server.manifest(
        "Patient.a", outcome=[{**told, "fileSize": len(outcomes.body)}], deleted=[gone], extension=[{"url": "http://x"}]
    )
    manifest["output"] = [server.item("Patient.a", fileSize=len(patients.body))]
    server.pages = [{name: value for name, value in manifest.items() if name not in {"request", "error"}}]
    summary = await run(server, tmp_path)
    assert summary.ok
    assert set(files_in(tmp_path)) == {
        "Patient.001.ndjson", "deleted/Bundle.001.ndjson", "error/OperationOutcome.001.ndjson"
    }  # fmt: skip
    assert list(summary.messages) == [("information", "informational", "all is well")]


async def test_pages_are_followed(server: BulkServer, tmp_path: Path) -> None:
    """`link` next, from page to page; error files that each page repeats are fetched once."""
    for name in ("Patient.a", "Patient.b", "Patient.c"):
        server.add(name, 2)
    server.add("OperationOutcome.a", message("warning", "a little late"))
    more = {"error": [server.item("OperationOutcome.a")]}
    link = [{"link": [{"relation": "next", "url": f"{server.url}/status/{n}"}]} for n in (1, 2)]
    server.pages = [
        server.manifest("Patient.a", **link[0], **more),
        server.manifest("Patient.b", **link[1], **more),
        server.manifest("Patient.c", **more),
    ]
    summary = await run(server, tmp_path)
    assert (summary.ok, summary.sections["output"]["Patient"].files) == (True, 3)
    assert len(server.served("OperationOutcome.a")) == 1


async def test_links_that_go_round_are_an_error(server: BulkServer, tmp_path: Path) -> None:
    """Not a loop."""
    server.pages = [server.manifest(link=[{"relation": "next", "url": f"{server.url}/status/0"}])]
    summary = await run(server, tmp_path)
    assert "go round" in (summary.stopped or "")


async def test_partial_manifests_are_downloaded_while_the_server_works(server: BulkServer, tmp_path: Path) -> None:
    """A 202 with a manifest: its files are fetched at once, and the rest when it is listed."""
    server.add("Patient.a", 2)
    server.add("Patient.b", 2)
    first, both = server.manifest("Patient.a"), server.manifest("Patient.a", "Patient.b")
    fetched = asyncio.Event()

    def on_poll() -> None:
        if not server.polls[1:] and not fetched.is_set():
            server.polls += [web.json_response(first, status=202)]  # until it was fetched

    def on_progress(progress: Progress) -> None:
        if progress.row("Patient").whole:
            fetched.set()

    server.on_poll = on_poll
    server.polls = [web.json_response(first, status=202)]
    server.pages = [both]
    summary = await run(server, tmp_path, partial=True, on_progress=on_progress)
    assert (summary.ok, fetched.is_set()) == (True, True)
    assert [len(server.served(name)) for name in ("Patient.a", "Patient.b")] == [1, 1]


async def test_files_without_a_type_get_a_name(server: BulkServer, tmp_path: Path) -> None:
    """An export organised by patient tells none."""
    server.add("Patient.a", 2)
    item = server.item("Patient.a")
    del item["type"]
    server.pages = [server.manifest(outputOrganizedBy="Patient") | {"output": [item]}]
    assert (await run(server, tmp_path)).ok
    assert set(files_in(tmp_path)) == {"output.001.ndjson"}


async def test_the_job_is_removed_when_all_is_here(server: BulkServer, tmp_path: Path) -> None:
    """Unless it is to be kept, or something is missing; a server that will not is no failure."""
    assert (await run(server, tmp_path / "a", keep=True)).ok
    assert server.asked("DELETE", "/status/0") == []
    server.deletes = 500
    assert (await run(server, tmp_path / "b")).ok
    server.deletes = 202
    assert (await run(server, tmp_path / "c")).ok
    assert len(server.asked("DELETE", "/status/0")) == 2


# --- what the server reports --------------------------------------------------------------------------------


def message(severity: str, text: str) -> bytes:
    code = "informational" if severity == "information" else "exception"
    issue = [{"severity": severity, "code": code, "diagnostics": text}]
    return json.dumps({"resourceType": "OperationOutcome", "issue": issue}).encode() + b"\n"


async def test_reported_errors_make_an_export_incomplete(server: BulkServer, tmp_path: Path) -> None:
    """What could be had is here, but the next one must not go on from it."""
    since = tmp_path / "since"
    server.add("Patient.a", 2)
    server.add("OperationOutcome.a", message("error", "Patient/7 is unreadable") * 2 + message("warning", "slow"))
    server.pages = [server.manifest("Patient.a", error=[server.item("OperationOutcome.a")])]
    summary = await run(server, tmp_path / "out", since_file=since)
    assert (summary.status, summary.errors, since.exists()) == ("incomplete", 2, False)
    assert summary.messages == {
        ("error", "exception", "Patient/7 is unreadable"): 2,
        ("warning", "exception", "slow"): 1,
    }


@pytest.mark.parametrize("line", [b"<html>", b'{"resourceType":"OperationOutcome","issue":7}'])
async def test_a_message_that_cannot_be_read_counts_as_an_error(
    server: BulkServer, tmp_path: Path, line: bytes
) -> None:
    """It may say that something is missing."""
    server.add("OperationOutcome.a", line + b"\n\n")
    server.pages = [server.manifest(error=[server.item("OperationOutcome.a", count=1)])]
    summary = await run(server, tmp_path)
    assert (summary.status, summary.errors, len(summary.messages)) == ("incomplete", 1, 1)


# --- since --------------------------------------------------------------------------------------------------


async def test_a_since_file_chains_exports(server: BulkServer, tmp_path: Path) -> None:
    """The first exports everything; each next one asks for what came after the one before it."""
    since = tmp_path / "since"
    for n, time in enumerate(("2026-11-28T06:00:00.000Z", "2026-11-29T06:00:00.000Z")):
        server.gone = False
        server.pages = [server.manifest(transactionTime=time)]
        assert (await run(server, tmp_path / str(n), since_file=since)).ok
        assert since.read_text() == f"{time}\n"
    queries = [got.query for got in server.asked("GET", "/fhir/$export")]
    assert queries == [[], [("_since", "2026-11-28T06:00:00.000Z")]]


async def test_a_since_file_stays_where_the_export_is_not_whole(server: BulkServer, tmp_path: Path) -> None:
    """A missing file is a reason to ask for the same time again."""
    since = tmp_path / "since"
    since.write_text(TIME)
    server.pages = [server.manifest("Patient.gone", transactionTime="2026-11-29T06:00:00Z")]
    summary = await run(server, tmp_path / "out", since_file=since)
    assert (summary.status, since.read_text()) == ("incomplete", TIME)
    assert summary.failures == [("Patient.001.ndjson", f"{server.url}/files/Patient.gone was answered 404")]


async def test_a_since_file_is_written_by_the_next_command_after_a_kill(server: BulkServer, tmp_path: Path) -> None:
    """Between the folder's last line and the file, that is; without that the folder is refused as complete."""
    since, folder = tmp_path / "since", tmp_path / "out"
    journal = Journal.open(folder, check(Order(base=server.base)))
    for line in (Ordered(check(Order(base=server.base))), Started(f"{server.url}/status/0"), Ended("complete", TIME)):
        journal.add(line)
    journal.close()
    assert (await run(server, folder, since_file=since)).ok
    assert since.read_text() == f"{TIME}\n"
    with pytest.raises(CannotExport, match="holds this export, complete"):
        await run(server, folder)


# --- the command --------------------------------------------------------------------------------------------


async def test_the_command_exits_0_and_prints_what_came(
    server: BulkServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person gets a table by type; the tenant goes as a header."""
    server.add("Patient.a", 1234)
    server.pages = [server.manifest("Patient.a")]
    order = Order(base=server.base, tenant="clinic-a")
    assert await asyncio.to_thread(run_export, order, tmp_path) == 0
    told = capsys.readouterr()
    assert "Patient" in told.out
    assert "1,234" in told.out
    assert {got.headers["X-Tenant-ID"] for got in server.got} == {"clinic-a"}


async def test_the_command_exits_1_when_anything_is_missing(
    server: BulkServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine gets JSON on standard output and nothing else there."""
    server.add("Patient.a", 2)
    server.pages = [server.manifest("Patient.a", "Patient.gone")]
    assert await asyncio.to_thread(run_export, Order(base=server.base), tmp_path, as_json=True) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["failed"], told["output"]["Patient"]["count"]) == ("incomplete", 1, 2)
    assert server.asked("DELETE", "/status/0") == []  # for the next try


def test_the_command_exits_2_with_one_line_when_it_cannot_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bad usage and a server that is not there are told at once, on standard error."""
    base = "http://127.0.0.1:1/fhir"
    full, other = tmp_path / "full", tmp_path / "other"
    full.mkdir()
    (full / "mine").write_text("x")
    other.write_text("soon")
    wrong: list[tuple[Order, Path, Path | None, str | None, str]] = [
        (Order(base=base), tmp_path / "a", None, None, "Is the server running?"),
        (Order(base="ftp://h/fhir"), tmp_path / "a", None, None, "not a FHIR base URL"),
        (Order(base=base, since="2026-01-01"), tmp_path / "a", None, None, "--since: must be an instant"),
        (Order(base=base, until="soon"), tmp_path / "a", None, None, "--until: must be an instant"),
        (Order(base=base, types=("patient",)), tmp_path / "a", None, None, "--type patient"),
        (Order(base=base, type_filters=("status=final",)), tmp_path / "a", None, None, "must be a search"),
        (Order(base=base, level="group", group="a/b"), tmp_path / "a", None, None, "--group"),
        (Order(base=base, tenant="a\nb"), tmp_path / "a", None, None, "--tenant"),
        (Order(base=base), tmp_path / "a", None, "to ken", "FHIRSTORE_EXPORT_TOKEN"),
        (Order(base=base), tmp_path / "a", other, None, "other: must be an instant"),
        (Order(base=base), tmp_path / "a", tmp_path / "no" / "since", None, "its folder does not exist"),
        (Order(base=base, since=TIME), tmp_path / "a", other, None, "only one of them"),
        (Order(base=base), full, None, None, "is not empty"),
        (Order(base=base), full / "mine", None, None, "File exists"),
    ]
    for order, folder, since_file, token, says in wrong:
        assert run_export(order, folder, since_file=since_file, token=token) == 2
        told = capsys.readouterr()
        assert says in told.err
        assert (told.out, told.err.count("\n")) == ("", 1)


def test_progress_reads_the_server_s_words() -> None:
    """Percentages by type where types are named, else one for all; any other words are words."""
    said = {
        "Observation 41 % · 12,300 resources": {"Observation": 41.0},
        "Patient 100 %, Observation: 3.5%": {"Patient": 100.0, "Observation": 3.5},
        "50% complete": {"": 50.0},
        "in progress": {},
    }
    assert {words: Progress(words).percents() for words in said} == said


def test_retries_reach_minutes() -> None:
    """A server that is down for as long as an update takes is waited for."""
    from server.commands.export.exporting import PATIENT

    longest = sum(min(PATIENT.longest, PATIENT.first * 2**n) for n in range(PATIENT.attempts - 1))
    assert isinstance(PATIENT, Retries)
    assert 240 <= longest <= 600
