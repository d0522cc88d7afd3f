"""Collects the events of one process for one tenant, and stores them as segments: a group commit.

Events wait until the time or the size of a segment is reached, then one PUT stores them all. While it is under way, the
next ones gather. A segment that could not be stored is sent again, under the same name, until it is: so a store that
does not answer fills the memory that all writers of a process share (`Held`). Then there is no room, and the caller
must refuse requests, or drop events; these are counted, and the next segment says how many.

The commit point of an event is the PUT of its segment. What a killed process had not stored is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from contextvars import Context

import msgspec

from fhirstore.audit.event import AuditEntry
from fhirstore.audit.segment import SPAN, Header, Sealed, seal
from fhirstore.audit.trail import AuditTrail
from fhirstore.clock import Clock, Ids
from fhirstore.errors import FhirStoreError, ObjectError, PreconditionFailed
from fhirstore.objects.base import IF_ABSENT
from fhirstore.objects.facts import Facts
from fhirstore.tags import AUDIT
from fhirstore.threads import in_thread

_EVENT = 1_000  # bytes that an entry takes, beside the resources that it shows
_FULL = 4 * 1024 * 1024  # bytes that wait, at which a segment is sealed at once
_MOST_EVENTS = 10_000  # of a segment
_REPEATS = (0.2, 10.0)  # seconds between two attempts to store a segment: at first, at most
_FACTS = Facts(content_type="application/zstd", tags={"kind": AUDIT})


class Held:
    """The bytes that the writers of a process hold together. `most`: beyond it there is no room."""

    def __init__(self, most: int = 32 * 1024 * 1024) -> None:
        self.most = most
        self.used = 0

    @property
    def full(self) -> bool:
        """Whether there is no room for further events."""
        return self.used >= self.most


class AuditOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How events are stored. `seconds`: that they wait at most, 30 or less, for a segment to be sent.

    `machine`: the name of the one that answered. `hide` and `show`: where each event goes beside the store, as a line,
    and what may be seen of ids there.
    """

    seconds: float = 5.0
    machine: str = "fhirstore"
    hide: Callable[[str], str] | None = None
    show: Callable[[bytes], None] | None = None


class AuditWriter:
    """The writer of one process for one trail; None: events are only shown. The caller must `close` it.

    Used in one event loop. `on_failure` is told that a segment could not be stored, each time.
    """

    def __init__(
        self,
        trail: AuditTrail | None,
        held: Held,
        *,
        ids: Ids,
        clock: Clock,
        patients_of: Callable[[bytes], Collection[str]],
        options: AuditOptions,
        on_failure: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._trail = trail
        self._held = held
        self._ids = ids
        self._clock = clock
        self._patients_of = patients_of
        self._options = options
        self._on_failure = on_failure
        self._process = ids.new()
        self._number = 0
        self._before: Sealed | None = None
        self._pending: list[AuditEntry] = []
        self._waiting = 0  # bytes of the pending ones
        self._recorded = 0
        self._lost = 0  # since the last segment
        self._stored: asyncio.Future[None] | None = None  # of the pending ones
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._closing = False

    def lose(self) -> None:
        """Counts an event that there was no room for; the next segment says so."""
        self._lost += 1

    def add(self, entry: AuditEntry) -> asyncio.Future[None]:
        """Adds an event, whose time is set here. Returns what is done when it is stored; who waits for it shields it.

        The caller looks at `Held.full` before it does what is recorded: here it is too late.
        """
        self._recorded = max(self._recorded, self._clock.now())
        entry.recorded = self._recorded
        size = _EVENT + sum(len(version.content) for version in entry.versions)
        self._held.used += size
        self._waiting += size
        self._pending.append(entry)
        if self._stored is None:
            self._stored = asyncio.get_running_loop().create_future()
        if self._task is None:
            # in a context of its own: it does not belong to the request that comes first
            self._task = asyncio.create_task(self._work(), name="fhirstore-audit", context=Context())
        if self._waiting >= _FULL or len(self._pending) >= _MOST_EVENTS:
            self._wake.set()
        return self._stored

    async def close(self) -> None:
        """Stores what waits, and says that this was the last. The caller limits the time."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        if self._trail is not None and self._number:
            await self._store(await self._sealed([], final=True))

    async def _work(self) -> None:
        """Stores segments until nothing waits."""
        while self._pending:
            if not self._closing:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._options.seconds):
                        await self._wake.wait()
            batch, self._pending = self._pending, []
            stored, self._stored = self._stored, None
            size, self._waiting = self._waiting, 0
            self._wake.clear()
            if self._closing:
                self._wake.set()
            for some in _within_span(batch):
                await self._store(await self._sealed_somehow(some))
            self._held.used -= size
            if stored is not None and not stored.done():
                stored.set_result(None)
        self._task = None

    async def _sealed_somehow(self, entries: Sequence[AuditEntry]) -> Sealed:
        """Returns the next segment; where a resource cannot be read for its patients, without those that it shows."""
        try:
            return await self._sealed(entries)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a resource, its event must not be lost
            self._on_failure(error)
            return await self._sealed([msgspec.structs.replace(entry, versions=()) for entry in entries])

    async def _sealed(self, entries: Sequence[AuditEntry], *, final: bool = False) -> Sealed:
        """Returns the next segment of this process, and shows its events."""
        options, before = self._options, self._before
        beside = ""
        if before is None and self._trail is not None:
            beside = await self._newest(self._trail)
        lost, number = self._lost, self._number + 1
        header = Header(
            process=self._process,
            number=number,
            t=entries[0].recorded if entries else max(self._recorded, self._clock.now()),
            events=len(entries),
            previous="" if before is None else str(before.name),
            sha256="" if before is None else before.sha256,
            beside=beside,
            final=final,
            lost=lost,
        )
        sealed = await in_thread(
            seal, entries, header, patients_of=self._patients_of, machine=options.machine, show=options.hide
        )
        if options.show is not None:
            for line in sealed.lines:
                options.show(line)
        self._number, self._lost = number, self._lost - lost
        self._before = msgspec.structs.replace(sealed, lines=())
        return sealed

    async def _newest(self, trail: AuditTrail) -> str:
        try:
            return await trail.newest(self._clock.now())
        except FhirStoreError as error:  # a link less; the PUT will tell what is wrong
            self._on_failure(error)
            return ""

    async def _store(self, sealed: Sealed) -> None:
        """Stores a segment, however often it has to be sent. The PUT is the commit point of its events."""
        trail = self._trail
        if trail is None:
            return
        key, pause = trail.key(sealed.name), _REPEATS[0]
        while True:
            try:
                await trail.objects.put(key, sealed.body, condition=IF_ABSENT, facts=_FACTS)
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, the events must not be lost
                if isinstance(error, PreconditionFailed) and await self._is_there(trail, key, sealed):
                    return
                self._on_failure(error)
            await asyncio.sleep(self._ids.jitter(pause / 2, pause))
            pause = min(pause * 2, _REPEATS[1])

    async def _is_there(self, trail: AuditTrail, key: str, sealed: Sealed) -> bool:
        """Whether an attempt that was not answered stored it. The key is unique to this process."""
        try:
            return (await trail.objects.get(key)).body == sealed.body
        except ObjectError:
            return False


def _within_span(entries: Sequence[AuditEntry]) -> list[list[AuditEntry]]:
    """Returns the entries, in order, in groups that a segment may have."""
    groups: list[list[AuditEntry]] = []
    for entry in entries:
        group = groups[-1] if groups else None
        if group is None or entry.recorded - group[0].recorded >= SPAN or len(group) >= _MOST_EVENTS:
            groups.append([entry])
        else:
            group.append(entry)
    return groups
