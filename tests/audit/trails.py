"""An audit trail in memory: writers with a clock that stands still until told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from fhirstore.audit.event import AuditEntry
from fhirstore.audit.trail import AuditTrail
from fhirstore.audit.writer import AuditOptions, AuditWriter, Held
from fhirstore.clock import SystemIds
from fhirstore.format.keyspace import Keyspace
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.memory import MemoryStore

NOON = 1_800_000_000_000


@dataclass
class Hand:
    """A clock that is set by hand."""

    at: int = NOON

    def now(self) -> int:
        return self.at


@dataclass
class Trails:
    """A trail, and writers for it."""

    objects: ObjectStore = field(default_factory=MemoryStore)
    clock: Hand = field(default_factory=Hand)
    held: Held = field(default_factory=Held)
    failures: list[Exception] = field(default_factory=list)
    failed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def trail(self) -> AuditTrail:
        return AuditTrail(self.objects, Keyspace.of_tenant("clinic"))

    def writer(
        self, *, seconds: float = 0.01, patients_of: Callable[[bytes], Collection[str]] = lambda content: ()
    ) -> AuditWriter:
        return AuditWriter(
            self.trail,
            self.held,
            ids=SystemIds(),
            clock=self.clock,
            patients_of=patients_of,
            options=AuditOptions(seconds=seconds, machine="m"),
            on_failure=self._fail,
        )

    def _fail(self, error: Exception) -> None:
        self.failures.append(error)
        self.failed.set()

    async def keys(self) -> list[str]:
        page = await self.objects.list("clinic/auditlog/")
        return [item.key for item in page.objects]


def entry(interaction: str = "read", *, patient: str = "p1", client: str = "app", status: int = 200) -> AuditEntry:
    return AuditEntry(
        interaction=interaction,
        status=status,
        request="r-1",
        address="192.0.2.7",
        client=client,
        type="Patient",
        id=patient,
        version=3,
    )
