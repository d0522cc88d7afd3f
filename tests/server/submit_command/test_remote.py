"""`fhirstore submit --url`: against our own server, and against one that a test scripts."""

from __future__ import annotations

import asyncio
import gzip
import json
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from fhirstore import NetworkSources, SubmitOptions, Submitter, Submitters
from server.commands.export.job import Pace
from server.commands.interruption import Interruption
from server.commands.retries import Retries
from server.commands.submit import CannotSubmit, SubmitSummary, submit_to
from server.commands.submit.order import look_up, order_of
from server.commands.submit.remote import SUBMITTER
from server.commands.submit.serving import Address
from server.commands.submit.serving import serving as serving_files
from server.settings import Settings
from tests.server.export.exporting import listening
from tests.submit.fetching.serving import QUICK, serving

PACE = Pace(first=0.2, longest=0.5, patience=1.0)
SWIFT = Retries(attempts=3, first=0.001, longest=0.01, patience=0.01)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def folder_of(tmp_path: Path, lines: int = 3) -> Path:
    data = tmp_path / "data"
    data.mkdir()
    body = b"".join(json.dumps({"resourceType": "Patient", "id": f"p{n}"}).encode() + b"\n" for n in range(lines))
    (data / "Patient.ndjson").write_bytes(body + b"{nonsense\n")
    (data / "Some file.ndjson.gz").write_bytes(gzip.compress(b'{"resourceType":"Patient","id":"zipped"}\n'))
    return data


async def test_our_own_server_fetches_local_files_from_the_command(tmp_path: Path) -> None:
    """They are served while it needs them; its outcomes come back with file and line."""
    port, data = free_port(), folder_of(tmp_path)
    may = Submitter(
        identifier=SUBMITTER,
        tenant="default",
        hosts=(f"127.0.0.1:{port}",),
        plain_http=True,
        private_addresses=True,
    )
    options = SubmitOptions(submitters=Submitters([may]), sources=NetworkSources(limits=QUICK))
    async with listening(Settings(submitters="s.json"), submit_options=options) as base:
        serve = f"127.0.0.1:{port}"
        summary = await submit_to(base, order_of([str(data)], mode="create-only"), serve=serve, pace=PACE)
        assert summary.status == "complete" and summary.severities == {"error": 1, "information": 1}, summary
        assert summary.problems[0].text.startswith("Patient.ndjson, line 4:")
        assert "4 created" in summary.words[0]
        async with httpx.AsyncClient() as client:
            assert [(await client.get(f"{base}/Patient/{id}")).status_code for id in ("p2", "zipped")] == [200, 200]
        order = order_of([str(data)], mode="create-only", submission=summary.submission)
        again = await submit_to(base, order, serve=serve, pace=PACE)
        assert again.severities == summary.severities and again.resumed
        with pytest.raises(CannotSubmit, match="not configured"):
            await submit_to(base, order_of([str(data)], submitter="x|unknown"), serve=serve, pace=PACE)
        with pytest.raises(CannotSubmit, match="list"):
            await submit_to(base, order_of([str(data)]), serve="127.0.0.1", pace=PACE)


async def test_files_are_served_under_secret_paths_and_as_they_are(tmp_path: Path) -> None:
    """Ranges go on where a download was cut; what is compressed is sent unpacked; nothing else is there."""
    data = folder_of(tmp_path)
    listed = look_up(order_of([str(data)])).listed
    async with serving_files(Address.of("127.0.0.1"), listed, "secret") as server, httpx.AsyncClient() as client:
        plain, packed = server.urls
        whole = await client.get(plain)
        assert whole.content == (data / "Patient.ndjson").read_bytes()
        tag = whole.headers["etag"]
        rest = await client.get(plain, headers={"Range": "bytes=5-", "If-Range": tag})
        assert rest.status_code == 206 and rest.content == whole.content[5:]
        changed = await client.get(plain, headers={"Range": "bytes=5-", "If-Range": '"other"'})
        assert changed.status_code == 200 and changed.content == whole.content
        head = await client.head(plain)
        assert head.headers["content-length"] == str(len(whole.content)) and not head.content
        assert (await client.get(packed)).content == b'{"resourceType":"Patient","id":"zipped"}\n'
        for path in ("/", "/Patient.ndjson", plain.removeprefix(server.origin) + "x", "/../etc/passwd"):
            assert (await client.get(server.origin + path)).status_code == 404
        assert (await client.post(plain)).status_code == 405
        (data / "Some file.ndjson.gz").write_bytes(b"damaged")
        with pytest.raises(httpx.HTTPError):
            await client.get(packed)
    async with serving_files(Address.of("127.0.0.1"), listed, "another") as other:
        assert other.base.rpartition("/")[2] != server.base.rpartition("/")[2]


@dataclass
class Scripted:
    """A server that does what a test says. `polls`: answers before the last; `last`: the status manifest."""

    url: str = ""
    polls: list[web.Response] = field(default_factory=list)
    last: dict[str, object] = field(default_factory=dict)
    refuse: int = 0
    submitted: list[dict[str, object]] = field(default_factory=list)
    tokens: list[tuple[str, str | None]] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.tokens.append((request.path, request.headers.get("Authorization")))
        if request.path == "/fhir/$bulk-submit":
            if self.refuse:
                return web.json_response({"issue": [{"severity": "error", "diagnostics": "no!"}]}, status=self.refuse)
            self.submitted.append(json.loads(await request.read()))
            return web.Response(status=200)
        if request.path == "/fhir/$bulk-submit-status":
            return web.Response(status=202, headers={"Content-Location": "/status"})
        if request.path == "/status":
            return self.polls.pop(0) if self.polls else web.json_response(self.last)
        return web.Response(status=404)


@asynccontextmanager
async def scripted() -> AsyncIterator[Scripted]:
    server = Scripted()
    async with serving(server.answer) as provider:
        server.url = provider.url("/fhir")
        yield server


async def submitted(server: Scripted, **more: object) -> SubmitSummary:
    order = order_of(["https://x.example.org/manifest"])
    return await submit_to(server.url, order, retries=SWIFT, pace=Pace(0.01, 0.01, 0.01), **more)  # type: ignore[arg-type]


def outcomes(*severities: str) -> Callable[[web.BaseRequest], object]:
    body = "".join(
        json.dumps({"issue": [{"severity": one, "code": "x", "diagnostics": one}]}) + "\n" for one in severities
    )

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=body)

    return answer


async def test_the_token_goes_to_the_server_and_to_no_other_host() -> None:
    """Outcomes of another host are read without it, and counted where the server did not."""
    seen: list[str | None] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return await outcomes("error", "warning", "success")(request)  # type: ignore[misc, no-any-return]

    async with scripted() as server, serving(answer) as other:
        server.polls = [web.Response(status=202, headers={"X-Progress": "half", "Retry-After": "1"})]
        server.last = {"error": [{"url": other.url("/f")}]}
        words: list[str] = []
        summary = await submitted(server, token="secret", on_progress=lambda now: words.append(now.words))
        assert summary.severities == {"error": 1, "warning": 1, "success": 1} and summary.status == "complete"
        assert not summary.ok and summary.failed == 1 and words == ["half"]
        assert {token for _, token in server.tokens} == {"Bearer secret"} and seen == [None]
        names = [[one["name"] for one in each["parameter"]] for each in server.submitted]  # type: ignore[attr-defined]
        assert "manifestUrl" in names[0] and names[1] == ["submitter", "submissionId", "submissionStatus"]


async def test_pages_of_the_status_are_followed_and_never_round() -> None:
    """A next link that leads back ends it."""
    async with scripted() as server:
        server.last = {"outcome": [], "link": [{"relation": "next", "url": "/status"}]}
        summary = await submitted(server)
        assert summary.status == "incomplete" and "go round" in str(summary.stopped) and summary.again


async def test_a_server_that_refuses_or_fails_is_told_as_it_says() -> None:
    """Refused at first: nothing was begun. Failed later: the words of the server, and exit code 1."""
    async with scripted() as server:
        server.refuse = 403
        with pytest.raises(CannotSubmit, match="403: no!"):
            await submitted(server)
        server.refuse = 0
        gone = web.json_response(
            {"issue": [{"severity": "error", "code": "timeout", "diagnostics": "gone"}]}, status=404
        )
        server.polls = [gone]
        summary = await submitted(server)
        assert not summary.ok and "404: timeout gone" in str(summary.stopped)
        server.polls = [web.Response(status=202) for _ in range(10_000)]
        late = await submitted(server, deadline=1)
        assert late.status == "incomplete" and "1 s" in str(late.stopped)
        assert late.submission in str(late.again)


async def test_a_stop_asks_the_server_to_take_it_back() -> None:
    """It needs the id of the submission, and fetches what the server says of it."""
    async with scripted() as server:
        with pytest.raises(CannotSubmit, match="--submission-id"):
            await submitted(server, stop=True)
        server.last = {"outcome": []}
        order = order_of(["https://x.example.org/manifest"], submission="s")
        summary = await submit_to(server.url, order, stop=True, retries=SWIFT)
        assert summary.status == "undone" and summary.ok
        (request,) = server.submitted
        assert request["parameter"][-1]["valueCoding"] == {"code": "stopped"}  # type: ignore[index]


@pytest.mark.parametrize("local", [False, True])
async def test_who_interrupts_it_is_told_how_to_go_on(tmp_path: Path, *, local: bool) -> None:
    """The server goes on by itself, but for files that only this command serves."""
    order = order_of([str(folder_of(tmp_path))] if local else ["https://x.example.org/manifest"])
    interruption = Interruption()
    async with scripted() as server:
        server.polls = [web.Response(status=202) for _ in range(10_000)]
        summary = await submit_to(
            server.url,
            order,
            retries=SWIFT,
            pace=Pace(0.01, 0.01, 0.01),
            on_progress=lambda _: interruption.arrive(signal.SIGINT),
            interruption=interruption,
        )
    assert summary.status == "interrupted" and not summary.ok and "SIGINT" in str(summary.stopped)
    assert f"--submission-id {summary.submission}" in str(summary.again)
    assert ("--serve 127.0.0.1:" in str(summary.again)) == local


@pytest.mark.parametrize(
    ("url", "names", "more", "told"),
    [
        ("nonsense", ["https://x.example.org/m"], {}, "not a FHIR base URL"),
        ("https://fhir.example.org/fhir", ["LOCAL"], {}, "--serve"),
        ("https://fhir.example.org/fhir", ["https://x.example.org/Patient.ndjson"], {}, "--serve"),
        ("http://127.0.0.1:9/fhir", ["LOCAL"], {"submission": "guessable"}, "--submission-id"),
        ("http://127.0.0.1:9/fhir", ["https://x.example.org/m"], {"ids": "remap"}, "--ids"),
        ("http://127.0.0.1:9/fhir", ["https://x.example.org/m"], {}, "no answer"),
    ],
)
async def test_what_cannot_start_is_refused(
    tmp_path: Path, url: str, names: list[str], more: dict[str, object], told: str
) -> None:
    """A clear message, before anything is submitted."""
    order = order_of([str(folder_of(tmp_path)) if name == "LOCAL" else name for name in names], **more)
    with pytest.raises(CannotSubmit, match=told):
        await submit_to(url, order, retries=SWIFT)


@pytest.mark.parametrize("text", ["", "/x", "a b:c", "host:99999", "u@h"])
async def test_an_address_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    """Before anything is served."""
    with pytest.raises(CannotSubmit, match="--serve"):
        async with asyncio.timeout(10):
            await submit_to("http://127.0.0.1:9/fhir", order_of([str(folder_of(tmp_path))]), serve=text or "/")
