"""A submission to a server that has `$bulk-submit`: the requests, polls until it is done, the status manifest.

The token and the tenant go to the origin of the server alone. Every wait has a deadline.

https://hl7.org/fhir/uv/bulkdata/submit.html (4.0.0-ballot)
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing
from urllib.parse import urljoin, urlsplit

import aiohttp
import msgspec

from fhirstore.clock import SystemClock, SystemIds
from server.commands.export.asking import SECONDS, Answer, Asker, ExportFailed
from server.commands.export.job import Pace
from server.commands.interruption import Interruption
from server.commands.outcomes import cause_of
from server.commands.retries import NO_ANSWER, Retries
from server.commands.submit.order import CannotSubmit, Order, base_of, look_up, made_manifests, pages_of
from server.commands.submit.outcomes import read_outcomes
from server.commands.submit.progress import Progress
from server.commands.submit.serving import LOOPBACK, Address, FileServer, serving
from server.commands.submit.summary import SubmitSummary
from server.commands.urls import fhir_base, origin_of, shown

SUBMITTER = "urn:fhirstore:command|submit"
RETRIES = Retries(attempts=8, first=0.5, longest=30.0, patience=300.0)
_FHIR = {"Accept": "application/fhir+json", "Content-Type": "application/fhir+json"}
_MODE = "urn:fhirstore:import-mode"
_SMALL = 1 << 20  # bytes of an answer that is no manifest
_LARGE = 32 << 20  # bytes of a page of the status manifest
_PAGES = 10_000


class _Item(msgspec.Struct, rename="camel"):
    url: str
    count_severity: list[dict[str, object]] | None = None


class _Link(msgspec.Struct):
    relation: str
    url: str


class _Status(msgspec.Struct):
    outcome: list[_Item] | None = None
    error: list[_Item] = []
    link: list[_Link] = []


async def submit_to(
    url: str,
    order: Order,
    *,
    token: str | None = None,
    serve: str | None = None,
    stop: bool = False,
    deadline: float = 86_400.0,
    retries: Retries = RETRIES,
    pace: Pace | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_begin: Callable[[SubmitSummary], None] = lambda _: None,
    interruption: Interruption | None = None,
) -> SubmitSummary:
    """Submits to the FHIR server at `url`; with the `submission` of an earlier one goes on with that.

    `serve`: HOST[:PORT] where local files are served. `stop`: asks the server to take the submission back. Raises
    CannotSubmit before anything is accepted; later failures are in the summary.
    """
    base = fhir_base(url)
    if base is None:
        raise CannotSubmit(f"{url}: not a FHIR base URL, such as http://127.0.0.1:8000/fhir")
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
        raise CannotSubmit("FHIRSTORE_SUBMIT_TOKEN: must be printable ASCII without spaces, as a bearer token is")
    if order.ids is not None or order.hosts or order.private:
        raise CannotSubmit("--ids, --allow-host and --private: the server decides these; leave them out with --url")
    if stop and order.submission is None:
        raise CannotSubmit("--stop with --url needs the --submission-id that is to be stopped")
    summary = SubmitSummary(base, order.submitter or SUBMITTER, order.submission or str(uuid.uuid4()))
    summary.resumed = order.submission is not None
    interruption = interruption or Interruption()
    task = asyncio.current_task()
    interruption.ends(task)
    began = time.perf_counter()
    files: FileServer | None = None
    try:
        async with asyncio.timeout(deadline), AsyncExitStack() as held:
            files = None if stop else await _serve(held, order, serve, base, summary)
            client = await held.enter_async_context(aiohttp.ClientSession(timeout=SECONDS, trust_env=True))
            asker = Asker(
                client, base, token=token, tenant=order.tenant, retries=retries, clock=SystemClock(), ids=SystemIds()
            )
            run = _Run(base, order, asker, summary, files, pace=pace or Pace(), on_progress=on_progress)
            await (run.stop() if stop else run.begin())
            on_begin(summary)
            await run.follow(stopped=stop)
    except TimeoutError:
        summary.stopped = f"not done within {deadline:g} s"
    except ExportFailed as error:
        summary.stopped = str(error)
    except asyncio.CancelledError:
        if task is None or not interruption.given_up or task.uncancel() > 0:
            raise
        summary.status = "interrupted"
        summary.stopped = f"interrupted by {interruption.by.name}" if interruption.by else "interrupted"
    finally:
        interruption.ends(None)
        summary.seconds = time.perf_counter() - began
    if summary.status in ("interrupted", "incomplete"):
        summary.again = _again(summary, files)
    return summary


async def _serve(
    held: AsyncExitStack, order: Order, serve: str | None, base: str, summary: SubmitSummary
) -> FileServer | None:
    """Begins to serve what only this machine has. Returns None where there is no such thing."""
    inputs = await asyncio.to_thread(look_up, order)
    if any(one.startswith("file:") for one in inputs.manifests):
        raise CannotSubmit("with --url, a manifest is named by the URL under which the server can read it")
    if not inputs.listed:
        return FileServer("", "", urls=inputs.manifests)
    host = urlsplit(base).hostname or ""
    if serve is None and host not in LOOPBACK:
        raise CannotSubmit(
            "the server cannot read the files of this machine, nor a list of files: with --serve HOST[:PORT] they are "
            "served, by plain HTTP and under secret paths, at that address of this machine until the server is done"
        )
    if order.submission is not None:
        try:
            uuid.UUID(order.submission)
        except ValueError as error:
            raise CannotSubmit(
                "--submission-id with files that are served: only one that the command made, since it keeps them secret"
            ) from error
    address = Address.of(serve or ("[::1]" if host == "::1" else "127.0.0.1"))
    server = await held.enter_async_context(serving(address, inputs.listed, summary.submission))
    pages = [server.url_of(number) for number in pages_of(inputs.listed)]
    server.manifests = made_manifests(inputs.listed, server.urls, pages)
    server.urls = (pages[0], *inputs.manifests)
    return server


class _Run:
    """One command's requests for a submission."""

    def __init__(
        self,
        base: str,
        order: Order,
        asker: Asker,
        summary: SubmitSummary,
        files: FileServer | None,
        *,
        pace: Pace,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._base = base
        self._order = order
        self._asker = asker
        self._summary = summary
        self._files = files
        self._pace = pace
        self._on_progress = on_progress

    async def begin(self) -> None:
        """Submits every manifest, then says that these were all. Raises CannotSubmit where the first is refused."""
        urls = self._files.urls if self._files is not None else ()
        self._summary.manifests = len(urls)
        fhir = self._order.base or (self._files.origin if self._files and self._files.base else base_of(self._order))
        for number, url in enumerate(urls):
            parameters: list[object] = [
                {"name": "submissionStatus", "valueCoding": {"code": "in-progress"}},
                {"name": "manifestUrl", "valueUrl": url},
                {"name": "fhirBaseUrl", "valueUrl": fhir},
                {"name": "outputFormat", "valueString": "application/fhir+ndjson"},
            ]
            if self._order.mode is not None:
                mode = [
                    {"name": "parameterUrl", "valueUrl": _MODE},
                    {"name": "parameterValue", "valueString": self._order.mode},
                ]
                parameters.append({"name": "import", "part": mode})
            await self._submit(parameters, first=number == 0)
        await self._submit([{"name": "submissionStatus", "valueCoding": {"code": "completed"}}], last=True)

    async def stop(self) -> None:
        """Asks the server to stop the submission. Raises CannotSubmit where it refuses."""
        await self._submit([{"name": "submissionStatus", "valueCoding": {"code": "stopped"}}], first=True)

    async def follow(self, *, stopped: bool) -> None:
        """Polls until the submission is finished, and reads its outcomes. Raises ExportFailed."""
        answer = await self._post("$bulk-submit-status", [], prefer="respond-async")
        where = urljoin(f"{self._base}/", answer.headers.get("Content-Location", ""))
        if answer.status != 202 or not answer.headers.get("Content-Location") or origin_of(where) is None:
            raise ExportFailed(answer.told("The request for the status"))
        last = await self._last(where)
        met = {where}
        while True:
            try:
                page = msgspec.json.decode(last.body, type=_Status)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise ExportFailed("The status manifest cannot be read") from error
            for item in page.error if page.outcome is None else page.outcome:
                await self._read(urljoin(where, item.url), _severities(item))
            following = [urljoin(where, link.url) for link in page.link if link.relation == "next"]
            if not following:
                break
            if following[0] in met or len(met) >= _PAGES or origin_of(following[0]) is None:
                raise ExportFailed(f"The status manifest's next links go round, or have more than {_PAGES} pages")
            met.add(following[0])
            last = await self._last(following[0])
        self._summary.status = "undone" if stopped else "complete"

    async def _last(self, where: str) -> Answer:
        """Polls until there is an answer of 200. Raises ExportFailed."""
        polls = failures = 0
        while True:
            polls += 1
            try:
                answer = await self._asker.send("GET", where, {"Accept": "application/json"}, limit=_LARGE)
            except NO_ANSWER as error:
                failures += 1
                if failures >= self._asker.retries.attempts:
                    raise ExportFailed(f"{shown(where)}: no answer ({type(error).__name__})") from error
                await self._asker.pause(failures)
                continue
            if answer.status == 200:
                return answer
            if answer.status in {202, 429}:
                failures = 0
                if answer.status == 202:
                    self._tell(answer.headers.get("X-Progress", "")[:200])
            elif answer.transient and failures + 1 < self._asker.retries.attempts:
                failures += 1
                await self._asker.pause(failures, asked=answer.asked)
                continue
            else:
                if answer.status == 500:
                    self._summary.status = "failed"
                raise ExportFailed(answer.told("The status"))
            await asyncio.sleep(self._pace.pause(polls, asked=answer.asked))

    async def _read(self, url: str, told: dict[str, int] | None) -> None:
        if origin_of(url) is None:
            raise ExportFailed("A file of outcomes has no URL of http or https")
        chunks = self._chunks(url)
        async with aclosing(chunks):
            try:
                await read_outcomes(self._summary, chunks, told=told)
            except NO_ANSWER as error:
                raise ExportFailed(f"{shown(url)}: cannot be read ({type(error).__name__})") from error

    async def _chunks(self, url: str) -> AsyncGenerator[bytes]:
        headers = {"Accept": "application/fhir+ndjson"}
        async with self._asker.open("GET", url, headers, decompress=True) as response:
            if response.status != 200:
                words = cause_of(response.status, response.reason or "", await response.content.read(_SMALL))
                raise ExportFailed(f"A file of outcomes was answered {response.status}: {words.diagnostics}")
            async for chunk in response.content.iter_any():
                yield chunk

    async def _submit(self, parameters: list[object], *, first: bool = False, last: bool = False) -> None:
        try:
            answer = await self._post("$bulk-submit", parameters)
        except ExportFailed as error:
            if first:
                raise CannotSubmit(str(error)) from error
            raise
        if last and self._summary.resumed and answer.status == 409:
            return  # it was completed before; the status says how it goes
        if not 200 <= answer.status < 300:
            told = answer.told("$bulk-submit")
            raise CannotSubmit(told) if first else ExportFailed(told)

    async def _post(self, operation: str, parameters: list[object], *, prefer: str | None = None) -> Answer:
        system, _, value = self._summary.submitter.partition("|")
        named: list[object] = [
            {
                "name": "submitter",
                "valueIdentifier": {"system": system, "value": value} if system else {"value": value},
            },
            {"name": "submissionId", "valueString": self._summary.submission},
        ]
        body = msgspec.json.encode({"resourceType": "Parameters", "parameter": [*named, *parameters]})
        headers = _FHIR if prefer is None else {**_FHIR, "Prefer": prefer}
        return await self._asker.ask("POST", f"{self._base}/{operation}", headers, limit=_SMALL, body=body)

    def _tell(self, words: str) -> None:
        progress = Progress(words)
        if self._files is not None and self._files.files:
            progress.read = self._files.read
            progress.total = sum(path.stat().st_size for path in self._files.files.values() if path.exists())
        self._on_progress(progress)


def _severities(item: _Item) -> dict[str, int] | None:
    """Returns OperationOutcomes by severity, as a manifest's item tells them; None: it does not."""
    told: dict[str, int] = {}
    for one in item.count_severity or []:
        code, count = one.get("code"), one.get("count")
        if not isinstance(code, str) or not isinstance(count, int):
            return None
        told[code] = told.get(code, 0) + count
    return told or None


def _again(summary: SubmitSummary, files: FileServer | None) -> str:
    told = f"--submitter '{summary.submitter}' --submission-id {summary.submission}"
    if files is not None and files.base:
        told += f" --serve {urlsplit(files.origin).netloc}"
        return f"The server cannot read the files any more. To go on, run the command again soon, with {told}."
    return f"The server goes on by itself. To see how it ends, run the command again with {told}."
