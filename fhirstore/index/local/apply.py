"""Applies a batch of versions to an index: one transaction, one sequence number.

Applying is idempotent and knows no order: of a resource, only a version above the one that is known changes anything.
So whoever has a committed version in hand may apply it, together with others, again, or after later ones. The caller
must be sure that the version is committed.

The rows of a resource are compared with those that it had: what is new begins with this sequence number, what is gone
ends with it, the rest stays as it is.
"""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, repeat

import msgspec

from fhirstore.errors import FhirStoreError
from fhirstore.fhir.json import JsonObject, parse
from fhirstore.index.local.catalogue import Catalogue
from fhirstore.index.local.customs import DEFINING, Stored, stored
from fhirstore.index.local.extract import Extracted, Extractor
from fhirstore.index.local.numbering import FileNumbering, Numbers, Row, held_of, packed
from fhirstore.index.local.pairs import MOST_PAIRS, pieces_of
from fhirstore.index.local.runs import in_order
from fhirstore.index.local.schema import BY_RESOURCE, OF_PHRASES, VALUES, rid_of
from fhirstore.index.local.sheets import Sheet, SheetTexts, SheetUnfit, whole

_AT_ONCE = 40  # rows of one statement
_unpack = msgspec.msgpack.Decoder().decode


class IndexDamaged(FhirStoreError):
    """Build the index again: its file is damaged, or was made for something else."""


class IndexReplaced(IndexDamaged):
    """Open the index again: its file was closed, removed, or replaced by another one."""


@dataclass(frozen=True, slots=True, repr=False)
class Change:
    """A committed version. `resource`: its content as stored, or parsed, which takes longer; None where it is a
    tombstone, or was purged.

    `born`: the time of the first event of the resource that is in the log, epoch ms; it need not be right where the
    index knows the resource already. `purged`: a purge removed this version and all before it; no value of them is
    kept, not even for searches as of earlier.
    """

    type: str
    id: str
    version: int
    t: int
    born: int
    resource: bytes | JsonObject | None
    purged: bool = False

    @property
    def name(self) -> str:
        """`Type/id`."""
        return f"{self.type}/{self.id}"


@dataclass(frozen=True, slots=True)
class Batch:
    """`changes`: in any order. `watermark`: the new one, epoch ms; None leaves it. `at`: the store's time, epoch ms.
    `keep_old`: keep the rows that end, for searches as of earlier; not while an index is built. `complete`: with them,
    the index has all that was acknowledged before `at`.
    """

    changes: Sequence[Change] = ()
    watermark: int | None = None
    at: int = 0
    keep_old: bool = True
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A change with the hash of its name and its rows: what can be computed without the index. `rid`: the number that
    the resource should have, where that is computed already.
    """

    change: Change
    name: int
    rows: Extracted
    rid: int | None = None


@dataclass(frozen=True, slots=True)
class PreparedSheet:
    """`changes`: the versions of a sheet, in its order, without their rows. `texts`: of the process that made it."""

    sheet: Sheet
    texts: SheetTexts
    changes: list[Prepared]

    @classmethod
    def of(cls, sheet: Sheet, texts: SheetTexts, changes: Sequence[Change]) -> PreparedSheet:
        """`changes`: those that the sheet was made of."""
        cut = set(sheet.cut)
        each = zip(sheet.order, whole(sheet.names), whole(sheet.rids), strict=True)
        nothing, much = Extracted(), Extracted(cut=True)
        made = [
            Prepared(changes[place], name, much if r in cut else nothing, rid)
            for r, (place, name, rid) in enumerate(each)
        ]
        return cls(sheet, texts, made)


def prepared(extractor: Extractor, changes: Iterable[Change]) -> list[Prepared]:
    """Returns the changes with their rows, the newest version of each resource only. Raises MalformedContent."""
    newest: dict[str, Change] = {}
    for change in changes:
        known = newest.get(change.name)
        if known is None or known.version < change.version + change.purged:
            newest[change.name] = change
    nothing = Extracted()
    return [
        Prepared(
            one,
            extractor.hashed(name),
            nothing if one.resource is None else extractor.extract(one.type, one.resource),
        )
        for name, one in newest.items()
    ]


@dataclass(slots=True)
class Known:
    """A resource as the index has it. `there`: it is not gone."""

    rid: int
    version: int
    there: bool
    type: int
    id: str
    held: bytes | None = None
    columns: Row = ()

    @property
    def t(self) -> int:
        """The time of its version, epoch ms."""
        return int(self.columns[_T])


class Applying:
    """One transaction that applies changes. The caller begins and commits it.

    `take` leaves the rows of values to `write`, so that those of many batches can be written in the order of their
    table: a row on the page of another costs a fraction of one on a page of its own.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        catalogue: Catalogue,
        numbers: Numbers,
        *,
        seq: int,
        keep_old: bool,
    ) -> None:
        self._connection = connection
        self._catalogue = catalogue
        self._numbering = FileNumbering(connection, numbers)
        self._seq = seq
        self._keep_old = keep_old
        self._rids: dict[int, int] = {}  # of new resources, by the hash of their name
        self._purged: set[int] = set()
        self._resources: list[Row] = []
        self._added: dict[str, list[Row]] = {table: [] for table in VALUES}
        self._runs: dict[str, list[Iterable[Row]]] = {table: [] for table in VALUES}  # each in order by first column
        self._ended: dict[str, list[Row]] = {table: [] for table in VALUES}
        self.defining: dict[str, Stored | None] = {}
        """What was applied of SearchParameter resources, by id; None: it is gone."""

    def apply(self, changes: Iterable[Prepared], sheet: PreparedSheet | None = None) -> int:
        """Applies them, and those of a sheet. Returns how many changed anything. Raises as `take`."""
        count = self.take(changes, sheet)
        self.write()
        return count

    def take(self, changes: Iterable[Prepared], sheet: PreparedSheet | None = None) -> int:
        """Does the same, but for what is left to `write`. Raises IndexDamaged; SheetUnfit where something newer than
        what is in the sheet is known.
        """
        some = list(changes)
        all_ = some if sheet is None else some + sheet.changes
        known = self.known(all_)
        if known:
            self.write()  # their rows may be among those that were left
        newer = [one for one in all_ if self._is_newer(one.change, known.get(one.name))]
        self._number_new(sorted((one for one in newer if one.name not in known), key=lambda one: one.change.name))
        new = {one.name for one in newer}
        if sheet is not None and not all(one.name in new for one in sheet.changes):
            raise SheetUnfit
        for one in some:
            if one.name not in new:
                continue
            if one.change.resource is None:
                self._remove(one, known.get(one.name))
            else:
                self._put(one, known.get(one.name))
        if sheet is not None:
            self._put_sheet(sheet, known)
        for one in newer:
            if one.change.type == DEFINING:
                self.defining[one.change.id] = _stored(one.change)
        self._insert("INSERT OR REPLACE INTO resource VALUES", sorted(self._resources))
        self._resources.clear()
        return len(newer)

    def again(self, changes: Iterable[Prepared]) -> None:
        """Gives resources the rows that they lack, where the index has this version of them. Raises IndexDamaged."""
        some = list(changes)
        known = self.known(some)
        for one in some:
            had = known.get(one.name)
            if had is None or not had.there or had.version != one.change.version:
                continue
            self._change_rows(had, self.parts(one))
            shape = self._shape_of(one)
            self._connection.execute(
                "UPDATE resource SET shape = ?, held = ? WHERE rid = ?",
                (shape, packed(*held_of(one.rows.parts)), had.rid),
            )
        self.write()

    def write(self) -> None:
        """Writes the rows of values that were left."""
        for table, columns in VALUES.items():
            self._end_rows(table, columns, sorted(self._ended[table]))
            runs, added = self._runs[table], sorted(self._added[table])
            for rows in in_order([*runs, added] if added else runs):
                self._insert(f"INSERT OR IGNORE INTO {table} VALUES", rows)
            for left in (self._ended[table], self._added[table], runs):
                left.clear()
        self._forget_purged()

    def _is_newer(self, change: Change, known: Known | None) -> bool:
        """Returns whether a change says something new. A purge has the version that it removes."""
        if known is None or known.version < change.version + (change.purged and known.there):
            return True
        if change.purged:
            self._purged.add(known.rid)
        return False

    def _forget_purged(self) -> None:
        for rid in self._purged:
            drop_old(self._connection, "rid = ?", rid)
        self._purged.clear()

    def _insert(self, statement: str, rows: Sequence[Row]) -> None:
        """Inserts rows, many with one statement: each lets other threads run, and has to wait for its turn again."""
        if not rows:
            return
        marks = f"({', '.join('?' * len(rows[0]))})"
        whole = len(rows) - len(rows) % _AT_ONCE
        several = f"{statement} {', '.join([marks] * _AT_ONCE)}"
        for start in range(0, whole, _AT_ONCE):
            self._connection.execute(several, list(chain.from_iterable(rows[start : start + _AT_ONCE])))
        self._connection.executemany(f"{statement} {marks}", rows[whole:])

    def known(self, changes: Sequence[Prepared]) -> dict[int, Known]:
        """Returns what the index has of the resources, by the hash of their name. Raises IndexDamaged."""
        names = json.dumps([one.name for one in changes])
        found: dict[int, Known] = {}
        query = "SELECT name, rid, version, type, id FROM gone WHERE name IN (SELECT value FROM json_each(?))"
        for name, rid, version, type_, id_ in self._connection.execute(query, (names,)):
            found[name] = Known(rid, version, False, type_, id_)
        query = (
            "SELECT rid, name, type, id, version, t, shape, since, held FROM resource"
            " WHERE name IN (SELECT value FROM json_each(?))"
        )
        for row in self._connection.execute(query, (names,)):
            found[row[1]] = Known(row[0], row[4], True, row[2], row[3], row[8], row[1:8])
        for one in changes if found else ():
            other = found.get(one.name)
            if other and (other.id != one.change.id or other.type != self._catalogue.type_number(one.change.type)):
                raise IndexDamaged("Two resources have one hash; build the index again, with another key")
        return found

    def _number_new(self, changes: Sequence[Prepared]) -> None:
        """Finds numbers for resources that are new."""
        wanted = {one.name: rid_of(one.change.born, one.change.name) if one.rid is None else one.rid for one in changes}
        there = "SELECT rid FROM {} WHERE rid IN (SELECT value FROM json_each(?))"
        rids = json.dumps(list(wanted.values()))
        taken = {
            row[0] for table in ("resource", "gone") for row in self._connection.execute(there.format(table), (rids,))
        }
        for one in changes:
            rid = wanted[one.name]
            while rid in taken or (rid != wanted[one.name] and self._is_taken(rid)):
                rid += 1
            taken.add(rid)
            self._rids[one.name] = rid

    def _is_taken(self, rid: int) -> bool:
        there = "SELECT 1 FROM resource WHERE rid = ?1 UNION ALL SELECT 1 FROM gone WHERE rid = ?1"
        return self._connection.execute(there, (rid,)).fetchone() is not None

    def _remove(self, one: Prepared, known: Known | None) -> None:
        rid = self._rids[one.name] if known is None else known.rid
        if known is not None and known.there:
            for table, rows in self.before(known).items():
                self._ended[table] += [(*row, rid) for row in rows]
            self._keep(known)
            self._connection.execute("DELETE FROM resource WHERE rid = ?", (rid,))
            self._connection.execute("DELETE FROM cut WHERE rid = ?", (rid,))
        if one.change.purged:
            self._purged.add(rid)
        self._connection.execute(
            "INSERT OR REPLACE INTO gone VALUES (?, ?, ?, ?, ?)",
            (one.name, rid, one.change.version, self._catalogue.type_number(one.change.type), one.change.id),
        )

    def _put(self, one: Prepared, known: Known | None) -> None:
        parts = self.parts(one)
        tail = (self._rid(one, known), self._since)
        if known is None or not known.there:
            added = self._added
            for part in parts:
                for table, rows in part.items():
                    added[table] += [row + tail for row in rows]
        else:
            self._change_rows(known, parts)
        cut = one.rows.cut or len(parts[-1].get("pair", ()) if parts else ()) > MOST_PAIRS
        self._put_resource(one, known, shape=self._shape_of(one), held=packed(*held_of(one.rows.parts)), cut=cut)

    def _put_sheet(self, given: PreparedSheet, known: Mapping[int, Known]) -> None:
        """Puts the resources of a sheet, which are all newer than what is known."""
        sheet, texts = given.sheet, given.texts.of_file(given.sheet, self._numbering)
        rids = [self._rid(one, known.get(one.name)) for one in given.changes]
        there = (r for r, one in enumerate(given.changes) if (had := known.get(one.name)) is not None and had.there)
        changed: dict[int, dict[str, list[Row]]] = {r: {} for r in there}  # resources that have rows
        for table, (*columns, places) in sheet.columns(texts):
            rows: Iterable[Row] = zip(*columns, map(rids.__getitem__, places), repeat(self._since))
            if changed:
                rows = [row for r, row in zip(places, rows, strict=True) if r not in changed]
                for r, row in zip(places, zip(*columns, strict=True), strict=True):
                    if r in changed:
                        changed[r].setdefault(table, []).append(row)
            self._runs[table].append(sorted(rows) if table == "pair" else rows)  # pairings have other numbers here
        for r, (one, shape) in enumerate(zip(given.changes, whole(sheet.shapes), strict=True)):
            had = known.get(one.name)
            if r in changed and had is not None:
                self._change_rows(had, [changed[r]])
            held = sheet.held_in(r, texts)
            self._put_resource(one, had, shape=texts.shapes[shape], held=held, cut=one.rows.cut)

    def _rid(self, one: Prepared, known: Known | None) -> int:
        return self._rids[one.name] if known is None else known.rid

    @property
    def _since(self) -> int:
        return self._seq if self._keep_old else 0

    def _put_resource(self, one: Prepared, known: Known | None, *, shape: int, held: bytes, cut: bool) -> None:
        """Puts the row of a resource itself."""
        change, rid = one.change, self._rid(one, known)
        if known is not None and known.there:
            self._keep(known)
        elif known is not None:
            self._connection.execute("DELETE FROM gone WHERE name = ?", (one.name,))
        type_ = self._catalogue.type_number(change.type)
        self._resources.append((rid, one.name, type_, change.id, change.version, change.t, shape, self._since, held))
        if cut:
            self._connection.execute("INSERT OR REPLACE INTO cut VALUES (?, ?)", (rid, type_))
        elif known is not None:
            self._connection.execute("DELETE FROM cut WHERE rid = ?", (rid,))

    def _change_rows(self, known: Known, parts: Sequence[Mapping[str, list[Row]]]) -> None:
        """Begins and ends rows of a resource that is there."""
        before = self.before(known)
        tail = (known.rid, self._since)
        for table in VALUES:
            now = {row for part in parts for row in part.get(table, ())}
            had = before.get(table, _NONE)
            self._added[table] += [row + tail for row in now - had]
            self._ended[table] += [(*row, known.rid) for row in had - now]

    def _shape_of(self, one: Prepared) -> int:
        members = sorted([member for part in one.rows.parts for member in part.rows.shape])
        return self._numbering.shape(self._catalogue.type_number(one.change.type), tuple(members))

    def _keep(self, known: Known) -> None:
        """Keeps the columns of a resource as they were."""
        if self._keep_old:
            self._connection.execute(
                "INSERT INTO resource_old VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (known.rid, *known.columns, self._seq)
            )

    def before(self, known: Known) -> dict[str, set[Row]]:
        """Returns the rows that a resource has, by table."""
        found = _of_held(known.held)
        for table in BY_RESOURCE:
            columns = ", ".join(VALUES[table])
            query = f"SELECT {columns} FROM {table} INDEXED BY {table}_by_rid WHERE rid = ?"
            found[table] = set(self._connection.execute(query, (known.rid,)))
        pairs = self._catalogue.pairs(self._catalogue.type_name(known.type))
        if pairs and (pieces := pieces_of(pairs, found)):
            found["pair"] = set(self._numbering.paired(pairs, [pieces]))
        return found

    def torn(self, known: Known, rows: Mapping[str, set[Row]]) -> bool:
        """Returns whether a row that a resource is said to have is not in its table."""
        for table, some in rows.items():
            key = " AND ".join(f"{column} = ?" for column in (*VALUES[table], "rid"))
            query = f"SELECT 1 FROM {table} WHERE {key}"
            if any(self._connection.execute(query, (*row, known.rid)).fetchone() is None for row in some):
                return True
        return False

    def parts(self, one: Prepared) -> list[Mapping[str, list[Row]]]:
        """Returns all rows of a resource as the tables have them, some of them twice."""
        return self._numbering.rows(self._catalogue.pairs(one.change.type), one.rows.parts)

    def _end_rows(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        key = " AND ".join(f"{column} = ?" for column in (*columns, "rid"))
        if self._keep_old and rows:
            every = ", ".join((*columns, "rid", "since"))
            self._connection.executemany(
                f"INSERT INTO {table}_old SELECT {every}, {self._seq} FROM {table} WHERE {key}", rows
            )
        self._connection.executemany(f"DELETE FROM {table} WHERE {key}", rows)


def _of_held(held: bytes | None) -> dict[str, set[Row]]:
    pids, codes, systems, uris = _unpack(held or packed(*held_of(())))
    tokens = zip(accumulate(pids), struct.unpack(f"<{len(pids)}q", codes), systems, strict=True)
    return {"token": set(tokens), "uri": set(zip(*[iter(uris)] * 3, strict=True))}


_NONE: set[Row] = set()
_T = 4  # in Known.columns


def _stored(change: Change) -> Stored | None:
    content = change.resource
    if content is None:
        return None
    return stored(change.id, parse(content, max_values=None) if isinstance(content, bytes) else content)


def drop_old(connection: sqlite3.Connection, which: str, value: int) -> None:
    """Drops rows that ended, and the texts that no row has any more: what is gone leaves nothing in the file. In the
    caller's transaction. `which`: a test of the rows with this value.
    """
    ended = " UNION ".join(f"SELECT phrase FROM {table}_old WHERE {which}" for table in OF_PHRASES)
    phrases = connection.execute(ended, (value,) * len(OF_PHRASES)).fetchall()
    codes = connection.execute(f"SELECT DISTINCT pid, code FROM token_old WHERE {which}", (value,)).fetchall()
    for table in (*VALUES, "resource"):
        connection.execute(f"DELETE FROM {table}_old WHERE {which}", (value,))
    dropped = 0
    if phrases:
        left = _some(OF_PHRASES, "x.pid = p.pid AND x.phrase = p.number")
        drop = f"DELETE FROM phrase AS p WHERE number = ? AND NOT EXISTS ({left})"
        dropped += connection.executemany(drop, phrases).rowcount
    if codes:
        left = _some(("token",), "x.pid = c.pid AND x.code = c.code")
        drop = f"DELETE FROM code AS c WHERE pid = ? AND code = ? AND NOT EXISTS ({left})"
        dropped += connection.executemany(drop, codes).rowcount
    if dropped:
        count = "INSERT INTO meta VALUES ('texts', 1) ON CONFLICT DO UPDATE SET value = value + 1"
        connection.execute(count)


def _some(tables: Iterable[str], test: str) -> str:
    """Returns the query for rows that pass the test, valid or kept."""
    return " UNION ALL ".join(f"SELECT 1 FROM {table}{old} x WHERE {test}" for table in tables for old in ("", "_old"))


def tokens_held(held: bytes) -> Iterator[tuple[int, int, int]]:
    """Yields the rows of `token` that a resource has, as `resource.held` has them: pid, code, system."""
    pids, codes, systems, _ = _unpack(held)
    return zip(accumulate(pids), struct.unpack(f"<{len(pids)}q", codes), systems, strict=True)


def uris_held(held: bytes) -> Iterator[tuple[int, int, int]]:
    """Yields the rows of `uri` that a resource has, as `resource.held` has them: pid, phrase, derived."""
    return zip(*[iter(_unpack(held)[3])] * 3, strict=True)
