"""One index file: opening it, applying batches to it, reading it as of one moment.

Any process of the machine may apply and read at the same time (SQLite in WAL mode). Rows and watermark change in one
transaction, so a crash loses both or neither; what is lost is found in the log again. `synchronous` is NORMAL: after a
power cut the file may be some transactions back, and is whole.

A file that is damaged, of another layout, of other definitions or of another store is set aside and made anew: an index
is never repaired (`placing`).
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from fhirstore.index.local.apply import (
    Applying,
    Batch,
    Change,
    IndexDamaged,
    Prepared,
    PreparedSheet,
    drop_old,
    prepared,
)
from fhirstore.index.local.catalogue import Catalogue
from fhirstore.index.local.connections import Connections
from fhirstore.index.local.customs import DEFINING, Filling, changed, current, filled, next_filling, revision_of
from fhirstore.index.local.extract import Extractor
from fhirstore.index.local.facts import IndexFacts, facts_of
from fhirstore.index.local.hashing import KEY_BYTES, hashing
from fhirstore.index.local.moment import Connection
from fhirstore.index.local.noted import BUILDING, READY, all_noted, has_facts, note, noted
from fhirstore.index.local.numbering import Numbers
from fhirstore.index.local.placing import (
    IndexUnusable,
    connected,
    inode,
    make_room,
    noticing,
    set_aside,
    swapping,
    transaction,
)
from fhirstore.index.local.reader import Reader
from fhirstore.index.local.schema import LAYOUT, create
from fhirstore.index.local.sheets import SheetMaker, SheetUnfit

_WRITER_CACHE = 64 * 1024  # KiB
_OTHER = {
    "layout": "an index of another layout, as another version of fhirstore makes them",
    "catalogue": "an index for another FHIR release, base URL or FHIRSTORE_INDEX_TEXT",
    "identity": "an index of another store, or of a tenant that was removed",
}
_SLICE = 50  # sequence numbers whose old rows are dropped in one transaction
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Applied:
    """A version that was applied. `t`: epoch ms. `there`: it is no tombstone and was not purged."""

    type: str
    id: str
    version: int
    t: int
    there: bool = True


class _OtherParameters(Exception):
    """The parameters of the file are others than those of the rows."""


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """A batch with its rows: those that this extractor made, and those of a sheet, which the others are in."""

    batch: Batch
    extractor: Extractor
    changes: list[Prepared]
    sheet: PreparedSheet | None = None

    @property
    def revision(self) -> int:
        """Of the parameters that the rows are of."""
        return self.extractor.catalogue.revision if self.sheet is None else self.sheet.sheet.revision


class IndexFile:
    """Made by `open`. Its methods block; they may be called from several threads."""

    def __init__(self, path: Path, catalogue: Catalogue, connection: Connection) -> None:
        self.path = path
        self.hashed = hashing(noted(connection, "key", b""))
        self.extractor = Extractor(catalogue, self.hashed)
        self.uuid: str = noted(connection, "uuid", "")
        self._connections = Connections(path, connection)
        self._numbers = Numbers()  # of the writer

    @classmethod
    def open(cls, path: Path, catalogue: Catalogue, *, identity: str, anew: bool = True) -> IndexFile:
        """Opens the file, or makes it. `identity`: names the store and the tenant that it is an index of. `anew` False:
        make none, and set none aside.

        Raises IndexUnusable; IndexDamaged where it must not be made `anew`.
        """
        for _ in range(2):
            with noticing(path):
                if anew:
                    make_room(path)
            found = inode(path)
            try:
                with noticing(path), swapping(path, fcntl.LOCK_SH), ExitStack() as undo:
                    connection = undo.enter_context(closing(connected(path, cache=_WRITER_CACHE)))
                    _prepare(connection, catalogue, identity)
                    file = cls(path, current(catalogue, connection), connection)
                    undo.pop_all()
                    return file
            except IndexDamaged as error:
                if not anew:
                    raise
                set_aside(path, str(error), only=found)
        raise IndexUnusable(f"The search index cannot be used: no file can be made at {path}")

    def close(self) -> None:
        """Closes it: at once for whoever begins, for readers at their end. Waits for a writer."""
        self._connections.close()

    @property
    def inode(self) -> int:
        """Of the file that was opened."""
        return self._connections.inode

    @property
    def _writer(self) -> Connection:
        return self._connections.writer

    @property
    def catalogue(self) -> Catalogue:
        """The parameters that the file had when something was last read or applied by this object."""
        return self.extractor.catalogue

    # --- facts ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """BUILDING or READY."""
        return str(self._fact("state", BUILDING))

    @property
    def watermark(self) -> int:
        """Every version with an earlier time (epoch ms) that can ever be seen has been applied."""
        return int(self._fact("watermark", 0))

    def newest(self, most: int) -> list[Applied]:
        """Returns the newest versions that the index has of resources that are there, `most` of them, after the newest
        of all that were applied.
        """
        with self._connections.reading() as connection:
            found = [_read_newest(written)] if (written := noted(connection, "newest", "")) else []
            query = "SELECT type, id, version, t FROM resource ORDER BY t DESC LIMIT ?"
            rows = connection.execute(query, (most,)).fetchall()
        found += [Applied(self.catalogue.type_name(type_), id_, version, t) for type_, id_, version, t in rows]
        by_name: dict[tuple[str, str], Applied] = {}
        for one in found:  # what was purged may have come back, by a clock that is behind
            known = by_name.setdefault((one.type, one.id), one)
            if known.version < one.version:
                by_name[one.type, one.id] = one
        return list(by_name.values())

    def facts(self) -> IndexFacts:
        """Returns what can be told of the index. Its resources are counted: 10 ms for a million."""
        with self._connections.reading() as connection:
            return facts_of(connection, self.path)

    def fact(self, key: str) -> int | None:
        """Returns a number that was noted; None if none was."""
        found: object = self._fact(key, None)
        return found if isinstance(found, int) else None

    def note(self, key: str, number: int) -> None:
        """Notes a number about the file."""
        self._write(lambda: note(self._writer, key, number))

    def mark(self, state: str) -> None:
        """Says whether the index has all versions below its watermark, so that searches can be answered."""

        def do() -> None:
            if state == READY and noted(self._writer, "state", BUILDING) != READY:
                whole = noted(self._writer, "seq", 0)  # batches before were no consistent cuts
                note(self._writer, "whole", whole)
            note(self._writer, "state", state)

        self._write(do)

    def known(self, names: Iterable[str]) -> dict[str, int]:
        """Returns the versions of these resources (`Type/id`) that are applied, tombstones and purges included."""
        by_hash = {self.hashed(name): name for name in names}
        some = "(SELECT value FROM json_each(?1))"
        query = " UNION ALL ".join(
            f"SELECT name, version FROM {one} WHERE name IN {some}" for one in ("resource", "gone")
        )
        with self._connections.reading() as connection:
            rows = connection.execute(query, (json.dumps(list(by_hash)),)).fetchall()
        return {by_hash[name]: version for name, version in rows}

    def _fact(self, key: str, otherwise: _Result) -> _Result:
        with self._connections.reading() as connection:
            return noted(connection, key, otherwise)

    # --- writing --------------------------------------------------------------------------------------------

    def prepare(self, batch: Batch, sheet: PreparedSheet | None = None) -> PreparedBatch:
        """Makes the rows of a batch, without touching the file: beside the batch before, in another thread.

        `sheet`: has those of all changes with content.
        """
        extractor = self.extractor
        changes = batch.changes if sheet is None else [one for one in batch.changes if one.resource is None]
        return PreparedBatch(batch, extractor, prepared(extractor, changes), sheet)

    def sheet_maker(self, last: SheetMaker | None) -> SheetMaker:
        """Returns what makes sheets for this file: the `last` one, unless the parameters are others by now."""
        with self._connections.reading() as connection:
            self._current(connection)
        extractor = self.extractor
        return last if last is not None and last.extractor is extractor else SheetMaker(extractor)

    def apply(self, batch: Batch | PreparedBatch) -> int:
        """Applies a batch. Returns the sequence number that holds it. Raises IndexDamaged.

        Commit point: the COMMIT of its transaction. The watermark never goes back.
        """
        ready = batch if isinstance(batch, PreparedBatch) else self.prepare(batch)
        batch = ready.batch
        seq = self._by_catalogue(partial(self._apply, batch), ready)
        if any(one.type == DEFINING for one in batch.changes):
            with self._connections.reading() as connection:
                self._current(connection)
        return seq

    def apply_together(self, some: Sequence[PreparedBatch]) -> None:
        """Applies batches in their order, in one transaction, whose rows are written in the order of their tables: of
        many resources they lie close together. For an index that is built. Raises IndexDamaged.

        Commit point: the COMMIT of the transaction; where it does not fit, that of each batch.
        """
        if len(some) > 1 and not any(one.batch.keep_old for one in some):
            with suppress(_OtherParameters, SheetUnfit):
                self._write(partial(self._together, some))
                return
        for one in some:
            self.apply(one)

    def _together(self, some: Sequence[PreparedBatch]) -> None:
        catalogue = some[0].extractor.catalogue
        seq = int(noted(self._writer, "seq", 0))
        applying = self._applying(catalogue, seq=seq + 1, keep_old=False)
        for ready in some:
            if int(noted(self._writer, "texts", 0)) != self._numbers.texts_of:
                raise SheetUnfit  # texts were dropped
            self._surely(lambda _, ready: self._take(applying, ready), ready)
            if applying.defining:
                raise _OtherParameters  # from here on
        applying.write()

    def _by_catalogue(self, do: Callable[[Catalogue, PreparedBatch], _Result], ready: PreparedBatch) -> _Result:
        """Returns what `do` returns, in a transaction, with the rows of the parameters that the file has then."""
        while True:
            with suppress(_OtherParameters, SheetUnfit):
                return self._write(partial(self._surely, do, ready))
            if ready.sheet is not None:
                ready.sheet.texts.spoiled = True
            with self._connections.reading() as connection:
                self._current(connection)
            ready = self.prepare(ready.batch)

    def _surely(self, do: Callable[[Catalogue, PreparedBatch], _Result], ready: PreparedBatch) -> _Result:
        catalogue = ready.extractor.catalogue
        if not revision_of(self._writer) == catalogue.revision == ready.revision:
            raise _OtherParameters
        if ready.sheet is not None and ready.sheet.texts.spoiled:
            raise SheetUnfit
        return do(catalogue, ready)

    def _current(self, connection: sqlite3.Connection) -> Catalogue:
        """Returns the catalogue of what a connection reads."""
        found = current(self.catalogue, connection)
        if found is not self.catalogue:
            self.extractor = Extractor(found, self.hashed)
        return found

    def _apply(self, batch: Batch, catalogue: Catalogue, ready: PreparedBatch) -> int:
        applying = self._applying(catalogue, seq=int(noted(self._writer, "seq", 0)) + 1, keep_old=batch.keep_old)
        seq = self._take(applying, ready)
        applying.write()
        if defining := applying.defining:
            changed(self._writer, catalogue, defining, seq=seq)
        return seq

    def _take(self, applying: Applying, ready: PreparedBatch) -> int:
        connection, batch = self._writer, ready.batch
        seq = int(noted(connection, "seq", 0))
        if applying.take(ready.changes, ready.sheet):
            seq += 1
            self._note_moment(seq, batch)
            self._note_newest(batch.changes)
        watermark = int(noted(connection, "watermark", 0))
        if batch.watermark is not None and batch.watermark > watermark:
            note(connection, "watermark", batch.watermark)
        if batch.complete and batch.at > int(noted(connection, "complete", 0)):
            note(connection, "complete", batch.at)
        return seq

    def _note_newest(self, changes: Iterable[Change]) -> None:
        """Notes the newest version of all that were applied, tombstones and purges included."""
        newest = max(changes, key=lambda one: one.t)
        known = noted(self._writer, "newest", "")
        if not known or _read_newest(known).t <= newest.t:
            applied = [newest.type, newest.id, newest.version, newest.t, newest.resource is not None]
            note(self._writer, "newest", json.dumps(applied))

    def _note_moment(self, seq: int, batch: Batch) -> None:
        """Notes the new sequence number: when it was made, and before when all that was acknowledged is in it.

        The latter is the time of the last complete batch where this one is not complete itself; while the index is
        built, that of the batch.
        """
        connection, at = self._writer, batch.at
        if not batch.complete and noted(connection, "state", BUILDING) == READY:
            at = min(at, int(noted(connection, "complete", 0)))
        note(connection, "seq", seq)
        connection.execute("INSERT OR REPLACE INTO moment VALUES (?, ?, ?)", (seq, at, batch.at))

    def _applying(self, catalogue: Catalogue, *, seq: int, keep_old: bool) -> Applying:
        texts = int(noted(self._writer, "texts", 0))
        if texts != self._numbers.texts_of:
            self._numbers = Numbers(texts_of=texts)
        return Applying(self._writer, catalogue, self._numbers, seq=seq, keep_old=keep_old)

    def filling(self) -> Filling | None:
        """Returns what is to be filled for new parameters of the tenant; None where nothing is."""
        with self._connections.reading() as connection:
            return next_filling(connection)

    def to_fill(self, filling: Filling, most: int) -> list[tuple[int, str, int]]:
        """Returns number, id and version of the next resources that are to be filled, `most` at once."""
        query = "SELECT rid, id, version FROM resource WHERE type = ? AND rid > ? ORDER BY rid LIMIT ?"
        with self._connections.reading() as connection:
            values = (self.catalogue.type_number(filling.type), filling.after, most)
            return connection.execute(query, values).fetchall()

    def fill(self, batch: Batch, filling: Filling, through: int | None) -> None:
        """Adds the rows that resources lack; those that have another version by now have them. `through`: the number of
        the last one; None: there are no more, and the parameters can be searched.

        Commit point: the COMMIT of its transaction.
        """
        ready = self.prepare(batch)
        self._by_catalogue(
            lambda catalogue, ready: self._fill(batch, catalogue, ready.changes, filling, through), ready
        )
        if through is None:
            with self._connections.reading() as connection:
                self._current(connection)

    def _fill(
        self,
        batch: Batch,
        catalogue: Catalogue,
        changes: list[Prepared],
        filling: Filling,
        through: int | None,
    ) -> None:
        connection = self._writer
        seq = int(noted(connection, "seq", 0)) + 1
        self._applying(catalogue, seq=seq, keep_old=True).again(changes)
        self._note_moment(seq, batch)
        filled(connection, filling, through, seq=seq)

    def prune(self, before: int) -> None:
        """Drops the rows that only searches need which began before `before`, epoch ms: those cannot go on.

        What was made later stays, and what it followed: that was the newest until then. In many short transactions, so
        that others can write meanwhile.
        """
        with self._connections.reading() as connection:
            first, last = connection.execute("SELECT min(seq), max(seq) FROM moment").fetchone()
            later = connection.execute("SELECT min(seq) FROM moment WHERE made >= ?", (before,)).fetchone()[0]
        oldest = last if later is None else later - 1
        if oldest is None or oldest <= self._fact("oldest", 0):
            return
        for until in range(min(first, oldest), oldest + _SLICE, _SLICE):
            self._write(partial(self._prune, min(until, oldest)))

    def _prune(self, until: int) -> None:
        connection = self._writer
        note(connection, "oldest", until)
        connection.execute("DELETE FROM moment WHERE seq < ?", (until,))
        drop_old(connection, "until <= ?", until)

    def copy(self, path: Path) -> None:
        """Writes a copy without free pages, as of one moment, to a file that does not exist. Blocks for seconds.

        Others read and write meanwhile. Raises IndexUnusable, IndexDamaged.
        """
        with self._connections.apart() as connection:
            connection.execute("VACUUM INTO ?", (str(path),))

    def without_keeping(self, changes: Sequence[Change], do: Callable[[Applying, list[Prepared]], _Result]) -> _Result:
        """Returns what `do` returns of the changes with their rows; it may write what it likes: nothing is kept."""

        def tried(catalogue: Catalogue, ready: PreparedBatch) -> _Result:
            self._writer.execute("SAVEPOINT tried")
            try:
                return do(Applying(self._writer, catalogue, Numbers(), seq=0, keep_old=False), ready.changes)
            finally:
                self._writer.execute("ROLLBACK TO tried")

        return self._by_catalogue(tried, self.prepare(Batch(changes)))

    def _write(self, do: Callable[[], _Result]) -> _Result:
        with self._connections.writing() as writer, ExitStack() as undo:
            undo.callback(self._forget_numbers)
            with transaction(writer):
                done = do()
            undo.pop_all()
            return done

    def _forget_numbers(self) -> None:
        """Those that were given in a transaction that was rolled back are nobody's."""
        self._numbers = Numbers()

    # --- reading --------------------------------------------------------------------------------------------

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """Gives a reader. Raises IndexDamaged where the file is damaged, or not at its place any more."""
        self.check()
        with self._connections.reading() as connection:
            yield self._reader(connection)

    @contextmanager
    def read_at_once(self, within: float, waiting: float) -> Iterator[Reader]:
        """Gives a reader to the event loop, for `within` seconds of work, or `waiting` with those that it waits.

        It never waits for another thread or process. Raises TakesLonger, also where no connection is open and free;
        IndexDamaged as `read`.
        """
        self.check()
        with self._connections.reading_at_once(within, waiting) as connection:
            yield self._reader(connection, hurried=True)

    def _reader(self, connection: Connection, *, hurried: bool = False) -> Reader:
        """Returns a reader of what a connection reads now."""
        moment = connection.moment()
        catalogue = self.catalogue
        if moment.once(all_noted).get("parameters", 0) != catalogue.revision:
            catalogue = self._current(connection)
        return Reader(moment, catalogue, self.hashed, hurried=hurried)

    def check(self) -> None:
        """Raises IndexReplaced where the file was closed, removed or replaced."""
        self._connections.check()


def _prepare(connection: sqlite3.Connection, catalogue: Catalogue, identity: str) -> None:
    """Makes the tables if there are none. Raises IndexDamaged where they are of something else.

    It waits for other writers only where there are none: a build writes for seconds.
    """
    wanted: dict[str, object] = {"layout": LAYOUT, "catalogue": catalogue.digest, "identity": identity}
    if _is_made(connection, wanted):
        return
    with transaction(connection):
        if not _is_made(connection, wanted):
            create(connection)
            facts: dict[str, object] = {
                **wanted,
                "key": os.urandom(KEY_BYTES),
                "uuid": os.urandom(8).hex(),
                "state": BUILDING,
            }
            connection.executemany("INSERT INTO meta VALUES (?, ?)", list(facts.items()))


def _is_made(connection: sqlite3.Connection, wanted: Mapping[str, object]) -> bool:
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return False
    found = all_noted(connection) if has_facts(connection) else {}
    for key, value in wanted.items():
        if found.get(key) != value:
            raise IndexDamaged(f"The file is {_OTHER[key] if found else 'no index'}")
    return True


def _read_newest(written: str) -> Applied:
    """Reads what `newest` says of the file."""
    return Applied(*json.loads(written))
