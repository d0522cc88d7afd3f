"""Copies sealed runs: the files, then the claim, then the seal; and the tombstones of deleted runs.

Files of attempts that were not sealed are left behind: nothing reads them.

Cost: 1 LIST per 1,000 objects below `runs/`; per run 1 GET of the seal on either side; per file that is not there
2 HEAD, 1 GET of the tags, and the body.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from fhirstore.commit.drive import drive
from fhirstore.commit.idempotent import removed_below
from fhirstore.commit.messages import Absent, Get, List, Put
from fhirstore.commit.reading import ask
from fhirstore.format.keyspace import Keyspace
from fhirstore.format.runs import RunKeys, Seal, Tombstone, decode_seal, parse_run_key
from fhirstore.objects.base import StoredObject
from fhirstore.tenancy import Place
from fhirstore.upkeep.copy.pages import pages_of
from fhirstore.upkeep.copy.target import Target


async def copy_runs(
    source: Place, target: Place, writes: Target, *, stop: Callable[[], bool], whole: bool = False
) -> bool:
    """Copies the runs that the target lacks. Returns False where `stop` said so before the end.

    `whole`: writes again what is there and differs. Raises CorruptRecord, ObjectDamaged (of the source), StoreFull,
    LeaseLost, Unavailable.
    """
    async for run in runs_of(source):
        if stop():
            return False
        await _copy(source, run, moved(run, source.keys, target.keys), writes, whole=whole)
    return True


async def runs_of(place: Place) -> AsyncIterator[RunKeys]:
    """Yields the runs that have a seal or a tombstone."""
    async for page in pages_of(place, List(place.keys.runs())):
        for item in page.objects:
            parsed = parse_run_key(place.keys, item.key)
            if parsed is not None and item.key == parsed[0].seal:
                yield parsed[0]


def moved(run: RunKeys, source: Keyspace, target: Keyspace) -> RunKeys:
    """Returns the keys of the same run below another tenant's prefix."""
    return RunKeys(target.prefix + run.folder.removeprefix(source.prefix), run.dataset, run.partition, run.run_id)


async def _copy(source: Place, ours: RunKeys, theirs: RunKeys, writes: Target, *, whole: bool) -> None:
    (found,) = await drive(ask(Get(ours.seal)), source.objects)
    (there,) = await drive(ask(Get(theirs.seal)), writes.objects)
    same = isinstance(there, StoredObject) and isinstance(found, StoredObject) and there.body == found.body
    if isinstance(found, Absent) or (same and not whole):
        return
    said = decode_seal(found.body, ours)
    if isinstance(said, Tombstone):
        await writes.put([Put(theirs.seal, found.body)])
        await drive(removed_below(theirs.folder, but=theirs.seal), writes.objects)
        return
    await _copy_files(source, ours, theirs, said, writes, whole=whole)
    (claim,) = await drive(ask(Get(ours.claim)), source.objects)
    if isinstance(claim, StoredObject):
        await writes.put([Put(theirs.claim, claim.body)])
    await writes.put([Put(theirs.seal, found.body)])


async def _copy_files(
    source: Place, ours: RunKeys, theirs: RunKeys, seal: Seal, writes: Target, *, whole: bool
) -> None:
    for file in seal.files:
        key, target_key = ours.file(file.object), theirs.file(file.object)
        await writes.copy_body(source.objects, key, target_key, sha256=file.sha256, whole=whole)
