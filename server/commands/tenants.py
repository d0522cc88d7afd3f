"""`fhirstore tenant list|add|remove`: the tenants that the registry of a store names."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from fhirstore import FhirStore, RegisteredTenants, TenantRemoval, instant
from fhirstore.errors import FhirStoreError, TenantNotEmpty, UnknownTenant
from server.commands.each_tenant import FAILED
from server.commands.progress_lines import ProgressLines
from server.process.deployment import open_store
from server.settings import Settings

NOT_DONE = 1
_ELSEWHERE = "FHIRSTORE_TENANTS={} says which tenants there are; change it there, or set it to @store"
_BUCKETS = (
    "FHIRSTORE_TENANT_BUCKETS gives each tenant a bucket of its own; change it there, and remove the bucket yourself"
)


def list_tenants(settings: Settings, *, as_json: bool) -> int:
    """Prints the tenants, and those that have data and are not configured. Returns 0; 2 where it cannot be read."""

    async def work(store: FhirStore) -> int:
        registered = isinstance(settings.tenants, RegisteredTenants) and not settings.tenant_buckets
        known: dict[str, dict[str, object]] = {}
        if registered:
            for name, tenant in (await store.tenants.list()).items():
                known[name] = {"state": tenant.state, "added": instant(tenant.added)}
        else:
            known = {name: {"state": "live", "added": None} for name in await store.tenancy.names()}
        others = await store.tenancy.not_configured()
        if as_json:
            tenants = [{"id": name, **facts} for name, facts in known.items()]
            _print_json({"source": _source(settings), "tenants": tenants, "notConfigured": others})
            return 0
        table = Table("tenant", "state", "added", box=None)
        for name, facts in known.items():
            table.add_row(name, str(facts["state"]), str(facts["added"] or ""))
        for name in others:
            table.add_row(name, "not configured, has data", "")
        Console(soft_wrap=True).print(table if table.row_count else "no tenants")
        return 0

    return _run(settings, work)


def add_tenant(settings: Settings, tenant: str, *, as_json: bool) -> int:
    """Adds a tenant. Returns 0, also where it is there already; 1: it is being removed; 2: it cannot be done."""

    async def work(store: FhirStore) -> int:
        added = await store.tenants.add(tenant)
        if as_json:
            _print_json({"id": tenant, "added": added})
        else:
            typer.echo(f"{tenant} added; servers notice within 5 s" if added else f"{tenant} is there already")
        return 0

    return _refusal(settings) or _run(settings, work)


def remove_tenant(
    settings: Settings,
    tenant: str,
    *,
    purge_data: bool,
    keep_data: bool,
    confirmed: bool,
    as_json: bool,
    trusted_for: float | None = None,
    settled: float | None = None,
    progress_every: float = 5.0,
) -> int:
    """Removes a tenant. Returns 0; 1: it has data, or is not confirmed; 2: it cannot be done.

    `confirmed`: remove data without asking. `trusted_for`, `settled`: as in `Tenants.remove`.
    """
    refused = _refusal(settings)
    if refused:
        return refused
    if purge_data and not confirmed and not _typed(tenant):
        return NOT_DONE
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), TimeElapsedColumn())
    waits = {} if trusted_for is None else {"trusted_for": trusted_for}

    async def work(store: FhirStore) -> int:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(tenant, total=None)
            text = tenant
            lines = ProgressLines(lambda: text, every=progress_every)

            def show(done: TenantRemoval) -> None:
                nonlocal text
                text = f"{tenant}: {_PHASES[done.phase]}, {done.removed:,} objects removed"
                if bar.disable:
                    lines.poll()
                bar.update(task, description=text)

            count = await store.tenants.remove(
                tenant, purge_data=purge_data, keep_data=keep_data, settled=settled, on_progress=show, **waits
            )
        if as_json:
            _print_json({"id": tenant, "removed": True, "objects": count})
        else:
            typer.echo(f"{tenant} removed, with {count:,} objects" if purge_data else f"{tenant} removed")
        return 0

    return _run(settings, work)


_PHASES = {
    "waiting": "waiting until all servers have noticed",
    "removing": "removing",
    "checking": "waiting for writes under way",
}


def _typed(tenant: str) -> bool:
    """Asks for the tenant's id. Returns whether it was typed; where nobody can type, a line says what to do."""
    if not sys.stdin.isatty():
        sys.stderr.write("fhirstore: this removes all data of the tenant; nobody can be asked here, so say --yes\n")
        return False
    answer: str = typer.prompt(f"This removes all data of tenant {tenant}. Type its id to go on", err=True, default="")
    if answer != tenant:
        sys.stderr.write("fhirstore: that is not its id; nothing was changed\n")
    return answer == tenant


def _refusal(settings: Settings) -> int:
    """Returns 2 where the tenants are configured elsewhere, after a line on stderr; else 0."""
    if settings.tenant_buckets:
        sys.stderr.write(f"fhirstore: {_BUCKETS}\n")
        return FAILED
    if not isinstance(settings.tenants, RegisteredTenants):
        named = "*" if settings.tenants is None else ",".join(sorted(settings.tenants))
        sys.stderr.write(f"fhirstore: {_ELSEWHERE.format(named if len(named) <= 80 else named[:80] + '…')}\n")
        return FAILED
    return 0


def _source(settings: Settings) -> str:
    if settings.tenant_buckets:
        return "FHIRSTORE_TENANT_BUCKETS"
    return "registry" if isinstance(settings.tenants, RegisteredTenants) else "FHIRSTORE_TENANTS"


def _run(settings: Settings, work: Callable[[FhirStore], Awaitable[int]]) -> int:
    async def go() -> int:
        async with open_store(settings) as store:
            await store.check()
            return await work(store)

    try:
        return asyncio.run(go())
    except TenantNotEmpty as error:
        sys.stderr.write(f"fhirstore: {error} (--purge-data, --keep-data)\n")
        return NOT_DONE
    except UnknownTenant as error:
        sys.stderr.write(f"fhirstore: {error}\n")
        return NOT_DONE
    except FhirStoreError as error:
        sys.stderr.write(f"fhirstore: {error}\n")
        return FAILED


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")
