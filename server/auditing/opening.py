"""Makes the audit log that the settings ask for, for the processes that serve and those that only work."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fhirstore import FhirStore
from fhirstore.errors import StoreMisconfigured
from fhirstore.objects import ObjectStore, open_objects
from server.auditing.audit import Audit
from server.observing.access_log import Identities
from server.observing.lines import LineWriter
from server.routes import TABLE
from server.settings import Settings


@asynccontextmanager
async def audit_objects(settings: Settings) -> AsyncIterator[ObjectStore | None]:
    """Opens the store that FHIRSTORE_AUDIT_STORE names; None: events lie in the tenants' own. Raises ObjectErrors."""
    if settings.audit_store is None:
        yield None
        return
    objects = await open_objects(settings.audit_store, s3=settings.s3, create=True)
    try:
        yield objects
    finally:
        await objects.aclose()


@asynccontextmanager
async def auditing(settings: Settings, store: FhirStore) -> AsyncIterator[Audit | None]:
    """Opens the audit log for the time of the block; None where there is none. Raises StoreMisconfigured."""
    if settings.audit == "off":
        yield None
        return
    lines = None
    if settings.audit in ("stdout", "both"):
        if sys.stdout is None:  # closed when the process began: 1 may be another file
            raise StoreMisconfigured(detail="FHIRSTORE_AUDIT: standard output is closed; open it, or set it to store")
        lines = LineWriter(sys.stdout.fileno())
    async with AsyncExitStack() as stack:
        objects = await stack.enter_async_context(audit_objects(settings))
        key = (settings.access_log_key or secrets.token_hex()).encode()
        identities = Identities(settings.access_log_ids, key)
        audit = Audit(store, settings, TABLE, identities=identities, objects=objects, lines=lines)
        try:
            yield audit
        finally:
            await asyncio.shield(asyncio.ensure_future(audit.close()))
