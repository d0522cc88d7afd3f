"""Committed versions as changes of an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from fhirstore.format.record import Record
from fhirstore.index.local.apply import Batch, Change
from fhirstore.index.local.file import IndexFile
from fhirstore.indexing.aside import Aside
from fhirstore.threads import in_thread, offload

_MANY = 100  # changes from which on the garbage collector is switched off for them


@dataclass(frozen=True, slots=True)
class Changes:
    """`records`: by name. `born`: the times of the first versions of resources, by name."""

    records: Sequence[Mapping[str, Record]]
    born: Mapping[str, int]

    async def applied(
        self,
        file: IndexFile,
        *,
        watermark: int | None,
        now: int,
        keep_old: bool,
        complete: bool = False,
        aside: Aside | None = None,
    ) -> None:
        """Applies them in a thread; where they are many, by `aside`, if that is given and can."""
        many = sum(map(len, self.records)) >= _MANY
        if many and aside is not None:
            batch = self.batch(watermark=watermark, now=now, keep_old=keep_old, complete=complete)
            if await aside.applied(file, batch):
                return
        do = partial(self.apply, file, watermark=watermark, now=now, keep_old=keep_old, complete=complete)
        await (offload if many else in_thread)(do)

    def apply(
        self, file: IndexFile, *, watermark: int | None, now: int, keep_old: bool, complete: bool = False
    ) -> None:
        """Does the same here. Blocks."""
        file.apply(self.batch(watermark=watermark, now=now, keep_old=keep_old, complete=complete))

    def batch(self, *, watermark: int | None, now: int, keep_old: bool, complete: bool) -> Batch:
        """Returns them as one batch."""
        return Batch(self.changes(), watermark=watermark, at=now, keep_old=keep_old, complete=complete)

    def changes(self) -> list[Change]:
        """Returns them as changes."""
        return [change_of(name, record, self.born) for some in self.records for name, record in some.items()]


def change_of(name: str, record: Record, born: Mapping[str, int]) -> Change:
    """Returns the change that a version is, of the resource `Type/id`."""
    type_, _, id_ = name.partition("/")
    content = record.resource if record.exists else None
    return Change(type_, id_, record.version, record.t, born.get(name, record.t), content, purged=record.purged)
