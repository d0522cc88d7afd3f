"""Compares an index with the bucket, resource by resource, while others read and write.

What seems to differ is brought up to date and looked at again, so that a write in between is no difference. Of
resources that only the index has, the number tells: then each of the index is looked up in the bucket.

Cost: 1 LIST per 1,000 resources, 1 GET for each. Memory: a few dozen resources at a time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fhirstore.batched import batched
from fhirstore.commit.drive import drive
from fhirstore.commit.idempotent import listed
from fhirstore.commit.messages import List
from fhirstore.errors import InvalidResource
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.record import Record
from fhirstore.history.records import Budget, currents_at
from fhirstore.index.local.apply import Change
from fhirstore.index.local.compare import differences
from fhirstore.index.local.file import IndexFile
from fhirstore.tenancy import Place
from fhirstore.threads import in_thread, offload

_ROOM = 32 * 1024 * 1024  # bytes of records that are held at once
_NAMES = 1_000  # names of the index that are looked up at once
_AGAIN = 3  # looks at what seems to differ
NOT_IN_BUCKET = "it is not in the bucket"


class Verifiable(Protocol):
    """The index that is compared: `Indexer`."""

    place: Place

    def opened(self) -> IndexFile: ...
    async def catch_up(self) -> None: ...
    async def take_purges(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Differs:
    """A resource (`Type/id`) of which the index does not say what the bucket does. `what`: a sentence."""

    name: str
    what: str


@dataclass(slots=True)
class IndexComparison:
    """`resources`: compared. `differing`: how many differ; `differences`: the first of them. `cut`: how many have more
    values than are indexed; `cut_names`: the first of them.
    """

    resources: int = 0
    differing: int = 0
    cut: int = 0
    differences: list[Differs] = field(default_factory=list)
    cut_names: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the index says what the bucket does."""
        return not self.differing

    def as_json(self) -> dict[str, object]:
        """The report as plain JSON values."""
        return {
            "resources": self.resources,
            "differing": self.differing,
            "cut": self.cut,
            "differences": [{"resource": one.name, "what": one.what} for one in self.differences],
            "cutResources": self.cut_names,
        }


async def verify(
    index: Verifiable, *, on_progress: Callable[[IndexComparison], None] = lambda _: None, most: int = 1_000
) -> IndexComparison:
    """Returns the report; `most` differences by name. Raises IndexBehind, Unavailable, CorruptRecord, IndexDamaged."""
    await _up_to_date(index)
    found, walk = IndexComparison(), _Walk(index, on_progress)
    types = [name async for name in walk.folders(index.place.keys.resources())]
    for type_ in types:
        if type_ in index.opened().catalogue.types:
            await walk.type(type_, found, most)
    extra = set(await in_thread(_types, index.opened())) - set(types)
    for type_ in sorted(extra):
        await walk.only_in_index(type_, found, most)
    found.cut, found.cut_names = await in_thread(_cut, index.opened(), most)
    return found


@dataclass(slots=True)
class _Walk:
    index: Verifiable
    on_progress: Callable[[IndexComparison], None]

    async def folders(self, prefix: str) -> AsyncIterator[str]:
        """Yields the names of the folders below a prefix. 1 LIST per 1,000."""
        request = List(prefix, delimiter=True)
        while True:
            page = await drive(listed(request), self.index.place.objects)
            for folder in page.prefixes:
                yield folder.removeprefix(prefix).rstrip("/")
            if page.cursor is None:
                return
            request = List(prefix, cursor=page.cursor, delimiter=True)

    async def type(self, type: str, found: IndexComparison, most: int) -> None:
        """Compares all resources of a type."""
        there, some = 0, list[ResourceKeys]()
        budget = Budget(_ROOM)
        async for id_ in self.folders(self.index.place.keys.resources(type)):
            try:
                some.append(self.index.place.keys.resource(type, id_))
            except InvalidResource:
                continue  # fsck reports it
            if len(some) >= budget.at_once:
                there += await self._compare(some, budget, found, most)
                some = []
        there += await self._compare(some, budget, found, most)
        if await in_thread(_count, self.index.opened(), type) > there:
            await self.only_in_index(type, found, most)

    async def only_in_index(self, type: str, found: IndexComparison, most: int) -> None:
        """Looks up each resource of a type that the index has."""
        after = -1
        while rows := await in_thread(_names, self.index.opened(), type, after):
            after = rows[-1][0]
            for some in batched([self.index.place.keys.resource(type, id_) for _, id_ in rows], 64):
                currents = await drive(currents_at(some), self.index.place.objects)
                for one in some:
                    if one.current not in currents:
                        _add(found, f"{one.type}/{one.id}", NOT_IN_BUCKET, most)
            self.on_progress(found)

    async def _compare(self, some: Sequence[ResourceKeys], budget: Budget, found: IndexComparison, most: int) -> int:
        """Compares these resources. Returns how many of them there are in the bucket."""
        wrong, there = await self._differences(some, budget)
        for _ in range(_AGAIN - 1):
            if not wrong:
                break
            await _up_to_date(self.index)
            again = [one for one in some if f"{one.type}/{one.id}" in wrong]
            wrong, _ = await self._differences(again, budget)
        for name, what in wrong.items():
            _add(found, name, what, most)
        found.resources += there
        self.on_progress(found)
        return there

    async def _differences(self, some: Sequence[ResourceKeys], budget: Budget) -> tuple[dict[str, str], int]:
        currents = await drive(currents_at(some), self.index.place.objects)
        changes: list[Change] = []
        for one in some:
            seen = currents.get(one.current)
            if seen is not None and seen.record.version:
                budget.expect(seen.record)
                changes.append(_change(one, seen.record))
        there = sum(change.resource is not None for change in changes)
        return await offload(differences, self.index.opened(), changes), there


async def _up_to_date(index: Verifiable) -> None:
    await index.catch_up()
    await index.take_purges()


def _change(keys: ResourceKeys, record: Record) -> Change:
    content = record.resource if record.exists else None
    return Change(keys.type, keys.id, record.version, record.t, record.t, content)


def _add(found: IndexComparison, name: str, what: str, most: int) -> None:
    found.differing += 1
    if len(found.differences) < most:
        found.differences.append(Differs(name, what))


def _types(file: IndexFile) -> list[str]:
    with file.read() as reader:
        numbers = reader.rows("SELECT DISTINCT type FROM resource")
    return [file.catalogue.type_name(_int(row)) for row in numbers]


def _count(file: IndexFile, type: str) -> int:
    query = "SELECT count(*) FROM resource WHERE type = ?"
    with file.read() as reader:
        return _int(reader.rows(query, (file.catalogue.type_number(type),))[0])


def _names(file: IndexFile, type: str, after: int) -> list[tuple[int, str]]:
    query = "SELECT rid, id FROM resource WHERE type = ? AND rid > ? ORDER BY rid LIMIT ?"
    with file.read() as reader:
        rows = reader.rows(query, (file.catalogue.type_number(type), after, _NAMES))
    return [(_int(row), str(row[1])) for row in rows]


def _cut(file: IndexFile, most: int) -> tuple[int, list[str]]:
    query = "SELECT r.type, r.id FROM cut JOIN resource r ON r.rid = cut.rid ORDER BY cut.rid LIMIT ?"
    with file.read() as reader:
        rows = reader.rows(query, (most,))
        count = _int(reader.rows("SELECT count(*) FROM cut")[0])
    return count, [f"{file.catalogue.type_name(_int(row))}/{row[1]}" for row in rows]


def _int(row: tuple[object, ...]) -> int:
    number = row[0]
    assert isinstance(number, int)  # noqa: S101 - a column of whole numbers
    return number
