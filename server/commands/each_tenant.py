"""Common to the commands on a store: they open it, work on its tenants one after another, and report."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from typing import Protocol, TypeVar

import msgspec

from fhirstore import FhirStore, TenantStore
from fhirstore.errors import FhirStoreError, StoreDamaged, UnknownTenant
from server.process.deployment import open_store
from server.settings import Settings

Report = TypeVar("Report")
FAILED = 2
_MOST_NAMES = 20  # in one line


def for_each_tenant(
    settings: Settings,
    tenant: str | None,
    work: Callable[[str, TenantStore], Awaitable[Report]],
    *,
    damaged_too: bool = False,
) -> dict[str, Report] | None:
    """Does `work` on the tenants, one after another. None: it could not be done; a line on stderr says why.

    `damaged_too`: work also on a store that does not pass its own check.
    """

    async def go() -> dict[str, Report]:
        async with open_store(settings) as store:
            if not damaged_too:
                await store.check()
                await store.refuse_unfinished_copies()
            names = await _names(store, tenant)
            if tenant is None:
                with suppress(StoreDamaged) if damaged_too else nullcontext():
                    await _tell_of_others(store, names)
            return {name: await work(name, store.tenant(name)) for name in names}

    try:
        return asyncio.run(go())
    except FhirStoreError as error:
        sys.stderr.write(f"fhirstore: {error}\n")
        return None


async def _names(store: FhirStore, tenant: str | None) -> list[str]:
    """Returns the tenants to work on. Raises UnknownTenant for one that is not configured, or (`*`) has no data."""
    names = await store.tenancy.names()
    if tenant is None:
        return names
    if tenant not in names:
        raise UnknownTenant(f"no tenant {tenant!r} here; there is {_listed(names)} (FHIRSTORE_TENANTS)")
    return [tenant]


async def _tell_of_others(store: FhirStore, names: list[str]) -> None:
    """Says which tenants have data and are not configured, so that nobody takes them for checked."""
    if not names:
        sys.stderr.write("fhirstore: no tenant has any data here\n")
    others = await store.tenancy.not_configured()
    if others:
        sys.stderr.write(
            f"fhirstore: not looked at, since FHIRSTORE_TENANTS names no such tenants: {_listed(others)}\n"
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return (", ".join(names[:_MOST_NAMES]) or "none") + more


def print_json(reports: Mapping[str, Mapping[str, object]]) -> None:
    """Prints reports by tenant as JSON."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(reports)).decode() + "\n")


class _AsJson(Protocol):
    """A report that says what it is as JSON."""

    def as_json(self) -> Mapping[str, object]: ...


Told = TypeVar("Told", bound=_AsJson | None)


def print_reports(reports: Mapping[str, Told], told: Callable[[str, Told], Iterable[str]], *, as_json: bool) -> None:
    """Prints reports by tenant, as JSON or as the lines that `told` makes of each. None is an empty one."""
    if as_json:
        print_json({name: {} if report is None else report.as_json() for name, report in reports.items()})
    else:
        for name, report in reports.items():
            sys.stdout.writelines(f"{line}\n" for line in told(name, report))
