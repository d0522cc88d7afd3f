"""The audit log of one process: a writer for each tenant, and one for requests that were refused before they had one.

A request waits for room before it does anything, and with FHIRSTORE_AUDIT_SYNC for its event before it is answered.
Not audited: what shows no data of a tenant (the CapabilityStatement, paths that do not exist), unless it was refused
with 401 or 403.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterable, Sequence

from starlette.types import Scope

from fhirstore import AuditEntry, AuditOptions, AuditsHeld, AuditWriter, FhirStore
from fhirstore.errors import FhirStoreError, Unavailable
from fhirstore.objects import ObjectStore
from server.auditing.criteria import CriteriaForm
from server.auditing.entries import Entries
from server.auditing.touched import TOUCHED, Touched
from server.http.route import Handler, Route
from server.observing.access_log import Identities
from server.observing.catalogue import AUDIT_FAILURES, AUDIT_HELD, AUDIT_LOST, Metric
from server.observing.interaction_names import NONE, interaction_names
from server.observing.lines import LineWriter
from server.observing.snapshot import Labels
from server.process.ending import AUDITED_IN
from server.settings import Settings

_TOGETHER = 0.05  # seconds that events gather where requests wait for them: 20 PUTs a second at most
_PATIENCE = 10.0  # seconds that a request waits for its event
_MOST_WRITERS = 2_000
_SAID_EVERY = 60.0
_PUBLIC = frozenset({"capabilities", "smart-configuration"})
_NO_ROOM = "The audit log cannot be written, so nothing is done; try again later"
_NOT_KEPT = "It was done, but its audit event could not be stored in time; read back before you send it again"


class Audit:
    """Tells the audit trails of the store what requests do. The caller must `close` it, before the store.

    `objects`: another store for the events. `lines`: where they are shown, too.
    """

    def __init__(
        self,
        store: FhirStore,
        settings: Settings,
        table: Iterable[Route],
        *,
        identities: Identities,
        objects: ObjectStore | None = None,
        lines: LineWriter | None = None,
    ) -> None:
        self._store = store
        self._objects = objects
        self._lines = lines
        self._stores = settings.audit in ("store", "both")
        self._sync = settings.audit_sync and self._stores
        self._drops = settings.audit_full == "drop"
        self._names = interaction_names(table)
        self._entries = Entries(
            store.definitions, CriteriaForm(settings.audit_criteria, identities.of, store.definitions)
        )
        self._held = AuditsHeld()
        self._options = AuditOptions(
            seconds=_TOGETHER if self._sync else float(settings.audit_seconds),
            machine=socket.gethostname() or "fhirstore",
            hide=None if lines is None else identities.of,
            show=None if lines is None else self._show,
        )
        self._writers: dict[str | None, AuditWriter] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._lost = self._failures = 0
        self._said = float("-inf")

    # --- requests -------------------------------------------------------------------------------------------

    def begin(self, scope: Scope) -> None:
        """Makes what the interactions of a request fill in."""
        scope[TOUCHED] = Touched()

    def admit(self, touched: Touched, method: str) -> None:
        """Raises Unavailable where there is no room for the event of this request, so that nothing may be done."""
        if not self._held.full:
            touched.admitted = True
        elif not self._drops and self._name(touched, method) not in _PUBLIC:
            raise Unavailable(_NO_ROOM)

    async def note(self, scope: Scope, status: int, request: bytes) -> None:
        """Tells the trail what the request did. Raises Unavailable where that must be stored, and was not in time."""
        stored = self.add(scope, status, request)
        if stored is None or not self._sync:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                await asyncio.shield(stored)
        except TimeoutError:
            raise Unavailable(_NOT_KEPT) from None

    def add(self, scope: Scope, status: int, request: bytes) -> asyncio.Future[None] | None:
        """Tells the trail, and does not wait. Returns what is done when it is stored; None: there is no event.

        `status`: of the answer; 0: the client went away before.
        """
        touched: Touched = scope[TOUCHED]
        name = self._name(touched, scope["method"])
        if status not in (401, 403) and (name in _PUBLIC or name == NONE):
            return None
        tenant = None if touched.tenant is None else touched.tenant.id
        if self._held.full and not touched.admitted:  # it has done nothing: a flood of such fills no memory
            self._lose(tenant)
            return None
        address = (scope.get("client") or ("",))[0]
        entries = self._entries.of(name, touched, status, request=request, address=address, query=scope["query_string"])
        return self.write(tenant, entries)

    def _name(self, touched: Touched, method: str) -> str:
        handler: Handler | None = None if touched.endpoint is None else touched.endpoint.handlers.get(method)
        return NONE if handler is None else self._names[handler]

    # --- events ---------------------------------------------------------------------------------------------

    def write(self, tenant: str | None, entries: Iterable[AuditEntry]) -> asyncio.Future[None] | None:
        """Tells a tenant's trail these events; None: the trail of those who have no tenant."""
        writer = self._writer_of(tenant)
        stored: asyncio.Future[None] | None = None
        for entry in entries:
            if self._held.full and self._drops:
                self._lose(tenant)
            else:
                stored = writer.add(entry)
        return stored

    def _lose(self, tenant: str | None) -> None:
        """Counts an event that is not kept."""
        self._writer_of(tenant).lose()
        self._lost += 1
        self._say(f"the audit log cannot be written; {self._lost} events were dropped")

    def _writer_of(self, tenant: str | None) -> AuditWriter:
        try:
            return self._writer(tenant)
        except FhirStoreError:  # the tenant was removed meanwhile
            return self._writer(None)

    def ran(self, tenant: str, kind: str, id: str, ended: str) -> None:
        """Tells the trail that a job ran in this process. `ended`: complete, failed, or "": it goes on later."""
        status = {"complete": 200, "failed": 500}.get(ended, 202)
        self.write(tenant, [AuditEntry(interaction=f"{kind}-job", status=status, job=id, client="fhirstore")])

    def _writer(self, tenant: str | None) -> AuditWriter:
        writer = self._writers.pop(tenant, None)
        if writer is None:
            trail = self._store.audit_trail(tenant, self._objects) if self._stores else None
            writer = self._store.audit_writer(trail, self._held, options=self._options, on_failure=self._failed)
            while len(self._writers) >= _MOST_WRITERS:
                oldest = self._writers.pop(next(iter(self._writers)))
                task = asyncio.create_task(oldest.close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        self._writers[tenant] = writer  # the one used last is at the end
        return writer

    def _show(self, line: bytes) -> None:
        if self._lines is not None:
            self._lines.add(line.decode())

    # --- what operators see ---------------------------------------------------------------------------------

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self._say(f"audit events cannot be stored: {type(error).__name__}; they wait")

    def _say(self, text: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._said >= _SAID_EVERY:
            self._said = now
            sys.stderr.write(f"fhirstore: {text}\n")

    def gauges(self) -> Iterable[tuple[Metric, Labels, float]]:
        """Yields the values of its metrics."""
        shown = 0 if self._lines is None else self._lines.lost
        yield AUDIT_LOST, (), self._lost + shown
        yield AUDIT_FAILURES, (), self._failures
        yield AUDIT_HELD, (), self._held.used

    async def close(self) -> None:
        """Stores what waits, for some seconds at most, and says that it was the last."""
        closing: Sequence[asyncio.Task[None]] = [
            *self._closing,
            *(asyncio.create_task(writer.close()) for writer in self._writers.values()),
        ]
        if closing:
            _, late = await asyncio.wait(closing, timeout=AUDITED_IN)
            for task in late:
                task.cancel()
            if late:
                sys.stderr.write(f"fhirstore: audit events of {len(late)} tenants could not be stored at the end\n")
        if self._lines is not None:
            await asyncio.to_thread(self._lines.close)
