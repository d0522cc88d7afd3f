"""$jobs lists the tenant's jobs, $job shows one with its files, $job-file sends one of its files.

FHIR defines none of them. They show the state that exports and submissions keep in the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from fhirstore import Job, JobFile, instant
from fhirstore.errors import InvalidResource, NotFound, ObjectNotFound
from server.content.files import Chunks, File, file_answer
from server.http.answers import resource_answer
from server.http.call import Call
from server.http.parameters import refuse_others

_MOST_JOBS = 250
_MOST_FILES = 1_000
_OCTETS = "application/octet-stream"

Parameter = dict[str, object]


async def jobs(call: Call) -> Response:
    """GET [base]/$jobs: Parameters with a part for each job, the live ones first. `kind`: only those."""
    refuse_others(call, "kind")
    kind = _needed(call, "kind") if any(name == "kind" for name, _ in call.query) else None
    found = await call.tenant.jobs.list(kind, most=_MOST_JOBS)
    return _answer(call, [{"name": "job", "part": _facts(job)} for job in found])


async def job(call: Call) -> Response:
    """GET [base]/$job?id=…: Parameters with what is known of the job, and its files with their URLs. 404.

    `url` leads through this server; `signedUrl`, on S3, to the object itself for an hour, without any other right.
    """
    refuse_others(call, "id")
    found = await call.tenant.jobs.get(_needed(call, "id"))
    files = await call.tenant.jobs.files(found, most=_MOST_FILES + 1)
    shown: list[Parameter] = []
    for file in files[:_MOST_FILES]:
        signed = await call.tenant.jobs.signed_url(file)
        shown.append({"name": "file", "part": _file(call, found, file, signed)})
        await asyncio.sleep(0)  # signing is work, too
    more: list[Parameter] = [{"name": "moreFiles", "valueBoolean": True}] if len(files) > _MOST_FILES else []
    return _answer(call, [*_facts(found, whole=True), *shown, *more])


async def job_file(call: Call) -> Response:
    """GET [base]/$job-file?id=…&name=…: the file, streamed; Range and gzip as in `server.content.files`. 404."""
    refuse_others(call, "id", "name")
    tenant_jobs = call.tenant.jobs
    found = await tenant_jobs.get(_needed(call, "id"))
    file = await tenant_jobs.file(found, _needed(call, "name"))

    @asynccontextmanager
    async def opened(start: int, end: int | None) -> AsyncIterator[Chunks]:
        async with tenant_jobs.open_file(file, start=start, end=end) as stream:
            yield stream

    facts = File(file.size, file.content_type or _OCTETS, file.sha256, file.encoding, file.name)
    try:
        return await file_answer(call, facts, opened)
    except ObjectNotFound:
        raise NotFound("The file was removed with its job") from None


def _needed(call: Call, name: str) -> str:
    values = [value for key, value in call.query if key == name]
    if len(values) != 1 or not values[0]:
        raise InvalidResource(f"Give the parameter {name} once", code="required")
    return values[0]


def _answer(call: Call, parameters: list[Parameter]) -> Response:
    resource: dict[str, object] = {"resourceType": "Parameters"}
    if parameters:
        resource["parameter"] = parameters
    return resource_answer(call, msgspec.json.encode(resource))


def _facts(job: Job, *, whole: bool = False) -> list[Parameter]:
    facts: list[Parameter] = [
        {"name": "id", "valueString": job.id},
        {"name": "kind", "valueCode": job.kind},
        {"name": "status", "valueCode": job.status},
        {"name": "created", "valueInstant": instant(job.metadata.created)},
        {"name": "attempts", "valueInteger": job.state.attempts},
    ]
    if job.metadata.by:
        facts.append({"name": "by", "valueString": job.metadata.by})
    if job.expires_at is not None:
        facts.append({"name": "expires", "valueInstant": instant(job.expires_at)})
    if job.issues:
        facts.append({"name": "outcome", "resource": {"resourceType": "OperationOutcome", "issue": _issues(job)}})
    if whole and job.metadata.request:
        facts.append({"name": "request", "valueString": msgspec.json.encode(job.metadata.request).decode()})
    return facts


def _issues(job: Job) -> list[Mapping[str, object]]:
    return [{name: value for name, value in issue.items() if value} for issue in job.issues]


def _file(call: Call, job: Job, file: JobFile, signed: str | None) -> list[Parameter]:
    query = urlencode({"id": job.id, "name": file.name})
    part: list[Parameter] = [
        {"name": "name", "valueString": file.name},
        {"name": "url", "valueUrl": f"{call.base_url}/$job-file?{query}"},
        {"name": "size", "valueDecimal": file.size},
        {"name": "sha256", "valueString": file.sha256},
    ]
    if signed is not None:
        part.append({"name": "signedUrl", "valueUrl": signed})
    for name, value in (("count", file.count), ("rawSize", file.raw_size), ("milliseconds", file.milliseconds)):
        if value is not None:
            part.append({"name": name, "valueDecimal": value})
    if file.failures:
        part.append({"name": "failures", "valueInteger": file.failures})
    for name, text in (("contentType", file.content_type), ("encoding", file.encoding)):
        if text:
            part.append({"name": name, "valueString": text})
    part += [{"name": f"tag-{tag}", "valueString": text} for tag, text in file.tags.items()]
    return part
