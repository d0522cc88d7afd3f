"""Removes what writers of runs left: files of attempts that never sealed, and files beside a seal or a tombstone.

The store refuses the seal of an attempt whose time is over (`fhirstore.runs.sealing`), and no file is older than its
attempt. So a file that is older than that time, and is not in the seal as it is read then, is in no seal, ever. Younger
ones are left alone: somebody may be writing. The claim of a run that was not deleted stays.

The walk goes through all runs by LIST, a bounded number of pages in a pass, and the next pass goes on where this one
stopped. Sweepers may work side by side: all that they do can be repeated.

| step | requests |
|---|---|
| state | 1 GET; 1 PUT when a pass stops before the end, 2 when it goes on from there |
| walk | 1 LIST per 1,000 objects |
| per folder with old files, unless it has a seal and one file | 1 GET of the seal |
| what is removed | 1 DELETE per 1,000 objects of a page |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fhirstore.batched import batched
from fhirstore.commit.idempotent import listed, removed
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import List, Protocol
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import CorruptRecord
from fhirstore.format.keyspace import Keyspace
from fhirstore.format.runs import LONGEST_TOMBSTONE, RunKeys, Seal, Tombstone, parse_run_key
from fhirstore.objects.base import Listed
from fhirstore.runs.sealing import glance
from fhirstore.upkeep.sweep.passes import begin_pass, stop_pass


@dataclass(frozen=True, slots=True)
class RunPace:
    """`pages`: LISTs in a pass; `page`: keys per LIST; `at_once`: seals read in parallel; `margin`: ms added to the
    time after which an attempt cannot be sealed any more."""

    pages: int = 200
    page: int = 1_000
    at_once: int = 16
    margin: int = 60_000


@dataclass(slots=True)
class RunFolder:
    """What a listing showed of one run. `whole`: surely everything that was there."""

    keys: RunKeys
    items: list[Listed] = field(default_factory=list)
    whole: bool = True

    @property
    def files(self) -> list[Listed]:
        """The objects that are neither claim nor seal."""
        return [item for item in self.items if item.key not in (self.keys.claim, self.keys.seal)]

    @property
    def seal(self) -> Listed | None:
        """The object that is a seal or a tombstone."""
        return next((item for item in self.items if item.key == self.keys.seal), None)

    @property
    def in_order(self) -> bool:
        """Whether this is surely a sealed run and nothing else: every seal has a file, and here is one."""
        sealed = self.seal is not None and self.seal.size > LONGEST_TOMBSTONE
        return self.whole and sealed and len(self.files) == 1


def folders_of(keys: Keyspace, items: Sequence[Listed], strays: list[str] | None = None) -> list[RunFolder]:
    """Returns the folders of a page; the first and the last may go on in another one. `strays` gets foreign keys."""
    folders: list[RunFolder] = []
    for item in items:
        parsed = parse_run_key(keys, item.key)
        if parsed is None:
            if strays is not None:
                strays.append(item.key)
            continue
        if not folders or folders[-1].keys.folder != parsed[0].folder:
            folders.append(RunFolder(parsed[0]))
        folders[-1].items.append(item)
    if folders:
        folders[0].whole = folders[-1].whole = False
    return folders


def sweep_runs(keys: Keyspace, *, context: Context, pace: RunPace | None = None) -> Protocol[int]:
    """Does one pass. Returns how many files were removed. Raises Unavailable, StoreDamaged."""
    pace = pace or RunPace()
    begun = yield from begin_pass(keys.run_sweep_state)
    cursor = begun.cursor
    count = 0
    for _ in range(pace.pages):
        page = yield from listed(List(keys.runs(), cursor=cursor, limit=pace.page))
        count += yield from _sweep_page(folders_of(keys, page.objects), begun.date, context, pace)
        cursor = page.cursor
        if cursor is None:
            return count
    yield from stop_pass(keys.run_sweep_state, cursor, begun.condition)
    return count


def _sweep_page(folders: Sequence[RunFolder], date: int, context: Context, pace: RunPace) -> Protocol[int]:
    suspects = [folder for folder in folders if not folder.in_order and _old(folder, date, context, pace.margin)]
    gone: list[str] = []
    for some in batched(suspects, pace.at_once):
        found = yield from side_by_side([leftovers(folder, context=context, margin=pace.margin) for folder in some])
        gone += [key for keys in found for key in keys]
    for batch in batched(gone, 1_000):
        yield from removed(*batch)
    return len(gone)


def _old(folder: RunFolder, date: int, context: Context, margin: int) -> bool:
    """Whether something may have to go."""
    deleted = folder.seal is not None and folder.seal.size <= LONGEST_TOMBSTONE
    return any(is_old(item, date, context, margin) for item in (folder.items if deleted else folder.files))


def is_old(item: Listed, date: int, context: Context, margin: int) -> bool:
    """Returns whether no attempt that is as old as this object can be sealed at `date` (store's time) or later."""
    return item.modified + context.limits.run + context.limits.apply + margin < date


def leftovers(folder: RunFolder, *, context: Context, margin: int) -> Protocol[list[str]]:
    """Returns the keys of the objects that are in no seal, and will be in none. 1 GET. Raises Unavailable."""
    try:
        seal, date = yield from glance(folder.keys)
    except CorruptRecord:
        return []  # fsck reports it
    kept = {folder.keys.seal}
    if isinstance(seal, Seal):
        kept |= {folder.keys.file(file.object) for file in seal.files}
    if not isinstance(seal, Tombstone):
        kept.add(folder.keys.claim)
    return [item.key for item in folder.items if item.key not in kept and is_old(item, date, context, margin)]
