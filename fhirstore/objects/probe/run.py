"""One probe: a folder of its own, all checks at once, and everything removed in the end.

Several servers may probe one store at the same time: each works below `_probe/{ulid}/`. What a crashed probe left
behind is removed by a later one, when it is an hour old on the store's clock.
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
from fhirstore.objects.probe import races, rules
from fhirstore.objects.probe.clock import Sight, look, store_clock
from fhirstore.objects.probe.ground import SHORT, THOROUGH, Broken, Effort, Ground, Inconclusive
from fhirstore.objects.probe.report import Check, Outcome, ProbeReport
from fhirstore.objects.wrappers.metered import MeteredStore

ROOT = "_probe/"
LEFTOVER_AGE = 3_600_000  # ms; far longer than any probe takes


@dataclass(frozen=True, slots=True)
class Rule:
    """A check to run: what it proves, completing "proves that …", and whether several writers depend on it."""

    name: str
    proves: str
    run: Callable[[Ground], Awaitable[str]]
    required: bool = True


RULES = (
    Rule("if-absent-race", "of many creators of a key one wins", races.if_absent_race),
    Rule("if-match-race", "of many writers over a version one wins", races.if_match_race),
    Rule("lost-update-race", "read-modify-write loses no update", races.lost_update_race),
    Rule("stale-match", "If-Match refuses an older version's ETag", rules.stale_match),
    Rule("match-on-missing", "If-Match refuses a missing object", rules.match_on_missing),
    Rule("absent-on-existing", "If-None-Match refuses an existing object", rules.absent_on_existing),
    Rule("absent-after-delete", "a deleted key can be created again, once", rules.absent_after_delete),
    Rule("write-window", "a write is refused once its window is over", rules.write_window),
    Rule("read-after-write", "a GET sees what was written before", rules.read_after_write),
    Rule("list-after-write", "a LIST sees what was written before", rules.list_after_write),
    Rule("list-order", "a flat folder is listed in byte order", rules.list_order),
    Rule("list-pages", "pages give each key and folder once", rules.list_pages),
    Rule("list-across-folders", "folders are listed by bytes or as a tree", rules.list_across_folders, required=False),
    Rule("etag-changes", "a changed body changes the ETag", rules.etag_changes),
    Rule("etag-is-of-body", "equal bodies have equal ETags", rules.etag_is_of_body, required=False),
    Rule("delete-many", "a batch delete removes its keys and no other", rules.delete_many),
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
    """Find out whether several writers may share the store. `effort` overrides what `thorough` stands for.

    Raises StoreMisconfigured when the store cannot be used at all; every other refusal is a finding.
    """
    ids = ids or SystemIds()
    clock = clock or SystemClock()
    metered = MeteredStore(store)
    ground = Ground(metered, f"{ROOT}{ids.new()}/", effort or (THOROUGH if thorough else SHORT), ids, clock)
    began = clock.now()
    try:
        first = await _first_look(ground)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_check(metered, rule, ground)) for rule in RULES]
        last = await _check(metered, Rule(*CLOCK, partial(store_clock, first=first)), ground)
        checks = (*(task.result() for task in tasks), last)
    finally:
        # Also when cancelled; what cannot be removed now is a later probe's leftover.
        with suppress(ObjectError, Inconclusive):
            await _remove(ground, ground.root)
            await _remove(ground, ROOT, older_than=store.now() - LEFTOVER_AGE)
    return ProbeReport(
        location=store.location,
        thorough=thorough,
        checks=checks,
        skew=store.now() - clock.now(),
        seconds=(clock.now() - began) / 1000,
    )


async def _first_look(ground: Ground) -> Sight | None:
    """The store's clock before all else; None where it gave no answer, which the other checks will report too."""
    try:
        return await look(ground)
    except Inconclusive:
        return None


async def _check(metered: MeteredStore, rule: Rule, ground: Ground) -> Check:
    """Run one rule; whatever the store answers is this check's finding."""
    with metered.measure() as spent:
        try:
            outcome, detail = Outcome.HELD, await rule.run(ground)
        except Broken as broken:
            outcome, detail = Outcome.BROKEN, str(broken)
        except Inconclusive as unclear:
            outcome, detail = Outcome.INCONCLUSIVE, str(unclear)
        except StoreMisconfigured as refusal:  # it took a plain PUT, so it is this kind of request that it refuses
            outcome, detail = Outcome.BROKEN, refusal.detail or "the store refuses such requests"
        except ObjectError as error:
            outcome, detail = Outcome.INCONCLUSIVE, f"answered {type(error).__name__}"
    return Check(rule.name, rule.proves, rule.required, outcome, detail, sum(spent.requests.values()))


async def _remove(ground: Ground, prefix: str, *, older_than: int | None = None) -> None:
    """Delete everything below the prefix that was last modified before `older_than`, page by page."""
    cursor: str | None = None
    while True:
        page = await ground.patiently(partial(ground.store.list, prefix, cursor=cursor))
        keys = [listed.key for listed in page.objects if older_than is None or listed.modified < older_than]
        if keys:
            await ground.patiently(partial(ground.store.delete_many, keys))
        cursor = page.cursor
        if cursor is None:
            return
