"""What commands that look after a store have in common: they open it, go through its tenants, and end with a code."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec

from fhirstore import FhirStore, TenantStore
from fhirstore.errors import FhirStoreError
from server.process.deployment import open_store
from server.settings import Settings

Report = TypeVar("Report")

FAILED = 2


def for_each_tenant(
    settings: Settings,
    tenant: str | None,
    work: Callable[[str, TenantStore], Awaitable[Report]],
    *,
    damaged_too: bool = False,
) -> dict[str, Report] | None:
    """Do `work` on the tenants, one after the other. None: it could not be done; a line on stderr says why.

    `damaged_too`: also where the store does not pass its own check.
    """

    async def go() -> dict[str, Report]:
        async with open_store(settings) as store:
            if not damaged_too:
                await store.check()
            return {name: await work(name, store.tenant(name)) for name in await _names(store, tenant)}

    try:
        return asyncio.run(go())
    except FhirStoreError as error:
        sys.stderr.write(f"fhirstore: {error}\n")
        return None


async def _names(store: FhirStore, tenant: str | None) -> list[str]:
    return [tenant] if tenant is not None else await store.tenancy.names()


def print_json(reports: Mapping[str, Mapping[str, object]]) -> None:
    """Reports by tenant, for programs."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(reports)).decode() + "\n")
