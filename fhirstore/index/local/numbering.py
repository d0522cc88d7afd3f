"""Numbers for what many rows share: code systems, units, phrases, pairings, and the shapes of resources.

Whoever makes rows as the tables have them gives each of these a number: a writer that of the file (`FileNumbering`),
a process that only makes rows numbers of its own (`OwnNumbering`), which the writer replaces by those of the file.
"""

from __future__ import annotations

import sqlite3
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any, TypeAlias, TypeVar

import msgspec

from fhirstore.index.local.extract import Held, Part
from fhirstore.index.local.pairs import PAIRING, Paired, Pairing, Pieces, pairs_of, pieces_of
from fhirstore.index.local.rows import Unit

Row: TypeAlias = tuple[Any, ...]
"""A row of a table of values, without rid and since."""
Code: TypeAlias = tuple[int, str, int]
"""A parameter, the text of a code, and its hash."""
_Key = TypeVar("_Key")
MOST_NUMBERS = 100_000
"""Numbers of one kind that are remembered."""
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "system": ("uri",),
    "unit": ("written",),
    "phrase": ("pid", "text"),
    "shape": ("type", "members"),
    "pairing": PAIRING,
}
_pack = msgspec.msgpack.Encoder().encode
_write_unit = msgspec.json.Encoder().encode
_TOKENS, _URIS = "token", "uri"
_FOUR = b"\x94"  # of MessagePack: an array of four


@dataclass(slots=True, eq=False)
class Numbers:
    """The numbers that a writer of a file knows, and the texts of codes that it has written. Of shapes, the key is the
    type and the members.

    `texts_of`: the state of the tables `phrase` and `code` that they were read in, since texts are dropped, and numbers
    given away again.
    """

    systems: dict[str, int] = field(default_factory=dict)
    units: dict[str, int] = field(default_factory=dict)
    phrases: dict[tuple[int, str], int] = field(default_factory=dict)
    shapes: dict[tuple[int, ...], int] = field(default_factory=dict)
    pairings: dict[Pairing, int] = field(default_factory=dict)
    codes: set[Code] = field(default_factory=set)
    texts_of: int = 0


class Numbering(ABC):
    """Gives numbers, and remembers them in `numbers`."""

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers

    def rows(self, pairs: Sequence[Paired], parts: Sequence[Part]) -> list[Mapping[str, list[Row]]]:
        """Returns all rows of a resource as the tables have them, those of `pair` last. `pairs`: of its type."""
        found = [self.numbered(part, pairs) for part in parts]
        if pairs and (paired := self.paired(pairs, [one.pieces for one in parts if one.pieces is not None])):
            found.append({"pair": paired})
        return found

    def paired(self, pairs: Sequence[Paired], pieces: Sequence[Pieces]) -> list[Row]:
        """Returns the rows of `pair` that follow from other rows of a resource."""
        known = self.numbers.pairings
        return [(known.get(pairing) or self.pairing(pairing), value) for pairing, value in pairs_of(pairs, pieces)]

    def numbered(self, part: Part, pairs: Sequence[Paired]) -> Mapping[str, list[Row]]:
        """Returns rows as the tables have them, with numbers for systems, units and phrases; only tables that have
        some. `pairs`: of the type.
        """
        if part.numbered is not None and part.by is self.numbers:
            return part.numbered
        rows = part.rows
        found: dict[str, list[Row]] = {}
        if rows.tokens:
            systems = self.numbers.systems
            found[_TOKENS] = [
                (pid, code, system if isinstance(system, int) else systems.get(system) or self.system(system))
                for pid, code, system in rows.tokens
            ]
        if rows.codes:
            self.write_codes(rows.codes)
        if rows.references:
            found["reference"] = list(rows.references)
        if rows.uris:
            found[_URIS] = [(pid, self.phrase(pid, text), derived) for pid, text, derived in rows.uris]
        if rows.strings:
            found["string"] = list(rows.strings)
        if rows.texts:
            found["text"] = [(pid, self.phrase(pid, text)) for pid, text in rows.texts]
        if rows.words:
            found["word"] = list(rows.words)
        if rows.dates:
            found["date"] = list(rows.dates)
        if rows.numbers:
            found["number"] = [
                (pid, 0 if unit is None else self.unit(_write_unit(unit).decode()), *ends)
                for pid, unit, *ends in rows.numbers
            ]
        part.held = _held(found.get(_TOKENS, ()), found.get(_URIS, ()))
        part.pieces = pieces_of(pairs, found) if pairs else None
        part.numbered, part.by = found, self.numbers
        return found

    def system(self, uri: str) -> int:
        """Returns the number of a code system; from 1."""
        return self._number(self.numbers.systems, uri, "system", (uri,))

    def unit(self, written: str) -> int:
        """Returns the number of a unit, which is written as `write_unit` does; from 1."""
        return self._number(self.numbers.units, written, "unit", (written,))

    def phrase(self, pid: int, text: str) -> int:
        """Returns the number of a text of a parameter."""
        return self._number(self.numbers.phrases, (pid, text), "phrase", (pid, text))

    def shape(self, type: int, members: tuple[int, ...]) -> int:
        """Returns the number of a set of parameters that have values."""
        return self._number(self.numbers.shapes, (type, *members), "shape", (type, members))

    def pairing(self, pairing: Pairing) -> int:
        """Returns the number of a pairing."""
        return self._number(self.numbers.pairings, pairing, "pairing", pairing)

    def write_codes(self, codes: set[Code]) -> None:
        """Takes texts of codes: those that it does not remember are written."""
        if new := codes - self.numbers.codes:
            self._write_codes(sorted(new))
            if len(self.numbers.codes) > MOST_NUMBERS:
                self.numbers.codes.clear()
            self.numbers.codes |= new

    def _number(self, known: dict[_Key, int], key: _Key, table: str, values: Row) -> int:
        number = known.get(key)
        if number is None:
            if len(known) >= MOST_NUMBERS:
                known.clear()
            number = known[key] = self._new(table, values)
        return number

    @abstractmethod
    def _new(self, table: str, values: Row) -> int: ...

    @abstractmethod
    def _write_codes(self, codes: Sequence[Code]) -> None: ...


class FileNumbering(Numbering):
    """The numbers of an index file. To be used in a transaction of `connection`."""

    def __init__(self, connection: sqlite3.Connection, numbers: Numbers) -> None:
        super().__init__(numbers)
        self._connection = connection

    def _new(self, table: str, values: Row) -> int:
        if table == "shape":
            return self._new_shape(*values)
        columns = _COLUMNS[table]
        where = " AND ".join(f"{column} = ?" for column in columns)
        row = self._connection.execute(f"SELECT number FROM {table} WHERE {where}", values).fetchone()
        return int(row[0]) if row else self._inserted(table, values)

    def _new_shape(self, type: int, members: tuple[int, ...]) -> int:
        packed = _pack(members)
        query = "SELECT number FROM shape WHERE type = ? AND members = ?"
        row = self._connection.execute(query, (type, packed)).fetchone()
        if row is not None:
            return int(row[0])
        number = self._inserted("shape", (type, packed))
        pairs = [(member, number) for member in members]
        self._connection.executemany("INSERT INTO shape_parameter VALUES (?, ?)", pairs)
        return number

    def _inserted(self, table: str, values: Row) -> int:
        columns = _COLUMNS[table]
        insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        return int(self._connection.execute(insert, values).lastrowid or 0)

    def _write_codes(self, codes: Sequence[Code]) -> None:
        self._connection.executemany("INSERT OR IGNORE INTO code VALUES (?, ?, ?)", codes)


class OwnNumbering(Numbering):
    """Numbers from 1 on, of no file. `new`: the values of those that were given last, by table, in the order of their
    numbers, and the texts of codes.
    """

    def __init__(self) -> None:
        super().__init__(Numbers())
        self._given = dict.fromkeys(_COLUMNS, 0)
        self.new: dict[str, list[Row]] = {table: [] for table in _COLUMNS}
        self.codes: list[Code] = []

    @property
    def full(self) -> bool:
        """Whether there are so many that others should be begun with."""
        return max(*self._given.values(), len(self.numbers.codes)) >= MOST_NUMBERS

    def taken(self) -> tuple[dict[str, list[Row]], list[Code]]:
        """Returns what is new since the last call."""
        new, codes = self.new, self.codes
        self.new, self.codes = {table: [] for table in _COLUMNS}, []
        return new, codes

    def _new(self, table: str, values: Row) -> int:
        self.new[table].append(values)
        self._given[table] += 1
        return self._given[table]

    def _write_codes(self, codes: Sequence[Code]) -> None:
        self.codes += codes


def held_of(parts: Iterable[Part]) -> tuple[bytes, list[int], list[int]]:
    """Returns what a resource is to remember of its rows in tables without an index by resource, in as few bytes: a
    first piece, the numbers of the systems of its tokens, and its uris, one row after the other.

    The piece has the numbers of parameters as differences, and codes as eight bytes each. `parts`: numbered ones.
    """
    held = sorted([part.held for part in parts if part.held is not None])
    differences: list[int] = []
    systems: list[int] = []
    uris: list[int] = []
    last = 0
    for first, following, end, _, its_systems, its_uris in held:
        if its_systems:
            differences.append(first - last)
            differences += following
            systems += its_systems
            last = end
        uris += its_uris
    codes = b"".join([one[3] for one in held])
    return b"%b%b%b" % (_FOUR, _pack(differences), _pack(codes)), systems, uris


def _held(tokens: Sequence[Row], uris: Sequence[Row]) -> Held | None:
    if not tokens and not uris:
        return None
    ordered = sorted(tokens)
    pids = [pid for pid, _, _ in ordered]
    codes = struct.pack(f"<{len(ordered)}q", *[code for _, code, _ in ordered])
    systems = tuple([system for _, _, system in ordered])
    following = tuple([pid - before for before, pid in pairwise(pids)])
    first, last = (pids[0], pids[-1]) if pids else (0, 0)
    return first, following, last, codes, systems, tuple(chain.from_iterable(uris))


def packed(piece: bytes, systems: Sequence[int], uris: Sequence[int]) -> bytes:
    """Returns the column `held` of the table `resource`: an array of four, of which `piece` has the first two."""
    return b"%b%b%b" % (piece, _pack(systems), _pack(uris))


def unit_of(written: str) -> Unit:
    """Returns a unit of the table `unit`."""
    return _read_unit(written)


_read_unit = msgspec.json.Decoder(tuple[str | None, str | None, str | None]).decode
