"""$bulk-submit and $bulk-submit-status over HTTP, with a real provider and a real worker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from fhirstore import FhirStore, NetworkSources, SubmitOptions, Submitter, Submitters
from fhirstore.commit.limits import Limits
from server.app import create_app
from server.settings import Settings
from tests.server.serving import serving as serving_app
from tests.submit.fetching.serving import QUICK, Provider, serving, submitter

ACME = {"system": "https://example.org/submitters", "value": "acme"}
SETTINGS = Settings(submitters="submitters.json")
FHIR = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}


@asynccontextmanager
async def app(acme: Submitter, settings: Settings = SETTINGS) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app with a worker, on a store where this submitter may submit."""
    options = SubmitOptions(submitters=Submitters([acme]), sources=NetworkSources(limits=QUICK))
    limits = Limits(window=1_000, apply=200)
    async with FhirStore.open("memory:", limits=limits, submit_options=options, tenants=settings.tenants) as store:
        stop = asyncio.Event()
        worker = asyncio.create_task(store.worker(poll=0.05).run(stop))
        transport = httpx.ASGITransport(create_app(store, settings))
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
                yield client
        finally:
            stop.set()
            await worker


@asynccontextmanager
async def providing(files: dict[str, bytes]) -> AsyncIterator[Provider]:
    """A provider with these files."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        content = files.get(request.path)
        return web.Response(status=404) if content is None else web.Response(body=content)

    async with serving(answer) as provider:
        yield provider


def parameters(*pairs: tuple[str, object], submission: str = "s 1/ä") -> bytes:
    """A Parameters resource of this submission."""
    listed: list[object] = [
        {"name": "submitter", "valueIdentifier": ACME},
        {"name": "submissionId", "valueString": submission},
    ]
    for name, value in pairs:
        kind = {"submissionStatus": "valueCoding"}.get(name, "valueUrl")
        listed.append({"name": name, kind: {"code": value} if kind == "valueCoding" else value})
    return json.dumps({"resourceType": "Parameters", "parameter": listed}).encode()


async def submitted(client: httpx.AsyncClient, *pairs: tuple[str, object], submission: str = "s 1/ä") -> httpx.Response:
    body = parameters(*pairs, submission=submission)
    return await client.post("/fhir/$bulk-submit", content=body, headers=FHIR)


async def asked(
    client: httpx.AsyncClient, *, prefer: str = "respond-async", submission: str = "s 1/ä"
) -> httpx.Response:
    headers = FHIR | ({"Prefer": prefer} if prefer else {})
    body = parameters(submission=submission)
    return await client.post("/fhir/$bulk-submit-status", content=body, headers=headers)


async def finished(client: httpx.AsyncClient, where: str) -> httpx.Response:
    """The last answer of a polling location."""
    async with asyncio.timeout(60):
        while True:
            answer = await client.get(where)
            told = answer.headers.get("x-export-status", "")
            if answer.status_code not in (202, 429) and not told.startswith("202"):
                return answer
            await asyncio.sleep(0.2 if answer.status_code != 429 else 1)


def manifest_of(url: str) -> bytes:
    return json.dumps({"transactionTime": "2026-11-28T00:00:00Z", "output": [{"type": "Patient", "url": url}]}).encode()


async def test_a_submission_goes_from_its_first_request_to_its_outcomes() -> None:
    """Both operations, the polling location, the manifest, its file, and the resources."""
    lines = b'{"resourceType":"Patient","id":"a"}\n{nonsense\n{"resourceType":"Patient","id":"b"}\n'
    files = {"/manifest": manifest_of("file"), "/file": lines}
    async with providing(files) as provider, app(submitter(provider)) as client:
        url = provider.url("/manifest")
        answer = await submitted(client, ("manifestUrl", url), ("fhirBaseUrl", "https://source.example.org/fhir"))
        assert answer.status_code == 200 and answer.json()["resourceType"] == "OperationOutcome"
        kicked = await asked(client, prefer="respond-async")
        assert kicked.status_code == 202 and kicked.headers["Preference-Applied"] == "respond-async"
        where = kicked.headers["Content-Location"]
        poll = await client.get(where)
        assert poll.status_code == 202 and 0 < len(poll.headers["X-Progress"]) < 100
        assert int(poll.headers["Retry-After"]) > 0
        assert (await submitted(client, ("submissionStatus", "completed"))).status_code == 200
        done = await finished(client, where)
        assert done.status_code == 200 and done.headers["content-type"] == "application/json"
        manifest = done.json()
        assert manifest["submissionId"] == "s 1/ä" and manifest["requiresAccessToken"] is False
        assert manifest["request"].endswith("/fhir/$bulk-submit-status") and manifest["output"] == []
        (item,) = manifest["outcome"]
        assert manifest["error"] == [item] and item["manifestUrl"] == url
        file = await client.get(item["url"])
        assert file.status_code == 200 and file.headers["content-type"] == "application/fhir+ndjson"
        told = [json.loads(line) for line in file.content.splitlines()]
        assert len(told) == item["count"] == sum(one["count"] for one in item["countSeverity"])
        assert any("file, line 2" in issue["diagnostics"] for one in told for issue in one["issue"])
        part = await client.get(item["url"], headers={"Range": "bytes=5-9", "If-Range": file.headers["ETag"]})
        assert part.status_code == 206 and part.content == file.content[5:10]
        head = await client.head(item["url"])
        assert head.status_code == 200 and head.content == b""
        assert [(await client.get(f"/fhir/Patient/{id}")).status_code for id in "ab"] == [200, 200]
        assert (await client.get(item["url"] + "x")).status_code == 404


async def test_a_polling_location_that_was_deleted_is_gone_and_the_submission_is_not() -> None:
    """Another one can be asked for."""
    async with providing({"/manifest": manifest_of("file")}) as provider, app(submitter(provider)) as client:
        await submitted(client, ("manifestUrl", provider.url("/manifest")), ("fhirBaseUrl", "https://x.example.org"))
        first = (await asked(client)).headers["Content-Location"]
        second = (await asked(client)).headers["Content-Location"]
        assert first != second
        assert (await client.delete(first)).status_code == 202
        for answer in (await client.get(first), await client.delete(first), await client.get(first + "x")):
            assert answer.status_code == 404 and answer.json()["resourceType"] == "OperationOutcome"
        assert (await client.get(second)).status_code in (200, 202)
        assert (await client.get("/fhir/_submission/x/y")).status_code == 404


async def test_a_separate_status_is_told_in_a_header() -> None:
    """With 200 for the poll itself."""
    files = {"/manifest": manifest_of("file"), "/file": b""}
    async with providing(files) as provider, app(submitter(provider)) as client:
        pairs = (("manifestUrl", provider.url("/manifest")), ("fhirBaseUrl", "https://x.example.org"))
        await submitted(client, *pairs)
        kicked = await asked(client, prefer="respond-async, separate-export-status")
        assert kicked.headers["Preference-Applied"] == "respond-async, separate-export-status"
        poll = await client.get(kicked.headers["Content-Location"])
        assert (poll.status_code, poll.headers["X-Export-Status"]) == (200, "202 Accepted")
        await submitted(client, ("submissionStatus", "completed"))
        done = await finished(client, kicked.headers["Content-Location"])
        assert (done.status_code, done.headers["X-Export-Status"]) == (200, "200 OK")


async def test_a_location_that_is_polled_too_fast_is_refused_for_a_while() -> None:
    """429 with Retry-After."""
    async with providing({}) as provider, app(submitter(provider)) as client:
        await submitted(client, ("manifestUrl", provider.url("/m")), ("fhirBaseUrl", "https://x.example.org"))
        where = (await asked(client)).headers["Content-Location"]
        answers = [await client.get(where) for _ in range(30)]
        refused = [one for one in answers if one.status_code == 429]
        assert refused and int(refused[0].headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("pairs", "status", "code"),
    [
        ((), 400, "required"),
        ((("manifestUrl", "http://169.254.169.254/"), ("fhirBaseUrl", "https://x.example.org")), 400, "forbidden"),
        ((("manifestUrl", "file:///etc/passwd"), ("fhirBaseUrl", "https://x.example.org")), 400, "forbidden"),
        ((("manifestUrl", "http://evil.example/?secret"), ("fhirBaseUrl", "https://x.example.org")), 400, "forbidden"),
        ((("manifestUrl", "https://files.example.org/"),), 400, "required"),
        ((("submissionStatus", "completed"),), 404, "not-found"),
        ((("submissionStatus", "nonsense"),), 400, "value"),
        ((("nonsense", "x"),), 400, "not-supported"),
    ],
)
async def test_a_request_that_is_refused_is_told(pairs: tuple[tuple[str, str], ...], status: int, code: str) -> None:
    """With an OperationOutcome, which repeats no secret."""
    async with app(submitter("files.example.org")) as client:
        answer = await submitted(client, *pairs)
        assert (answer.status_code, answer.json()["issue"][0]["code"]) == (status, code), answer.text
        assert "secret" not in answer.text
        assert (await asked(client)).status_code == 404


async def test_an_unknown_submitter_is_refused() -> None:
    """403 for both operations; so is everybody where nobody is configured, which the statement does not advertise."""
    other = Submitter(identifier="https://example.org|other", tenant="default")
    async with app(other) as client:
        assert (await submitted(client, ("submissionStatus", "completed"))).status_code == 403
        assert (await asked(client)).status_code == 403
        assert operations(await client.get("/fhir/metadata")) >= {"bulk-submit", "bulk-submit-status"}
    async with serving_app(Settings()) as served:
        assert (await submitted(served.client, ("submissionStatus", "completed"))).status_code == 403
        assert not operations(await served.client.get("/fhir/metadata")) & {"bulk-submit", "bulk-submit-status"}


def operations(statement: httpx.Response) -> set[str]:
    return {one["name"] for one in statement.json()["rest"][0]["operation"]}


async def test_what_is_no_parameters_resource_is_refused() -> None:
    """Another resource, no JSON, no body, a parameter in the URL, another method."""
    async with app(submitter("files.example.org")) as client:
        for path in ("/fhir/$bulk-submit", "/fhir/$bulk-submit-status"):
            for body in (
                b'{"resourceType":"Patient"}',
                b"{",
                b"",
                b"[]",
                b'{"resourceType":"Parameters","parameter":5}',
            ):
                answer = await client.post(path, content=body, headers=FHIR)
                assert answer.status_code == 400 and answer.json()["resourceType"] == "OperationOutcome"
            assert (await client.post(f"{path}?x=y", content=parameters(), headers=FHIR)).status_code == 400
            assert (await client.get(path)).status_code == 405
            large = await client.post(path, content=b" " * 2_000_000, headers=FHIR)
            assert large.status_code == 413


async def test_a_file_of_submitters_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    """In one line that says what to correct."""
    from fhirstore.errors import StoreMisconfigured
    from server.process.submitting import submit_options

    path = tmp_path / "submitters.json"
    for text, told in (
        (None, "No such file"),
        ("{", "submitters.json"),
        ('{"submitters":[{"identifier":"a|b"}]}', "tenant"),
        ('{"submitters":[{"identifier":"a|b","tenant":"t","client_key":"secret"}]}', "env:NAME"),
    ):
        if text is not None:
            path.write_text(text)
        with pytest.raises(StoreMisconfigured, match=told) as caught:
            submit_options(Settings(submitters=str(path)))
        assert "secret" not in str(caught.value).replace("name a secret", "")
    path.write_text('{"submitters":[{"identifier":"a|b","tenant":"default","hosts":["files.example.org"]}]}')
    options = submit_options(Settings(submitters=str(path)))
    assert options.submitters.find("a|b", "default").hosts == ("files.example.org",)
    assert isinstance(options.sources, NetworkSources)
