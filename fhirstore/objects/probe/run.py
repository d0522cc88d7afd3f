"""One probe: all checks in parallel in a folder of its own, which is removed at the end.

It ends in time whatever the store does: a check that the store keeps waiting is inconclusive.

Several servers may probe one store at the same time, because each works below `_probe/{ulid}/`. A later probe removes
what a crashed one left, when it is an hour old by the store's clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from fhirstore.clock import Clock, Ids, SystemClock, SystemIds
from fhirstore.errors import ObjectError, StoreMisconfigured
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.probe import properties, races
from fhirstore.objects.probe.client import SHORT, THOROUGH, Broken, Effort, Inconclusive, ProbeClient
from fhirstore.objects.probe.clock import Sight, look, store_clock
from fhirstore.objects.probe.report import Check, Outcome, ProbeReport
from fhirstore.objects.wrappers.metered import MeteredStore

ROOT = "_probe/"
LEFTOVER_AGE = 3_600_000  # ms; far longer than any probe takes
REMOVAL = 10.0  # seconds for the removal at the end


@dataclass(frozen=True, slots=True)
class Property:
    """A property to check. `proves` completes "proves that …". `required`: several writers depend on it."""

    name: str
    proves: str
    run: Callable[[ProbeClient], Awaitable[str]]
    required: bool = True


PROPERTIES = (
    Property("if-absent-race", "of many creators of a key one wins", races.if_absent_race),
    Property("if-match-race", "of many writers over a version one wins", races.if_match_race),
    Property("lost-update-race", "read-modify-write loses no update", races.lost_update_race),
    Property("stale-match", "If-Match refuses an older version's ETag", properties.stale_match),
    Property("match-on-missing", "If-Match refuses a missing object", properties.match_on_missing),
    Property("absent-on-existing", "If-None-Match refuses an existing object", properties.absent_on_existing),
    Property("absent-after-delete", "a deleted key can be created again, once", properties.absent_after_delete),
    Property("write-window", "a write is refused once its window is over", properties.write_window),
    Property("read-after-write", "a GET sees what was written before", properties.read_after_write),
    Property("list-after-write", "a LIST sees what was written before", properties.list_after_write),
    Property("list-order", "a flat folder is listed in byte order", properties.list_order),
    Property("list-pages", "pages give each key and folder once", properties.list_pages),
    Property(
        "list-across-folders",
        "folders are listed by bytes or as a tree",
        properties.list_across_folders,
        required=False,
    ),
    Property("etag-changes", "a changed body changes the ETag", properties.etag_changes),
    Property("etag-is-of-body", "equal bodies have equal ETags", properties.etag_is_of_body, required=False),
    Property("delete-many", "a batch delete removes its keys and no other", properties.delete_many),
)
CLOCK = ("store-clock", "the store's clock runs and is read right")


async def probe(
    store: ObjectStore,
    *,
    thorough: bool = False,
    effort: Effort | None = None,
    ids: Ids | None = None,
    clock: Clock | None = None,
) -> ProbeReport:
    """Find out whether several writers may share the store, within the seconds of the effort and ten for the removal.
    `effort` overrides `thorough`.

    Raises StoreMisconfigured where the store cannot be used at all; every other error is a result of a check.
    """
    ids = ids or SystemIds()
    clock = clock or SystemClock()
    metered = MeteredStore(store)
    effort = effort or (THOROUGH if thorough else SHORT)
    client = ProbeClient(metered, f"{ROOT}{ids.new()}/", effort, ids, clock)
    began = clock.now()
    ends = asyncio.get_running_loop().time() + effort.seconds
    try:
        first = await _first_look(client, ends)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_check(metered, property_, client, ends)) for property_ in PROPERTIES]
        last = await _check(metered, Property(*CLOCK, partial(store_clock, first=first)), client, ends)
        checks = (*(task.result() for task in tasks), last)
    finally:
        # Also when cancelled. A later probe removes what cannot be removed now.
        with suppress(ObjectError, Inconclusive, TimeoutError):
            async with asyncio.timeout(REMOVAL):
                await _remove(client, client.root)
                await _remove(client, ROOT, older_than=store.now() - LEFTOVER_AGE)
    return ProbeReport(
        location=store.location,
        thorough=thorough,
        checks=checks,
        skew=store.now() - clock.now(),
        seconds=(clock.now() - began) / 1000,
    )


async def _first_look(client: ProbeClient, ends: float) -> Sight | None:
    """Read the store's clock first. Returns None where there is no answer, which the other checks report too."""
    try:
        async with asyncio.timeout_at(ends):
            return await look(client)
    except (Inconclusive, TimeoutError):
        return None


async def _check(metered: MeteredStore, property_: Property, client: ProbeClient, ends: float) -> Check:
    """Run one check until `ends`, by the event loop's time. Every answer of the store is a result of the check."""
    with metered.measure() as spent:
        try:
            async with asyncio.timeout_at(ends):
                outcome, detail = Outcome.HELD, await property_.run(client)
        except Broken as broken:
            outcome, detail = Outcome.BROKEN, str(broken)
        except Inconclusive as unclear:
            outcome, detail = Outcome.INCONCLUSIVE, str(unclear)
        except TimeoutError:
            outcome, detail = Outcome.INCONCLUSIVE, f"not decided within {client.effort.seconds:g} s"
        except StoreMisconfigured as refusal:  # the store accepted a plain PUT, so it refuses this kind of request
            outcome, detail = Outcome.BROKEN, refusal.detail or "the store refuses such requests"
        except ObjectError as error:
            outcome, detail = Outcome.INCONCLUSIVE, f"answered {type(error).__name__}"
    return Check(property_.name, property_.proves, property_.required, outcome, detail, sum(spent.requests.values()))


async def _remove(client: ProbeClient, prefix: str, *, older_than: int | None = None) -> None:
    """Delete everything below the prefix that was last modified before `older_than`, page by page."""
    cursor: str | None = None
    while True:
        page = await client.patiently(partial(client.store.list, prefix, cursor=cursor))
        keys = [listed.key for listed in page.objects if older_than is None or listed.modified < older_than]
        if keys:
            await client.patiently(partial(client.store.delete_many, keys))
        cursor = page.cursor
        if cursor is None:
            return
