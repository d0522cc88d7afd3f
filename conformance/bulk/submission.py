"""One submission to the server under test, as a Data Provider makes it, and the files that it submits."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from conformance.bulk.export import PATIENCE, ndjson, next_link, wait_of
from conformance.bulk.file_server import FileServer
from conformance.rest.server import Answer, Broken, Json, Server, member, must

BASE = "https://source.example.org/fhir"


@dataclass(frozen=True, slots=True)
class Submitting:
    """Who submits. `submitter`: `system|value`, as the server under test knows it. `listen`: `host:port`.

    `url`: by which that server reaches what listens there; empty: http and that address.
    """

    submitter: str
    listen: str
    url: str = ""


@dataclass(slots=True)
class Submission:
    """A submission. `polls`: the answers while it was not done; `done`: the last one."""

    server: Server
    files: FileServer
    submitter: str
    id: str
    polls: list[Answer] = field(default_factory=list)

    # --- what is provided -------------------------------------------------------------------------------------

    def patient(self, name: str) -> Json:
        """A Patient of this submission."""
        return {"resourceType": "Patient", "id": f"{self.id}-{name}", "gender": "other"}

    def file(self, name: str, lines: Sequence[Json | bytes], *, folder: str = "") -> str:
        """Provides lines. Returns the URL."""
        content = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines]
        return self.files.put(f"{folder}/{self.id}/{name}.ndjson", b"".join(line + b"\n" for line in content))

    def manifest(self, name: str, urls: Sequence[str], *, folder: str = "", **members: object) -> str:
        """Provides a manifest of files of Patients. Returns the URL."""
        output = [{"type": "Patient", "url": url} for url in urls]
        body = {
            "manifestType": "http://hl7.org/fhir/uv/bulkdata/StructureDefinition/BulkDataManifest",
            "transactionTime": "2026-01-01T00:00:00Z",
            "requiresAccessToken": False,
            "outputFormat": "application/fhir+ndjson",
            "output": output,
            **members,
        }
        return self.files.put(f"{folder}/{self.id}/{name}.json", json.dumps(body).encode())

    def patients(self, *names: str) -> str:
        """Provides a manifest of one file with these Patients. Returns its URL."""
        return self.manifest(names[0], [self.file(names[0], [self.patient(name) for name in names])])

    # --- requests ---------------------------------------------------------------------------------------------

    def parameters(self, *more: Json, **urls: str) -> Json:
        """The Parameters of a request. `urls`: parameters whose value is a URL."""
        system, _, value = self.submitter.partition("|")
        named = [
            {"name": "submitter", "valueIdentifier": {"system": system, "value": value}},
            {"name": "submissionId", "valueString": self.id},
        ]
        listed = [*named, *({"name": name, "valueUrl": url} for name, url in urls.items()), *more]
        return {"resourceType": "Parameters", "parameter": listed}

    async def send(self, *more: Json, **urls: str) -> Answer:
        """POST $bulk-submit."""
        return await self.server.post("$bulk-submit", self.parameters(*more, **urls))

    async def add(self, manifest: str, *more: Json, **urls: str) -> Answer:
        """Submits a manifest."""
        return (await self.send(*more, manifestUrl=manifest, fhirBaseUrl=BASE, **urls)).expect(200)

    async def end(self, status: str) -> Answer:
        """Says that it is completed or stopped."""
        return (await self.send(status_of(status))).expect(200)

    async def ask(self, *prefer: str) -> Answer:
        """POST $bulk-submit-status."""
        headers = {"Prefer": ",".join(("respond-async", *prefer))}
        return await self.server.post("$bulk-submit-status", self.parameters(), headers)

    async def finish(self, *prefer: str) -> Answer:
        """Asks, and polls until it is done, as often as the server says. Raises Broken where it takes too long."""
        where = (await self.ask(*prefer)).expect(202).header("Content-Location")
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            answer = await self.server.get(where, {"Accept": "application/json"})
            told = answer.headers.get("X-Export-Status", str(answer.status))[:3]
            if told == "200":
                return answer
            must(told in ("202", "429"), f"the submission ended with {told}: {answer.body[:500]!r}")
            if told == "202":
                self.polls.append(answer)
            await asyncio.sleep(min(wait_of(answer), 2.0))
        raise Broken(f"the submission is not done after {PATIENCE:g} s")

    async def stored(self, name: str) -> bool:
        """Whether a Patient of this submission is there, under its own id or another that a search would find."""
        answer = await self.server.get(f"Patient/{self.id}-{name}")
        return answer.expect(200, 404, 410).status == 200


def status_of(code: str) -> Json:
    """The parameter `submissionStatus`."""
    return {"name": "submissionStatus", "valueCoding": {"system": "http://hl7.org/fhir/event-status", "code": code}}


async def items(submission: Submission, done: Answer, name: str = "outcome") -> list[Json]:
    """The items of an array of the status manifest, of all its pages."""
    found: list[Json] = []
    page = done.json()
    for _ in range(1000):
        listed = page.get(name, [])
        found += [dict(item) for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
        url = next_link(page)
        if url is None:
            return found
        page = (await submission.server.get(url, {"Accept": "application/json"})).expect(200, 202).json()
    raise Broken("the status manifests link for ever")


async def outcomes(submission: Submission, done: Answer) -> list[Json]:
    """All OperationOutcomes of a status manifest."""
    found: list[Json] = []
    for item in await items(submission, done):
        answer = await submission.server.get(str(item.get("url")), {"Accept": "application/fhir+ndjson"})
        found += ndjson(answer.expect(200))
    return found


def severities(outcome: Json) -> set[object]:
    """The severities of the issues of an OperationOutcome."""
    issues = outcome.get("issue")
    return {member(issue, "severity") for issue in issues} if isinstance(issues, list) else set()
