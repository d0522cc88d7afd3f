"""Processes a Bundle with an Idempotency-Key once: reads, replays and writes the receipt of its key.

A transaction and its receipt are committed together. A batch is not atomic, and its receipt is written afterwards:
entries that have a line in it are not processed again, even if the resource was changed since; entries that failed are
tried again. One case is not covered: a batch that is repeated when its receipt was not written yet (after a crash, or
at the same time on two servers). Its creates make nothing new then (see `perform`); its other writes are repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass

from fhirstore.bundles.entries import Entry
from fhirstore.bundles.receipts import Line, Receipt, adding, read_receipt, receipt_keys
from fhirstore.bundles.results import Result
from fhirstore.commit.drive import drive
from fhirstore.commit.reading import look, vread
from fhirstore.engine import Engine
from fhirstore.errors import FhirStoreError, NotFound
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.tenancy import Place
from fhirstore.version import version_of


@dataclass(frozen=True, slots=True)
class Once:
    """The receipt of the Bundle with this `key` and this `body` (see `receipts.digest`)."""

    engine: Engine
    place: Place
    key: str
    body: str

    @property
    def keys(self) -> ResourceKeys:
        """The keys of the receipt."""
        return receipt_keys(self.place.keys, self.place.tenant, self.key)

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Lets one batch with this key run at a time, within this process."""
        return self.engine.lock(self.place, self.keys.current)

    async def receipt(self) -> Receipt | None:
        """Returns the receipt, None without one. Raises IdempotencyKeyReused."""
        keys = self.keys
        base, _ = await drive(look(keys), self.place.objects)
        if base.shown is None or base.shown.resource is None:
            return None
        return read_receipt(base.shown.resource, self.body, keys.current)

    async def replayed(self, entry: Entry, line: Line) -> Result:
        """Returns the result that an entry had when it was processed."""
        if line is None:
            return Result(entry)
        type_, id_, version, created = line
        protocol = vread(self.place.keys.resource(type_, id_), version, limits=self.engine.limits)
        record = await drive(protocol, self.place.objects)
        if record is None:
            return Result(entry, error=NotFound("What this entry wrote was purged", expression=(entry.place,)))
        return Result(entry, version_of(type_, id_, record, created=created))

    async def note(self, results: Sequence[Result]) -> None:
        """Writes the receipt of a batch. Errors are ignored: the batch is processed, and its results are returned."""
        failed = tuple(one.entry.index for one in results if one.error and one.entry is not None and one.entry.writes)
        keys, ours = self.keys, Receipt(self.body, tuple(_line(result) for result in results), failed)
        with suppress(FhirStoreError):
            await self.engine.commit(self.place, keys, adding(keys.id, keys.current, ours), by_content=True)


def _line(result: Result) -> Line:
    version = result.version
    if version is None or result.entry is None or not result.entry.writes:
        return None
    return version.type, version.id, version.version_id, version.created
