"""Runs the copy of one tenant: the walk, then passes along the history log until nothing is left to do.

| part | requests |
|---|---|
| begin | target: 1 GET + 1 PUT for the lease, 1 LIST; source: 1 LIST |
| walk | source: 1 LIST per 1,000 objects; per resource and version see `resource` |
| a pass | source: 1 LIST per 1,000 events since the mark of the pass before, 1 LIST for audit lines, 1 LIST per 1,000 objects of runs; 2 GET per resource that an event names |
| end | target: 2 LIST and 1 PUT |
| renewal | target: 1 PUT every third of the lease |

A walk or pass that was interrupted goes on where it was, up to some hundred resources before; those are found to be
there, by 1 GET each.
"""  # noqa: E501 - a table row is one line

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from msgspec.structs import replace

from fhirstore.commit.drive import drive
from fhirstore.commit.idempotent import listed, removed
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, List, Put
from fhirstore.commit.reading import ask, glance
from fhirstore.errors import (
    CopyRefused,
    CorruptRecord,
    InvalidResource,
    ObjectError,
    StoreDamaged,
    StoreFull,
    StoreMisconfigured,
    Unavailable,
)
from fhirstore.format.keyspace import Event, copy_state, parse_audit_line, parse_event
from fhirstore.tenancy import Place
from fhirstore.upkeep.copy.conveyor import convey
from fhirstore.upkeep.copy.lease import CopyLease, claim_copy
from fhirstore.upkeep.copy.pages import Named, page_of, pages_of, resource_pages
from fhirstore.upkeep.copy.resource import ResourceCopier
from fhirstore.upkeep.copy.runs import copy_runs
from fhirstore.upkeep.copy.state import AGAIN, COMPLETE, DIFFERS, QUIET, WALKED, WALKING, CopyState
from fhirstore.upkeep.copy.tally import CopyProgress, Tally
from fhirstore.upkeep.copy.target import PASSING, Target, patiently
from fhirstore.upkeep.copy.verify import Verified, verify

_MARGIN = 1_000  # ms beside `Limits.settled`
_MOST_FAILED = 1_000
_MANY = 200  # changed resources after which a pass is followed by the next one at once
_PASSES = 1_000
_AHEAD = 600_000  # ms that the target's clock may be behind the newest version, and be waited for
_OF_STORES = (StoreFull, StoreMisconfigured, StoreDamaged, *PASSING)
"""Errors of a store, and not of one resource."""

_CLOCK = 2_000  # ms by which an estimate of a store's time may be wrong


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """`at_once`: resources in parallel. `verify`: compare both sides before the copy counts as complete. `follow`: go
    on with passes while the source is written, until it is quiet. `lease`: ms. `pause`: seconds between two such
    passes."""

    at_once: int = 32
    verify: bool = True
    follow: bool = False
    lease: int = 15_000
    pause: float = 2.0


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What a copy did. `outcome`: complete; moving (the source is being written: run it again when it is not);
    incomplete (`failed` resources could not be read); differs (see `verified`); interrupted.

    `resources`, `versions`: written by this run, as are `objects` and `bytes`. `upto`: the time of the newest version,
    epoch ms. `jobs`: jobs of the source that have not ended, which are not copied.
    """

    outcome: str
    resources: int
    versions: int
    objects: int
    bytes: int
    upto: int
    jobs: int = 0
    failed: tuple[str, ...] = ()
    verified: Verified | None = None

    @property
    def complete(self) -> bool:
        return self.outcome == "complete"


async def copy_tenant(
    source: Place,
    target: Place,
    *,
    contexts: tuple[Context, Context],
    options: CopyOptions | None = None,
    on_progress: Callable[[CopyProgress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> CopyReport:
    """Copies a tenant's data, or goes on with it. `contexts`: of source and target. `stop`: ends it in good order.

    Commit point: the PUT of the copy's state as complete; until then servers refuse the target. Raises CopyRefused (the
    target holds other data, or has been written to since), StoreFull, LeaseLost, Unavailable, other ObjectErrors; then
    call it again.
    """
    options = options or CopyOptions()
    key = copy_state(target.tenant)
    await _refuse_foreign(target, key)
    first = CopyState(source.objects.location, first=await _first_event(source))
    lease = await claim_copy(target.objects, key, first, context=contexts[1], length=options.lease)
    run = _Run(source, target, contexts, options, lease, Tally(on_progress), stop)
    try:
        async with lease.renewed():
            return await run.run()
    except CopyRefused:
        if not lease.takes_over and run.tally.objects == 0:  # nothing was begun, so nothing may be taken for a copy
            await drive(removed(key), target.objects)
        raise


async def _refuse_foreign(target: Place, key: str) -> None:
    """Raises CopyRefused where the target holds data and no copy of ours was begun there."""
    (state,) = await drive(ask(Get(key)), target.objects)
    if isinstance(state, Absent) and await _holds_data(target):
        raise CopyRefused(
            f"Tenant '{target.tenant}' has data in {target.objects.location} that is no copy; name an empty place"
        )


async def _holds_data(place: Place) -> bool:
    page = await drive(listed(List(place.keys.prefix, delimiter=True)), place.objects)
    names = [*page.prefixes, *(item.key for item in page.objects)]
    return any(place.keys.prefix or not name.startswith("_") for name in names)


async def _first_event(source: Place) -> str:
    page = await drive(listed(List(source.keys.system_history(), limit=1)), source.objects)
    return page.objects[0].key.removeprefix(source.keys.prefix) if page.objects else ""


@dataclass(slots=True)
class _Pass:
    """What a pass saw. `began`: the source's time; `newest`: the newest event or purge; epoch ms."""

    began: int
    newest: int = 0
    changed: int = 0

    def saw(self, t: int, context: Context) -> None:
        """Note an event or a purge. A time so far ahead comes from imported data, not from a clock."""
        if t <= self.began + _AHEAD + context.limits.settled:
            self.newest = max(self.newest, t)


@dataclass(slots=True)
class _Run:
    source: Place
    target: Place
    contexts: tuple[Context, Context]
    options: CopyOptions
    lease: CopyLease
    tally: Tally
    stop: Callable[[], bool]
    failed: dict[str, None] = field(default_factory=dict)
    copied: int = 0
    writes: Target = field(init=False)
    copier: ResourceCopier = field(init=False)

    def __post_init__(self) -> None:
        self.failed = dict.fromkeys(self.lease.state.failed)
        self.writes = Target(self.target.objects, self.lease.window, self.tally)
        self.copier = ResourceCopier(self.source, self.target, self.writes, self.tally, contexts=self.contexts)

    @property
    def _settled(self) -> int:
        """ms after which nothing with an earlier time can appear in the source."""
        return self.contexts[0].limits.settled + _MARGIN

    async def run(self) -> CopyReport:
        """Does all of it. Returns the report. Raises as `copy_tenant`."""
        await self._admit()
        await self._set(self.lease.state.after(AGAIN))
        if self.lease.state.phase == WALKING and not await self._walk():
            return self._report("interrupted")
        outcome = await self._follow()
        if outcome != "complete":
            return self._report(outcome)
        verified = await self._verify() if self.options.verify else None
        if self.stop():
            return self._report("interrupted")
        if verified is not None and not verified.equal:
            await self._set(self.lease.state.after(DIFFERS))
            return self._report("differs", verified)
        if verified is not None and not await self._still_quiet():
            return self._report("moving", verified)
        upto = await self._newest_in_target()
        if not await self._clock_passed(upto):
            return self._report("interrupted")
        jobs = await self._live_jobs()
        await self._set(replace(self.lease.state.after(QUIET), upto=upto))
        return self._report("complete", verified, jobs)

    def _report(self, outcome: str, verified: Verified | None = None, jobs: int = 0) -> CopyReport:
        tally = self.tally
        return CopyReport(
            outcome,
            self.copied,
            tally.versions,
            tally.objects,
            tally.bytes_written,
            self.lease.state.upto,
            jobs,
            tuple(self.failed),
            verified,
        )

    async def _set(self, state: CopyState) -> None:
        self.lease.state = state
        await self.lease.save()

    # --- may this source go into this target? -----------------------------------------------------------------------

    async def _admit(self) -> None:
        """Raises CopyRefused where the target is no copy of this source, or has been written to by somebody else."""
        state, key = self.lease.state, copy_state(self.target.tenant)
        (ours,) = await drive(ask(Get(key)), self.source.objects)
        (theirs,) = await drive(ask(Get(key)), self.target.objects)
        if not isinstance(ours, Absent) and not isinstance(theirs, Absent) and ours.body == theirs.body:
            raise CopyRefused("Source and target are the same store")
        if not self.lease.takes_over and await _holds_data(self.target):  # it was written since the first look
            raise CopyRefused(f"Tenant '{self.target.tenant}' was written to meanwhile; name an empty place")
        for event in (state.first, state.newest):
            if event and not await self._had(event):
                raise CopyRefused(
                    f"The target is a copy of {state.source}, and {self.source.objects.location} has not the versions"
                    " that were copied; name that source, or an empty target"
                )
        if not state.first and state.source != self.source.objects.location:
            raise CopyRefused(f"The target is a copy of {state.source}; name that source, or an empty target")
        if state.phase != COMPLETE:
            return
        for prefix in (self.target.keys.system_history(), self.target.keys.audit()):
            page = await page_of(self.target, List(prefix, start_after=f"{prefix}{state.upto + 1:013d}", limit=1))
            if page.objects:
                raise CopyRefused(
                    f"Tenant '{self.target.tenant}' of {self.target.objects.location} has been written to since the"
                    " copy was complete; it is a store of its own now, and is not overwritten"
                )

    async def _had(self, name: str) -> bool:
        """Returns whether the source has this event, or has purged its version."""
        key = self.source.keys.prefix + name
        (reply,) = await drive(ask(Get(key)), self.source.objects)
        if not isinstance(reply, Absent):
            return True
        with suppress(ValueError, InvalidResource, CorruptRecord):
            event = parse_event(key)
            resource = self.source.keys.resource(event.type, event.id)
            base, _ = await drive(glance(resource), self.source.objects)
            return base.record is not None and base.record.floor >= event.version
        return False

    # --- the walk ---------------------------------------------------------------------------------------------------

    async def _walk(self) -> bool:
        """Copies every resource. Returns whether it came to the end."""
        if not self.lease.state.mark:
            mark = await self._date() - self._settled
            await self._set(replace(self.lease.state, mark=max(1, mark)))
        fresh = not self.lease.takes_over
        whole = self.lease.state.whole
        self.tally.begin("copying")
        pages = resource_pages(self.source, self.lease.state.cursor)
        counting = asyncio.create_task(self._count(self.lease.state.cursor))

        async def act(item: Named) -> None:
            await self._copy(item.type, item.id, largest=item.largest, fresh=fresh, whole=whole)

        def done(cursor: str | None) -> None:
            if cursor is not None:
                self.lease.state = replace(self._kept(), cursor=cursor)

        try:
            ended = await convey(pages, act, at_once=self.options.at_once, done=done, stop=self.stop)
        finally:
            counting.cancel()
            await asyncio.wait([counting])
        if ended and whole:
            ended = await copy_runs(self.source, self.target, self.writes, stop=self.stop, whole=True)
        if ended and len(self.failed) < _MOST_FAILED:
            await self._set(self._kept().after(WALKED))
        elif ended:  # too many to remember: the next walk begins anew
            await self._set(replace(self._kept(), cursor=None, failed=()))
        return ended

    async def _count(self, cursor: str | None) -> None:
        """Counts the resources behind the cursor, so that the progress can tell the time that is left."""
        count = 0
        with suppress(Unavailable, ObjectError):
            async for found, _ in resource_pages(self.source, cursor):
                count += len(found)
            self.tally.total = count

    async def _copy(
        self, type_: str, id_: str, *, largest: int | None = None, fresh: bool = False, whole: bool = False
    ) -> bool:
        """Copies a resource. One that cannot be read is noted, so that the others go on."""
        name = f"{type_}/{id_}"
        written = False
        try:
            written = await self.copier.copy(type_, id_, largest=largest, fresh=fresh, whole=whole)
            self.copied += written
            self.failed.pop(name, None)
        except _OF_STORES:
            raise
        except (CorruptRecord, InvalidResource, ObjectError):  # damaged, lost, or archived
            if len(self.failed) < _MOST_FAILED:
                self.failed[name] = None
        self.tally.looked_at()
        return written

    def _kept(self) -> CopyState:
        """Returns the state with what the tally knows."""
        state, tally = self.lease.state, self.tally
        return replace(
            state,
            upto=max(state.upto, tally.upto),
            newest=max(state.newest, tally.newest),
            failed=tuple(self.failed),
        )

    # --- passes -----------------------------------------------------------------------------------------------------

    async def _follow(self) -> str:
        """Does passes until one proves that nothing is missing. Returns the outcome."""
        settled = self._settled
        before: int | None = None  # the newest event when we began to wait
        for _ in range(_PASSES):
            done = await self._pass()
            if done is None:
                return "interrupted"
            if done.newest < done.began - settled:
                return "incomplete" if self.failed else "complete"
            if done.changed > _MANY:
                continue
            if self.options.follow:
                await self._wait(self.options.pause)
            elif before is not None and done.newest > before:
                return "moving"
            else:
                before = done.newest
                await self._wait((done.newest + settled - await self._date()) / 1000 + 1)
            if self.stop():
                return "interrupted"
        return "moving"

    async def _wait(self, seconds: float) -> None:
        self.tally.begin("waiting")
        loop = asyncio.get_running_loop()
        until = loop.time() + max(0.0, min(seconds, 2 * self._settled / 1000))
        while not self.stop() and loop.time() < until:
            await asyncio.sleep(min(0.25, max(0.0, until - loop.time())))
            self.tally.tell()

    async def _pass(self) -> _Pass | None:
        """Copies what changed since the mark. Returns None where it was interrupted."""
        settled = self._settled
        seen = _Pass(await self._date())
        self.tally.begin("following")
        for name in list(self.failed):
            type_, _, id_ = name.partition("/")
            seen.changed += await self._copy(type_, id_)

        async def act(item: tuple[str, str]) -> None:
            seen.changed += await self._copy(*item)

        def done(position: int) -> None:
            if position and not self.failed:
                mark = max(self.lease.state.mark, min(position, seen.began - settled))
                self.lease.state = replace(self._kept(), mark=mark)

        if not await self._audit(seen):
            return None
        pages = self._changes(self.lease.state.mark, seen)
        if not await convey(pages, act, at_once=self.options.at_once, done=done, stop=self.stop):
            return None
        if not await copy_runs(self.source, self.target, self.writes, stop=self.stop):
            return None
        mark = self.lease.state.mark if self.failed else max(self.lease.state.mark, seen.began - settled)
        await self._set(replace(self._kept(), mark=mark))
        return seen

    async def _changes(self, since: int, seen: _Pass) -> AsyncIterator[tuple[Sequence[tuple[str, str]], int]]:
        """Yields the resources that events since then name, and the time of the last one; a page at a time."""
        prefix = self.source.keys.system_history()
        async for page in pages_of(self.source, List(prefix, start_after=f"{prefix}{since:013d}")):
            named: dict[tuple[str, str], None] = {}
            last = 0
            for item in page.objects:
                event = _event(item.key)
                if event is not None:
                    named[event.type, event.id] = None
                    last = event.t
                    seen.saw(event.t, self.contexts[0])
            yield list(named), last

    async def _audit(self, seen: _Pass) -> bool:
        """Copies the audit lines, and looks at the resources that were purged. Returns whether it came to the end."""
        prefix = self.source.keys.audit()
        since = self.lease.state.mark if self.lease.state.audited else 0
        async for page in pages_of(self.source, List(prefix, start_after=f"{prefix}{since:013d}")):
            if self.stop():
                return False
            for item in page.objects:
                (line,) = await drive(ask(Get(item.key)), self.source.objects)
                parsed = parse_audit_line(item.key)
                if isinstance(line, Absent) or parsed is None:
                    continue
                name = item.key.removeprefix(self.source.keys.prefix)
                await self.writes.put([Put(self.target.keys.prefix + name, line.body)])
                t, type_, id_ = parsed
                seen.saw(t, self.contexts[0])
                seen.changed += await self._copy(type_, id_)
        self.lease.state = replace(self.lease.state, audited=True)
        return True

    # --- the end ----------------------------------------------------------------------------------------------------

    async def _still_quiet(self) -> bool:
        """Does one more pass: the verification may have taken long."""
        done = await self._pass()
        return done is not None and not done.changed and done.newest < done.began - self._settled

    async def _verify(self) -> Verified:
        self.tally.begin("verifying")
        return await verify(self.source, self.target, at_once=self.options.at_once, tally=self.tally, stop=self.stop)

    async def _newest_in_target(self) -> int:
        """Returns the time of the newest event or audit line, epoch ms."""
        newest = self.lease.state.upto
        for prefix in (self.target.keys.system_history(), self.target.keys.audit()):
            request = List(prefix, start_after=f"{prefix}{self.lease.state.upto:013d}")
            async for page in pages_of(self.target, request):
                newest = max([newest, *(_time(item.key, prefix) for item in page.objects)])
        return newest

    async def _clock_passed(self, upto: int) -> bool:
        """Waits until the target's clock is past the newest version, so that new versions sort behind it.

        Returns False where `stop` said so. Raises CopyRefused where that takes too long.
        """
        while (behind := upto + _CLOCK - await self._date(self.target)) > 0:
            if behind > _AHEAD:
                raise CopyRefused(
                    f"The newest version is {behind // 1000} s ahead of the target's clock; set that clock, or run the"
                    " same command again later"
                )
            if self.stop():
                return False
            await self._wait(1.0)
        return True

    async def _live_jobs(self) -> int:
        prefix = self.source.keys.job_queue()
        count = 0
        async for page in pages_of(self.source, List(prefix)):
            live = [item for item in page.objects if not item.key.removeprefix(prefix).startswith("~")]
            count += len(live)
            if len(live) < len(page.objects):
                break  # the ended ones follow
        return count

    # --- requests ---------------------------------------------------------------------------------------------------

    async def _date(self, place: Place | None = None) -> int:
        """Returns the store's time, epoch ms. 1 GET."""
        place = place or self.source
        (reply,) = await patiently(lambda: drive(ask(Get(copy_state(place.tenant))), place.objects))
        return reply.date


def _event(key: str) -> Event | None:
    try:
        return parse_event(key)
    except ValueError:
        return None


def _time(key: str, prefix: str) -> int:
    digits = key.removeprefix(prefix)[:13]
    return int(digits) if digits.isascii() and digits.isdigit() else 0
