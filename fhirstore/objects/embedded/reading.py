"""Reads of the embedded store: one object, a body as a stream, a page of a listing.

Every read is checked (`bodies`). Bytes that are not those that were written raise ObjectDamaged; they are never
returned, and never taken for an absent object.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

from zstandard import ZstdError

from fhirstore.batched import batched
from fhirstore.errors import ObjectDamaged, ObjectNotFound, StoreBusy, StoreDamaged, StoreUnavailable
from fhirstore.objects.base import Page, StoredObject
from fhirstore.objects.embedded.bodies import Unpacker, is_sealed
from fhirstore.objects.embedded.body_streams import BytesStream, FileStream
from fhirstore.objects.embedded.database import connect, is_busy, is_damage, meaning
from fhirstore.objects.embedded.facts import unpack_facts
from fhirstore.objects.embedded.kept_objects import Kept, KeptObjects, Row
from fhirstore.objects.embedded.large_bodies import LargeBodies
from fhirstore.objects.embedded.listing import KeysOutOfOrder, behind_damage, list_page
from fhirstore.objects.etag import OF_NOTHING
from fhirstore.objects.facts import UNTYPED, Facts, ObjectInfo

_PATIENCE = 5.0  # seconds a read waits in the rare moments SQLite locks readers out: recovery, the last close
_AT_ONCE = 64  # objects that one statement reads; each number of them is a statement of its own, which SQLite keeps
_TRIES = 20  # times a body may be replaced between reading its row and opening its file

_SMALL = """
SELECT o.seal, b.etag, b.size, b.packed FROM objects o LEFT JOIN bodies b ON b.id = o.body WHERE o.key = ?
"""
_SMALL_ONES = """
SELECT o.key, o.modified, o.seal, o.body, b.etag, b.size, b.packed
FROM objects o LEFT JOIN bodies b ON b.id = o.body WHERE o.key IN ({})
"""
_ROWS = "SELECT key, modified, seal, body FROM objects WHERE key IN ({})"
_ROW = """
SELECT o.seal, o.body, b.etag, b.size, b.file, b.packed FROM objects o LEFT JOIN bodies b ON b.id = o.body
WHERE o.key = ?
"""
_INFO = """
SELECT o.seal, o.modified, o.body, o.facts, b.etag, b.size FROM objects o LEFT JOIN bodies b ON b.id = o.body
WHERE o.key = ?
"""
_NEIGHBOURS = """
SELECT * FROM (
    SELECT key, seal, body, (SELECT etag FROM bodies WHERE id = body) FROM objects
    WHERE key < ?1 ORDER BY key DESC LIMIT 1
) UNION ALL SELECT * FROM (
    SELECT key, seal, body, (SELECT etag FROM bodies WHERE id = body) FROM objects
    WHERE key > ?1 ORDER BY key LIMIT 1
)
"""
_WRITES = "PRAGMA data_version"
_REACHED = "SELECT reached FROM clock"

_Row = tuple[bytes | None, str, str | None, int]
"""The frame of a body, None where the body is empty or a file; ETag, file, size."""


class RowReader:
    """The reading connection of a store. Used by the event loop alone."""

    def __init__(self, directory: Path, bodies: LargeBodies) -> None:
        """Blocks. Raises sqlite3.Error."""
        self._directory = directory
        self._bodies = bodies
        self._connection = connect(directory, patience=_PATIENCE)
        self._execute = self._connection.execute
        self._unpacker = Unpacker()
        self._decompress = self._unpacker.decompress
        self._kept = KeptObjects()

    def small(self, key: str, date: int) -> StoredObject | None:
        """Returns the object if its body lies in its row and is sound; None where `object_at` must look closer.

        One statement, one decompression and no further call: the most frequent read (see docs/performance.md, embedded
        read). `date`: epoch ms, taken before the read. Raises as `row`.
        """
        try:
            row = self._execute(_SMALL, (key,)).fetchone()
            if row is not None:
                seal, etag, size, packed = row
                if packed is not None and crc32((key + etag).encode("utf-8", "surrogatepass")) == seal:
                    body = self._decompress(packed)
                    if len(body) == size:
                        return StoredObject(body, etag, date)
                return None
            self._check_absent(key, date)
        except (ZstdError, MemoryError, TypeError):
            return None  # damaged, or a column holds another type than was written
        except sqlite3.Error as error:
            raise self._unreadable(key, error, date) from error
        raise ObjectNotFound(key, date=date)

    def small_ones(self, keys: Sequence[str], date: int) -> dict[str, StoredObject]:
        """Returns the objects, by key, that `small` would return; each of the others is for `small` to tell.

        Those read lately are in memory. One statement for many others: it takes SQLite's locks once, which are half of
        the cost of a read.
        """
        found: dict[str, StoredObject] = {}
        writes = self.writes()
        try:
            missing = list(keys) if writes is None else self._kept_ones(keys, writes, found, date)
            for some in batched(missing, _AT_ONCE):
                for row in self._execute(_SMALL_ONES.format(_marks(some)), some).fetchall():
                    self._take(row, found, date, writes)
        except sqlite3.Error:
            pass
        return found

    def _kept_ones(self, keys: Sequence[str], writes: int, found: dict[str, StoredObject], date: int) -> list[str]:
        """Adds the objects that are kept, and still what the store has, to those found. Returns the other keys."""
        kept, missing = self._kept.find(keys)
        doubtful = {}
        for key, one in kept:
            if one.writes == writes:
                found[key] = StoredObject(one.body, one.etag, date)
            else:
                doubtful[key] = one
        for some in batched(list(doubtful), _AT_ONCE):
            rows = {key: Row(*row) for key, *row in self._execute(_ROWS.format(_marks(some)), some).fetchall()}
            for key in some:
                one = doubtful[key]
                if rows.get(key) == one.row:
                    one.writes = writes
                    found[key] = StoredObject(one.body, one.etag, date)
                else:
                    self._kept.drop(key)
                    missing.append(key)
        return missing

    def _take(self, row: tuple[Any, ...], found: dict[str, StoredObject], date: int, writes: int | None) -> None:
        """Adds the object of a row of `_SMALL_ONES` to those found, if it is sound, and keeps it."""
        key, modified, seal, number, etag, size, packed = row
        with suppress(ZstdError, MemoryError, TypeError):
            if packed is None or crc32((key + etag).encode("utf-8", "surrogatepass")) != seal:
                return
            body = self._decompress(packed)
            if len(body) == size:
                found[key] = StoredObject(body, etag, date)
                if writes is not None:
                    self._kept.keep(key, Kept(writes, Row(modified, seal, number), body, etag))

    def row(self, key: str, date: int) -> _Row:
        """Raises ObjectNotFound, ObjectDamaged, StoreBusy, StoreUnavailable."""
        try:
            row = self._execute(_ROW, (key,)).fetchone()
            if row is None:
                self._check_absent(key, date)
                raise ObjectNotFound(key, date=date)
        except sqlite3.Error as error:
            raise self._unreadable(key, error, date) from error
        seal, body, etag, size, file, packed = row
        if body is None:
            etag, size, packed = OF_NOTHING, 0, None
        if not is_sealed(key, etag, seal) or (body is not None and file is None and not isinstance(packed, bytes)):
            raise ObjectDamaged(key, "its row is damaged", etag=etag if isinstance(etag, str) else "", date=date)
        return packed, etag, file, size

    def info(self, key: str, date: int) -> ObjectInfo:
        """As `ObjectStore.stat`. One statement; the body is not read. Raises as `row`."""
        modified, etag, size, facts = self._facts(key, date)
        return ObjectInfo(key, size, etag, modified, facts.content_type or UNTYPED, facts.metadata)

    def tags(self, key: str, date: int) -> Mapping[str, str]:
        """As `ObjectStore.get_tags`. Raises as `row`."""
        return self._facts(key, date)[3].tags

    def _facts(self, key: str, date: int) -> tuple[int, str, int, Facts]:
        """Returns the time of the write, ETag, size and facts. Raises as `row`."""
        try:
            row = self._execute(_INFO, (key,)).fetchone()
            if row is None:
                self._check_absent(key, date)
                raise ObjectNotFound(key, date=date)
        except sqlite3.Error as error:
            raise self._unreadable(key, error, date) from error
        seal, modified, body, column, etag, size = row
        if body is None:
            etag, size = OF_NOTHING, 0
        facts = unpack_facts(column)
        if not is_sealed(key, etag, seal) or facts is None:
            raise ObjectDamaged(key, "its row is damaged", etag=etag if isinstance(etag, str) else "", date=date)
        return modified, etag, size, facts

    def open_body(self, key: str, date: int) -> BytesStream | FileStream:
        """Returns the whole object as a stream; reads the row again when the file is replaced before it is open.

        Raises as `row`, and StoreBusy when the object is replaced again and again.
        """
        missing = None
        for _ in range(_TRIES):
            packed, etag, name, size = self.row(key, date)
            if name is None:
                body = b"" if packed is None else self._unpacker.unpack(packed, size)
                if body is None:
                    raise ObjectDamaged(key, "its body is damaged", etag=etag, date=date)
                return BytesStream(size, etag, memoryview(body))
            try:
                file = self._bodies.open(name)
            except FileNotFoundError as error:
                if name == missing:
                    detail = "its body file is missing; restore it from a backup"
                    raise ObjectDamaged(key, detail, etag=etag, date=date) from error
                missing = name
            except OSError as error:
                raise StoreUnavailable(key, f"its body file: {error.strerror}") from error
            else:
                return FileStream(size, etag, key, file, 0, size, whole=True)
        raise StoreBusy(key, "it is being replaced faster than it can be opened")

    async def page(
        self, prefix: str, *, start_after: str | None, cursor: str | None, delimiter: bool, limit: int
    ) -> Page:
        """As `ObjectStore.list`. Where bodies are damaged, the page has the keys without sizes and ETags."""
        try:
            return list_page(
                self._connection, prefix, start_after=start_after, cursor=cursor, delimiter=delimiter, limit=limit
            )
        except sqlite3.Error as error:
            if not is_damage(error):
                raise _unread(prefix, error) from error
            with suppress(sqlite3.Error):
                if not isinstance(error, KeysOutOfOrder):  # then it is the keys that are damaged, not the bodies
                    return list_page(
                        self._connection,
                        prefix,
                        start_after=start_after,
                        cursor=cursor,
                        delimiter=delimiter,
                        limit=limit,
                        bare=True,
                    )
            behind = max(prefix, start_after or "", cursor or "")
            resume = await asyncio.to_thread(behind_damage, self._directory, prefix, behind)
            raise StoreDamaged(prefix, meaning(error), resume=resume) from error

    def check(self) -> None:
        """Raises sqlite3.Error where the database cannot be read."""
        self._execute("SELECT 1 FROM objects, clock LIMIT 1").fetchone()

    def writes(self) -> int | None:
        """As `ObjectStore.writes`: SQLite tells whether another connection has committed since it was last asked."""
        try:
            (version,) = self._execute(_WRITES).fetchone()
        except sqlite3.Error:
            return None
        return int(version)

    def reached(self) -> int:
        """Returns the time of the last commit, epoch ms; 0 where it is damaged, so that the rest can be read."""
        try:
            (reached,) = self._execute(_REACHED).fetchone()
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            return 0
        return int(reached)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _check_absent(self, key: str, date: int) -> None:
        """Raises ObjectDamaged where a neighbouring key is damaged, since that row may be the one asked for."""
        for neighbour, seal, body, etag in self._execute(_NEIGHBOURS, (key,)):
            if not is_sealed(neighbour, OF_NOTHING if body is None else etag, seal):
                raise ObjectDamaged(key, "a row where it would be is damaged", date=date)

    def _unreadable(self, key: str, error: sqlite3.Error, date: int) -> ObjectDamaged | StoreBusy | StoreUnavailable:
        return ObjectDamaged(key, meaning(error), date=date) if is_damage(error) else _unread(key, error)


def _unread(key: str, error: sqlite3.Error) -> StoreBusy | StoreUnavailable:
    return StoreBusy(key, meaning(error)) if is_busy(error) else StoreUnavailable(key, meaning(error))


def _marks(keys: Sequence[str]) -> str:
    return ",".join("?" * len(keys))
