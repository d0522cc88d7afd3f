"""Upkeep of one tenant's stored data: sweep, fsck, usage, purge. None of them is a FHIR interaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from fhirstore.commit.drive import drive
from fhirstore.commit.purge import Purged
from fhirstore.commit.reading import look
from fhirstore.credentials.assertions import sweep_assertions
from fhirstore.engine import Engine
from fhirstore.errors import CorruptRecord, NotFound, Unavailable
from fhirstore.index.local.apply import IndexDamaged
from fhirstore.index.local.noted import READY
from fhirstore.index.local.schema import LAYOUT
from fhirstore.indexing.copies import remove_old_copies
from fhirstore.interactions import resources
from fhirstore.tenancy import Place
from fhirstore.upkeep.fsck.run import FsckReport, Progress, Thoroughness, fsck
from fhirstore.upkeep.fsck.search_index import with_index
from fhirstore.upkeep.search_index import SearchIndex
from fhirstore.upkeep.sweep.payloads import sweep_payloads
from fhirstore.upkeep.sweep.run import SweepReport, sweep
from fhirstore.upkeep.sweep.runs import sweep_runs
from fhirstore.upkeep.sweep.uploads import sweep_uploads
from fhirstore.upkeep.usage import StoredUsage, UsageProgress, usage


class Upkeep:
    """Upkeep of one tenant's objects, while others read and write."""

    def __init__(self, engine: Engine, place: Place, *, sweep_transfers: Callable[[], Awaitable[int]]) -> None:
        """`sweep_transfers`: as `Uploads.sweep`."""
        self._engine = engine
        self._place = place
        self._sweep_transfers = sweep_transfers

    @property
    def search_index(self) -> SearchIndex:
        """The tenant's search index on this machine: its state, building it, copies of it, comparing it."""
        return SearchIndex(self._engine.indexer(self._place), self._place)

    async def sweep(self, *, stopping: Callable[[], bool] = lambda: False) -> SweepReport:
        """Remove what dead attempts left, in one pass. Raises Unavailable, CorruptRecord; then call it again.

        `stopping`: asked again and again; when it says so, the pass ends where it is, for another process to go on.
        """
        keys, objects, context = self._place.keys, self._place.objects, self._engine.context(self._place)
        report = await drive(sweep(keys, context=context, stopping=stopping), objects)
        if report.outcome != "swept":
            return report
        run_files = await drive(sweep_runs(keys, context=context), objects)
        uploads = await drive(sweep_uploads(keys, context=context), objects)
        payloads = await drive(sweep_payloads(keys, context=context), objects)
        transfers = await self._sweep_transfers()
        assertions = await drive(sweep_assertions(keys, context=context), objects)
        copies = await drive(remove_old_copies(keys, LAYOUT, now=context.now()), objects)
        return replace(
            report,
            run_files=run_files,
            uploads=uploads,
            payloads=payloads,
            transfers=transfers,
            assertions=assertions,
            index_copies=copies,
        )

    async def fsck(
        self, how: Thoroughness | None = None, *, on_progress: Callable[[Progress], None] | None = None
    ) -> FsckReport:
        """Check all stored data; repair only if `how` says so. Raises Unavailable.

        A search index that there is on this machine is compared with it, too.
        """
        context = self._engine.context(self._place)
        protocol = fsck(self._place.keys, context=context, how=how, on_progress=on_progress)
        report = await drive(protocol, self._place.objects)
        return await self._with_index(report, how or Thoroughness())

    async def _with_index(self, report: FsckReport, how: Thoroughness) -> FsckReport:
        index = self.search_index
        if (await index.status()).state != READY:
            return report
        try:
            verified = await index.verify(most=how.keep)
        except (Unavailable, CorruptRecord, IndexDamaged):
            return report  # the next search builds it again, or what hinders that is in the report
        if not verified.ok and how.repair:
            await index.drop()
        return with_index(report, verified, self._place.keys, how=how)

    async def usage(self, *, on_progress: Callable[[UsageProgress], None] | None = None) -> StoredUsage:
        """Returns what is stored, by kind and resource type. 1 LIST per 1,000 objects. Raises as `ObjectStore.list`."""
        return await usage(self._place, self._engine.validator.definitions.resources, on_progress=on_progress)

    async def version_keys(self, type: str, id: str) -> dict[int, str]:
        """Returns the key of each version's object, by its number. 1 GET. Raises NotFound, UnknownType."""
        known = resources.known_type(type, self._engine.validator.definitions.resources)
        keys = self._place.keys.resource(known, id)
        base, _ = await drive(look(keys), self._place.objects)
        if base.shown is None:
            raise NotFound("No such resource")
        return {number: keys.version(number) for number in range(base.shown.floor + 1, base.shown.version + 1)}

    async def purge(self, type: str, id: str, *, by: str) -> Purged:
        """Remove every version and its history physically; version numbers are never used again.

        `by`: the user for the audit line. After an error, call it again: it continues where it was. Waits for the end
        of a version's write window. Raises UnknownType, InvalidResource, Contention, Unavailable, WriteOutcomeUnknown.
        """
        known = resources.known_type(type, self._engine.validator.definitions.resources)
        return await self._engine.purge(self._place, self._place.keys.resource(known, id), by=by)
