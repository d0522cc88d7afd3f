"""The sealed runs of one dataset: write, open, list, delete. Thin: the decisions are in `sealing` and `listing`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from fhirstore.commit.limits import Context
from fhirstore.errors import InvalidName, RequestRefused
from fhirstore.format.keyspace import Keyspace
from fhirstore.format.runs import RunKeys, dataset_prefix, run_keys
from fhirstore.objects.arguments import check_limit
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.facts import check_tags
from fhirstore.runs.encoding import Compression
from fhirstore.runs.listing import Level, level
from fhirstore.runs.run import Run
from fhirstore.runs.sealing import OWN_TAGS, delete, look
from fhirstore.runs.writing import Perform, RunWriter, run_writer

_MOST_TAGS = 8  # of the 10 that S3 allows; two are our own
_NONE: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class RunPage:
    """Some runs of one partition. `cursor` continues the list; None on the last page. A page may be empty."""

    runs: tuple[Run, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class PartitionPage:
    """Some partitions, each with all of its keys. `cursor` continues the list; None on the last page."""

    partitions: tuple[Mapping[str, str], ...]
    cursor: str | None


class Runs:
    """The runs of one dataset of a tenant."""

    def __init__(
        self, objects: ObjectStore, keys: Keyspace, dataset: str, *, context: Context, perform: Perform
    ) -> None:
        dataset_prefix(keys, dataset)
        self.dataset = dataset
        self._objects = objects
        self._keys = keys
        self._context = context
        self._perform = perform

    def writer(
        self,
        partition: Mapping[str, str] = _NONE,
        *,
        run_id: str | None = None,
        tags: Mapping[str, str] = _NONE,
        compression: Compression | None = None,
    ) -> AbstractAsyncContextManager[RunWriter]:
        """Opens a run to write, as `async with runs.writer({"day": "2026-11-28"}) as run`.

        `run_id`: by default a ULID. `tags`: up to 8, for retention; kept in the seal and on the objects.
        `compression`: of the lines of `RunWriter.write`. The run must be finalized within a day. Raises InvalidName
        here; RunSealed, Unavailable on entering.
        """
        run = self._run(partition, self._context.ids.new() if run_id is None else run_id)
        return run_writer(
            self._objects,
            run,
            context=self._context,
            perform=self._perform,
            tags=_checked(tags),
            compression=compression,
        )

    async def open(self, partition: Mapping[str, str] = _NONE, *, run_id: str) -> Run:
        """Returns a sealed run. 1 GET. Raises InvalidName, RunNotFound, CorruptRecord, Unavailable."""
        run = self._run(partition, run_id)
        return Run(self._objects, run, await self._perform(look(run)))

    async def list(
        self, partition: Mapping[str, str] = _NONE, *, cursor: str | None = None, limit: int = 100
    ) -> RunPage:
        """Returns a page of the sealed runs of one partition, of those right in it. 1 LIST and 1 GET per run.

        `limit`: folders looked at, 1 to 1000. What was never sealed, or was deleted, is left out. Raises RequestRefused
        for another limit; InvalidName, CorruptRecord, Unavailable.
        """
        found = await self._level(partition, cursor, limit, runs=True)
        return RunPage(tuple(Run(self._objects, keys, seal) for keys, seal in found.runs), found.cursor)

    async def partitions(
        self, below: Mapping[str, str] = _NONE, *, cursor: str | None = None, limit: int = 100
    ) -> PartitionPage:
        """Returns a page of the partitions one level below a partition. 1 LIST. `limit`: 1 to 1000.

        A partition is listed as soon as somebody has begun a run in it. Raises as `list`.
        """
        found = await self._level(below, cursor, limit, runs=False)
        return PartitionPage(tuple(found.partitions), found.cursor)

    async def walk(self, below: Mapping[str, str] = _NONE) -> AsyncIterator[Run]:
        """Yields every sealed run of a partition and of those below it. 1 LIST per 100 folders, 1 GET per run."""
        cursor: str | None = None
        while True:
            found = await self._level(below, cursor, 100, runs=True)
            for keys, seal in found.runs:
                yield Run(self._objects, keys, seal)
            for partition in found.partitions:
                async for run in self.walk(partition):
                    yield run
            cursor = found.cursor
            if cursor is None:
                return

    async def delete(self, partition: Mapping[str, str] = _NONE, *, run_id: str) -> None:
        """Deletes a sealed run for ever: its id is not used again. The commit point is the tombstone over its seal.

        Raises RunNotFound, Contention, CorruptRecord, Unavailable; after an error, call it again.
        """
        await self._perform(delete(self._run(partition, run_id), context=self._context))

    async def download(self, folder: str | os.PathLike[str], below: Mapping[str, str] = _NONE) -> tuple[Path, ...]:
        """Copies all sealed runs of a partition, and below it, to a directory. Returns their folders.

        What is there from an earlier download stays as it is. Raises as `Run.download`.
        """
        return tuple([await run.download(folder) async for run in self.walk(below)])

    def _run(self, partition: Mapping[str, str], run_id: str) -> RunKeys:
        return run_keys(self._keys, self.dataset, partition, run_id)

    async def _level(self, partition: Mapping[str, str], cursor: str | None, limit: int, *, runs: bool) -> Level:
        check_limit(limit)
        return await self._perform(
            level(self._keys, self.dataset, partition, cursor=cursor, limit=limit, with_runs=runs)
        )


def _checked(tags: Mapping[str, str]) -> Mapping[str, str]:
    if len(tags) > _MOST_TAGS or OWN_TAGS & tags.keys():
        raise InvalidName(f"A run has at most {_MOST_TAGS} tags, none of them {' or '.join(sorted(OWN_TAGS))}")
    try:
        check_tags("", tags)
    except RequestRefused as error:
        raise InvalidName(f"Not the tags of a run: {error.detail}") from error
    return dict(tags)
