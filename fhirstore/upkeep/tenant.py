"""What keeps a tenant's part of the bucket in order, and is no FHIR interaction: sweep, fsck, purge."""

from __future__ import annotations

from collections.abc import Callable

from fhirstore.commit.drive import drive
from fhirstore.commit.purge import Purged
from fhirstore.engine import Engine
from fhirstore.interactions import resources
from fhirstore.tenancy import Place
from fhirstore.upkeep.fsck.run import FsckReport, Progress, Thoroughness, fsck
from fhirstore.upkeep.sweep.run import SweepReport, sweep


class Upkeep:
    """Looks after one tenant's objects, beside live writers."""

    def __init__(self, engine: Engine, place: Place) -> None:
        self._engine = engine
        self._place = place

    async def sweep(self) -> SweepReport:
        """One pass of the sweeper: remove what dead attempts left. Raises Unavailable, CorruptRecord; do it again."""
        return await drive(sweep(self._place.keys, context=self._engine.context(self._place)), self._place.objects)

    async def fsck(
        self, how: Thoroughness | None = None, *, on_progress: Callable[[Progress], None] | None = None
    ) -> FsckReport:
        """Check everything that is stored; repair only if `how` says so. Raises Unavailable."""
        context = self._engine.context(self._place)
        protocol = fsck(self._place.keys, context=context, how=how, on_progress=on_progress)
        return await drive(protocol, self._place.objects)

    async def purge(self, type: str, id: str, *, by: str) -> Purged:
        """Remove every version and its history physically; version numbers are never used again.

        `by`: who asks, for the audit line. Ask again if it fails: it goes on where it was. Waits for the end of a
        version's write window. Raises UnknownType, InvalidResource, Contention, Unavailable, WriteOutcomeUnknown.
        """
        known = resources.known_type(type, self._engine.validator.definitions.resources)
        return await self._engine.purge(self._place, self._place.keys.resource(known, id), by=by)
