"""`fhirstore jobs ls|show|logs|files|cancel`: the jobs in a store, without a server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from fhirstore import Job, JobFile, TenantStore, instant
from fhirstore.errors import FhirStoreError, NotFound
from server.commands.each_tenant import FAILED, for_each_tenant, print_json
from server.process.deployment import open_store
from server.settings import Settings

NOT_DONE = 1


def list_jobs(settings: Settings, *, tenant: str | None, kind: str | None, as_json: bool) -> int:
    """Prints the jobs of the tenants, the live ones first. Returns 0; 2 where the store cannot be read."""

    async def work(_: str, store: TenantStore) -> list[Job]:
        return await store.jobs.list(kind)

    found = for_each_tenant(settings, tenant, work)
    if found is None:
        return FAILED
    if as_json:
        print_json({name: {"jobs": [job.as_json() for job in jobs]} for name, jobs in found.items()})
        return 0
    table = Table("tenant", "id", "kind", "status", "created", "attempts", "expires", box=None)
    for name, jobs in found.items():
        for job in jobs:
            expires = instant(job.expires_at) if job.expires_at is not None else ""
            created, attempts = instant(job.metadata.created), str(job.state.attempts)
            table.add_row(name, job.id, job.kind, job.status, created, attempts, expires)
    _print_table(table, "no jobs")
    return 0


def show_job(settings: Settings, id: str, *, tenant: str | None, as_json: bool) -> int:
    """Prints one job. Returns 0; 1 where there is no such job; 2."""

    async def work(store: TenantStore, job: Job) -> int:
        facts = job.as_json()
        if as_json:
            _print_json(facts)
            return 0
        for name in ("created", "expiresAt"):
            value = facts[name]
            facts[name] = instant(value) if isinstance(value, int) else ""
        for name, value in facts.items():
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            typer.echo(f"{name:10} {text}")
        return 0

    return _on_job(settings, id, tenant, work)


def show_log(settings: Settings, id: str, *, tenant: str | None, as_json: bool) -> int:
    """Prints the log of a job as far as it is written. Exit codes as `show_job`."""

    async def work(store: TenantStore, job: Job) -> int:
        async for line in store.jobs.log(job):
            if as_json:
                typer.echo(msgspec.json.encode(line).decode())
                continue
            t, event = line.pop("t", 0), line.pop("event", "")
            fields = " ".join(f"{name}={value}" for name, value in line.items())
            typer.echo(f"{instant(t) if isinstance(t, int) else t}  {event}  {fields}")
        return 0

    return _on_job(settings, id, tenant, work)


def show_files(settings: Settings, id: str, *, tenant: str | None, urls: bool, as_json: bool) -> int:
    """Prints the files of a job, with sizes and hashes; `urls`: with signed URLs, on S3. Exit codes as `show_job`."""

    async def work(store: TenantStore, job: Job) -> int:
        files = await store.jobs.files(job)
        signed = {file.name: await store.jobs.signed_url(file) for file in files} if urls else {}
        if as_json:
            shown = [msgspec.to_builtins(file) for file in files]
            _print_json({"files": [one | ({"url": signed[one["name"]]} if urls else {}) for one in shown]})
        elif urls:
            for file in files:
                typer.echo(f"{file.name}  {signed[file.name] or file.key}")
        else:
            _print_table(_files_table(files), "no files")
        return 0

    return _on_job(settings, id, tenant, work)


def cancel_job(settings: Settings, id: str, *, tenant: str | None, as_json: bool) -> int:
    """Cancels a live job and removes its files. Returns 0; 1: no such job, or it has ended already; 2."""

    async def work(store: TenantStore, job: Job) -> int:
        now = await store.jobs.cancel(id)
        if as_json:
            _print_json({"id": id, "status": now.status})
        else:
            typer.echo(f"{id} {now.status}")
        return 0 if now.status == "cancelled" else NOT_DONE

    return _on_job(settings, id, tenant, work)


def _files_table(files: Sequence[JobFile]) -> Table:
    table = Table("name", "size", "count", "encoding", "ms", "failures", "sha256", "tags", box=None)
    for column in (*table.columns[1:3], *table.columns[4:6]):
        column.justify = "right"
    for file in files:
        tags = " ".join(f"{name}={value}" for name, value in file.tags.items())
        numbers = [str(n) if n is not None else "" for n in (file.size, file.count, file.milliseconds, file.failures)]
        size, count, milliseconds, failures = numbers
        table.add_row(file.name, size, count, file.encoding or "", milliseconds, failures, file.sha256, tags)
    return table


def _on_job(settings: Settings, id: str, tenant: str | None, work: Callable[[TenantStore, Job], Awaitable[int]]) -> int:
    """Does `work` on the job with this id, of this tenant or of the first one that has it."""

    async def go() -> int:
        async with open_store(settings) as store:
            await store.check()
            for name in await store.tenancy.names() if tenant is None else [tenant]:
                clinic = store.tenant(name)
                try:
                    job = await clinic.jobs.get(id)
                except NotFound:
                    continue
                return await work(clinic, job)
        sys.stderr.write("fhirstore: no such job; it may have been cancelled, or have expired\n")
        return NOT_DONE

    try:
        return asyncio.run(go())
    except FhirStoreError as error:
        sys.stderr.write(f"fhirstore: {error}\n")
        return FAILED


def _print_table(table: Table, nothing: str) -> None:
    """Prints the table as wide as it is: ids and hashes are there to be copied."""
    console = Console()
    wide = console.measure(table, options=console.options.update(width=10_000)).maximum
    Console(width=max(wide, console.width), soft_wrap=True).print(table if table.row_count else nothing)


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")
