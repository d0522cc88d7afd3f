"""Histories as the tests read them: all pages of one, on a store whose clock a test moves."""

from __future__ import annotations

from dataclasses import dataclass, field

from fhirstore.clock import SystemIds
from fhirstore.commit.limits import Context, Limits
from fhirstore.commit.messages import Protocol
from fhirstore.history.events import EventsHistory
from fhirstore.history.instance import instance_page
from fhirstore.history.page import PAGE_BYTES, HistoryPage, HistoryQuery
from fhirstore.history.remembered import RememberedHistories
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.version import Version
from tests.commit.hurried import HandClock, hurry
from tests.upkeep.sweep.attempts import KEYS, die, put

ALL = HistoryQuery()
Name = tuple[str, str, int]


def names(versions: tuple[Version, ...] | list[Version]) -> list[Name]:
    """Which versions these are."""
    return [(version.type, version.id, version.version_id) for version in versions]


@dataclass(slots=True)
class Histories:
    """One process that reads one tenant's histories from `store`."""

    store: ObjectStore
    clock: HandClock
    page_bytes: int = PAGE_BYTES
    remembered: RememberedHistories = field(default_factory=RememberedHistories)

    def protocol(
        self, type: str | None, id: str | None, query: HistoryQuery, cursor: str | None
    ) -> Protocol[HistoryPage]:
        """One page, not run yet."""
        context = Context(self.store.now, SystemIds(), Limits())
        if type is not None and id is not None:
            keys = KEYS.resource(type, id)
            return instance_page(keys, query, cursor, context=context, page_bytes=self.page_bytes)
        history = EventsHistory("t", KEYS, type, query, self.remembered, context, self.page_bytes)
        return history.page(cursor)

    async def page(
        self, type: str | None = None, id: str | None = None, *, query: HistoryQuery = ALL, cursor: str | None = None
    ) -> HistoryPage:
        """One page."""
        return await hurry(self.protocol(type, id, query, cursor), self.store, self.clock)

    async def pages(
        self, type: str | None = None, id: str | None = None, *, query: HistoryQuery = ALL
    ) -> list[HistoryPage]:
        """All pages."""
        pages = [await self.page(type, id, query=query)]
        while (cursor := pages[-1].next) is not None:
            pages.append(await self.page(type, id, query=query, cursor=cursor))
        return pages

    async def all(self, type: str | None = None, id: str | None = None, *, query: HistoryQuery = ALL) -> list[Name]:
        """Every version, page by page."""
        return [name for page in await self.pages(type, id, query=query) for name in names(page.versions)]


@dataclass(slots=True)
class World:
    """An empty metered memory store, its clock, and a reader."""

    clock: HandClock = field(default_factory=HandClock)
    meter: MeteredStore = field(init=False)
    read: Histories = field(init=False)

    def __post_init__(self) -> None:
        self.meter = MeteredStore(MemoryStore(self.clock))
        self.read = Histories(self.meter, self.clock)

    async def put(self, id: str, *, type: str = "Basic", method: str = "PUT") -> Name:
        """One more version, a millisecond after the last."""
        self.clock.ms += 1
        return type, id, (await put(self.meter, self.clock, id, type=type, method=method)).version

    async def die(self, id: str, *, type: str = "Basic") -> None:
        """An attempt that ends just before its commit."""
        self.clock.ms += 1
        await die(self.meter, id, type=type, clock=self.clock)
