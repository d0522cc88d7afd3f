"""Sheets: the rows of many resources, made in one process and written by another.

A sheet is a message of few, large fields: each column of a table is one array. `r`, the last column of each, says
which resource of the sheet a row belongs to. Rows lie in the order of their table, so that inserting them is cheap,
and resources in the order of the numbers that they should have (`rid_of`).

Texts have numbers of the process that made the sheet (`OwnNumbering`); a sheet has those that are new since the one
before it. `SheetTexts` keeps them for the writer, and knows which numbers the file has for them. What is not applied
leaves nothing in the file: where a sheet is not applied as a whole, no later one that builds on its texts is.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from fhirstore.index.local.extract import Extractor
from fhirstore.index.local.numbering import Code, FileNumbering, Numbers, OwnNumbering, Row, held_of, packed
from fhirstore.index.local.pairs import MOST_PAIRS, Pairing
from fhirstore.index.local.rows import BARE, NO_SYSTEM, ONLY_BY_CODE
from fhirstore.index.local.schema import VALUES, rid_of

Written: TypeAlias = tuple[str, str, int, bytes]
"""Of a version: type, id, time of the first event of the resource (epoch ms), content."""
Column: TypeAlias = bytes | list[str]
"""Whole numbers, eight bytes each in the order of this machine; texts, or bytes as texts of Latin-1."""
_KINDS = {("string", 1): "text", ("number", 3): "bytes", ("number", 4): "bytes", ("pair of sizes", 1): "bytes"}
"""The columns that are no numbers: table and place."""
_SIZES = "pair of sizes"  # those rows of `pair` whose values are bytes
_TEXTS = {
    "token": (2, "systems"),
    "uri": (1, "phrases"),
    "text": (1, "phrases"),
    "number": (1, "units"),
    "pair": (0, "pairings"),
    _SIZES: (0, "pairings"),
}
"""The columns of tables that hold numbers of texts."""


class Sheet(msgspec.Struct, array_like=True, frozen=True):
    """`revision`: of the parameters of the rows. `place`: among the sheets with the same numbers of texts, from 0.

    `order`: which of the versions that were given each resource is. `names`, `rids`, `shapes`: of each resource the
    hash of its name, the number that it should have, the number of its shape. `cut`: those that have more rows than are
    indexed. `held`: see `held_of`. `tables`: columns by table.
    """

    revision: int
    place: int
    systems: list[tuple[str]]
    units: list[tuple[str]]
    phrases: list[tuple[int, str]]
    shapes_of: list[tuple[int, tuple[int, ...]]]
    pairings: list[Pairing]
    codes: list[Code]
    order: list[int]
    names: bytes
    rids: bytes
    shapes: bytes
    cut: list[int]
    held: list[tuple[bytes, list[int], list[int]]]
    tables: dict[str, list[Column]]

    def columns(self, texts: FileTexts) -> Iterator[tuple[str, list[Sequence[Any]]]]:
        """Yields tables, with the columns of rows, with the numbers of the file; the last one is `r`."""
        for table in self.tables:
            yield ("pair" if table == _SIZES else table), self._columns(table, texts)

    def _columns(self, table: str, texts: FileTexts) -> list[Sequence[Any]]:
        found: list[Sequence[Any]] = [
            whole(one) if isinstance(one, bytes) else one for one in self.tables.get(table, ())
        ]
        for place, column in enumerate(found):
            if _KINDS.get((table, place)) == "bytes":
                found[place] = [one.encode("latin-1") for one in column]
        if table in _TEXTS:
            place, which = _TEXTS[table]
            numbers: Sequence[int] | Mapping[int, int] = getattr(texts, which)
            found[place] = [numbers[one] for one in found[place]]
        return found

    def held_in(self, r: int, texts: FileTexts) -> bytes:
        """Returns the column `held` of a resource."""
        piece, systems, uris = self.held[r]
        if uris:
            uris = uris.copy()
            uris[1::3] = [texts.phrases[one] for one in uris[1::3]]
        return packed(piece, [texts.systems[one] for one in systems], uris)


class SheetMaker:
    """Makes sheets with the rows of an extractor."""

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor
        self._numbering = OwnNumbering()
        self._made = 0

    def sheet(self, versions: Sequence[Written], *, anew: bool = False) -> Sheet:
        """Returns the sheet of these versions, each of another resource. Raises MalformedContent; then the maker is of
        no use any more. `anew`: with new numbers.
        """
        if anew or self._numbering.full:
            self._numbering, self._made = OwnNumbering(), 0
        extractor, numbering = self.extractor, self._numbering
        names = [f"{type_}/{id_}" for type_, id_, _, _ in versions]
        rids = [rid_of(one[2], name) for one, name in zip(versions, names, strict=True)]
        order = sorted(range(len(versions)), key=rids.__getitem__)
        tables: dict[str, list[tuple[Row, list[Row]]]] = {table: [] for table in (*VALUES, _SIZES)}
        shapes: list[int] = []
        cut: list[int] = []
        held: list[tuple[bytes, list[int], list[int]]] = []
        for r, place in enumerate(order):
            type_, _, _, content = versions[place]
            found = extractor.extract(type_, content)
            tail = (r,)
            members: list[int] = []
            pairs = extractor.catalogue.pairs(type_)
            for part in found.parts:
                for table, rows in numbering.numbered(part, pairs).items():
                    tables[table].append((tail, rows))
                members += part.rows.shape
            much = found.cut
            if pairs:
                paired = numbering.paired(pairs, [one.pieces for one in found.parts if one.pieces is not None])
                much = much or len(paired) > MOST_PAIRS
                for row in paired:
                    tables[_SIZES if isinstance(row[1], bytes) else "pair"].append((tail, [row]))
            members.sort()
            shapes.append(numbering.shape(extractor.catalogue.type_number(type_), tuple(members)))
            held.append(held_of(found.parts))
            if much:
                cut.append(r)
        new, codes = numbering.taken()
        self._made += 1
        return Sheet(
            extractor.catalogue.revision,
            self._made - 1,
            new["system"],
            new["unit"],
            new["phrase"],
            new["shape"],
            new["pairing"],
            codes,
            order,
            _bytes([extractor.hashed(names[place]) for place in order]),
            _bytes([rids[place] for place in order]),
            _bytes(shapes),
            cut,
            held,
            {table: _columns(table, rows) for table, rows in tables.items() if rows},
        )


def _columns(table: str, some: list[tuple[Row, list[Row]]]) -> list[Column]:
    rows = [row + tail for tail, its in some for row in its]
    rows.sort()
    return [_column(_KINDS.get((table, place)), one) for place, one in enumerate(zip(*rows, strict=True))]


def _column(kind: str | None, values: Sequence[Any]) -> Column:
    match kind:
        case "text":
            return list(values)
        case "bytes":
            return [one.decode("latin-1") for one in values]
    return _bytes(values)


def _bytes(numbers: Sequence[int]) -> bytes:
    return array("q", numbers).tobytes()


def whole(column: bytes) -> array[int]:
    """Returns a column of whole numbers."""
    found = array("q")
    found.frombytes(column)
    return found


_STAND_INS = {one: one for one in (NO_SYSTEM, BARE, ONLY_BY_CODE)}


@dataclass(slots=True)
class FileTexts:
    """The numbers that a file has for the texts of sheets: by their number there. Of systems, the stand-ins too."""

    systems: dict[int, int] = field(default_factory=lambda: dict(_STAND_INS))
    units: list[int] = field(default_factory=lambda: [0])
    phrases: list[int] = field(default_factory=lambda: [0])
    shapes: list[int] = field(default_factory=lambda: [0])
    pairings: list[int] = field(default_factory=lambda: [0])
    codes: int = 0
    """How many texts of codes are written."""

    @property
    def known_systems(self) -> int:
        """How many there are, without the stand-ins."""
        return len(self.systems) - len(_STAND_INS)


class SheetUnfit(Exception):
    """The sheet cannot be applied as a whole: the rows are to be made again, here."""


class SheetTexts:
    """The texts of sheets with the same numbers, as far as they were applied. `spoiled`: no other one can be."""

    def __init__(self) -> None:
        self.spoiled = False
        self._taken = 0
        self._systems: list[str] = []
        self._units: list[str] = []
        self._phrases: list[tuple[int, str]] = []
        self._shapes: list[tuple[int, tuple[int, ...]]] = []
        self._pairings: list[Pairing] = []
        self._codes: list[Code] = []
        self._found = FileTexts()
        self._by: Numbers | None = None

    def of_file(self, sheet: Sheet, numbering: FileNumbering) -> FileTexts:
        """Returns the numbers that the file has for the texts of a sheet, which is going to be applied, and of those
        before it; gives those that are missing. In a transaction. Raises SheetUnfit where one before it was not.
        """
        if sheet.place > self._taken:
            raise SheetUnfit
        if sheet.place == self._taken:
            self._taken += 1
            self._systems += [uri for (uri,) in sheet.systems]
            self._units += [written for (written,) in sheet.units]
            self._phrases += sheet.phrases
            self._shapes += sheet.shapes_of
            self._pairings += sheet.pairings
            self._codes += sheet.codes
        if self._by is not numbering.numbers:
            self._by, self._found = numbering.numbers, FileTexts()
        found = self._found
        for number, uri in enumerate(self._systems[found.known_systems :], found.known_systems + 1):
            found.systems[number] = numbering.system(uri)
        found.units += [numbering.unit(written) for written in self._units[len(found.units) - 1 :]]
        found.phrases += [numbering.phrase(*one) for one in self._phrases[len(found.phrases) - 1 :]]
        found.shapes += [numbering.shape(*one) for one in self._shapes[len(found.shapes) - 1 :]]
        found.pairings += [
            numbering.pairing((pid, code, found.systems[system], other, found.units[unit]))
            for pid, code, system, other, unit in self._pairings[len(found.pairings) - 1 :]
        ]
        if codes := self._codes[found.codes :]:
            numbering.write_codes(set(codes))
            found.codes += len(codes)
        return found
