"""A Bundle with an Idempotency-Key is done once: the receipt under its key, looked for, replayed and written.

A transaction and its receipt are one. A batch is not atomic, so neither is its receipt: entries that it tells of are
not done again, whoever wrote what they wrote since then; entries that failed are tried again, as nothing came of them.
What is not covered: the batch whose answer was lost *before* its receipt was written (a crash, or the same batch sent
to two servers at one time). Its creates make nothing new then (see `perform`), its other writes are done again.
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
    """The receipt of the Bundle that has this `key` and this `body` (see `receipts.digest`)."""

    engine: Engine
    place: Place
    key: str
    body: str

    @property
    def keys(self) -> ResourceKeys:
        """Where it is."""
        return receipt_keys(self.place.keys, self.place.tenant, self.key)

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Of the batches with this key one at a time, within this process."""
        return self.engine.lock(self.place, self.keys.current)

    async def receipt(self) -> Receipt | None:
        """What was done, if anything was. Raises IdempotencyKeyReused."""
        keys = self.keys
        base, _ = await drive(look(keys), self.place.objects)
        if base.shown is None or base.shown.resource is None:
            return None
        return read_receipt(base.shown.resource, self.body, keys.current)

    async def replayed(self, entry: Entry, line: Line) -> Result:
        """What an entry that wrote was answered."""
        if line is None:
            return Result(entry)
        type_, id_, version, created = line
        protocol = vread(self.place.keys.resource(type_, id_), version, limits=self.engine.limits)
        record = await drive(protocol, self.place.objects)
        if record is None:
            return Result(entry, error=NotFound("What this entry wrote was purged", expression=(entry.place,)))
        return Result(entry, version_of(type_, id_, record, created=created))

    async def note(self, results: Sequence[Result]) -> None:
        """Write down what a batch came to. It is done, so that it is answered even where this fails."""
        failed = tuple(one.entry.index for one in results if one.error and one.entry is not None and one.entry.writes)
        keys, ours = self.keys, Receipt(self.body, tuple(_line(result) for result in results), failed)
        with suppress(FhirStoreError):
            await self.engine.commit(self.place, keys, adding(keys.id, keys.current, ours), by_content=True)


def _line(result: Result) -> Line:
    version = result.version
    if version is None or result.entry is None or not result.entry.writes:
        return None
    return version.type, version.id, version.version_id, version.created
