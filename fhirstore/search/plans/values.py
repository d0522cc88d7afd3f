"""The values that resources are sorted by where no expression of the index gives them: of tokens, uris, references and
quantities.

Tokens and uris are sorted as texts: those of codes, whatever their systems. References are sorted by `Type/id`; one
whose target is not here, or is hidden, has no value. Quantities are sorted by their dimension, then by size, so that
units that convert into each other are mixed: 900 mg, 1 g.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from fhirstore.fhir.search_parameters.units import UCUM, Unit, converted, unit_of
from fhirstore.index.local.apply import tokens_held, uris_held
from fhirstore.index.local.catalogue import Indexed
from fhirstore.index.local.decimals import number_and_place, sort_key
from fhirstore.index.local.rows import Unit as Written
from fhirstore.search.plans.order import Key
from fhirstore.search.plans.plan import Planner
from fhirstore.search.plans.sources import Binder

BOOLEANS = ("false", "true")


@dataclass(frozen=True, slots=True)
class Values:
    """Looks values up for the searches of a planner."""

    planner: Planner

    def of(self, indexed: Indexed, rids: Sequence[int], *, highest: bool) -> dict[int, Key]:
        """Returns the lowest value of each of these resources, or the highest; None where it has none."""
        found: defaultdict[int, list[int | str | bytes]] = defaultdict(list)
        for rid, value in _READERS[indexed.kind](self, indexed, rids):
            found[rid].append(value)
        best = max if highest else min
        return {rid: best(found[rid]) if rid in found else None for rid in rids}

    def tokens(self, indexed: Indexed, rids: Sequence[int]) -> Iterator[tuple[int, str]]:
        """Yields resources with the texts of their codes."""
        codes: defaultdict[int, list[int]] = defaultdict(list)
        for rid, code, system in self._held("token", ("code", "system"), indexed, rids):
            del system
            codes[code].append(rid)
        hashed = self.planner.reader.hashed
        texts = {hashed(text): text for text in BOOLEANS} if "boolean" in indexed.path.types else {}
        bind = Binder()
        query = f"SELECT code, text FROM code WHERE pid = {indexed.pid} AND code IN {bind.any_of(codes)}"
        texts |= dict(self.planner.reader.connection.execute(query, bind.values))
        for code, its in codes.items():
            for rid in its if code in texts else ():
                yield rid, texts[code]

    def uris(self, indexed: Indexed, rids: Sequence[int]) -> Iterator[tuple[int, str]]:
        """Yields resources with their uris as written."""
        phrases: defaultdict[int, list[int]] = defaultdict(list)
        for rid, phrase, derived in self._held("uri", ("phrase", "derived"), indexed, rids):
            if not derived:
                phrases[phrase].append(rid)
        bind = Binder()
        query = f"SELECT number, text FROM phrase WHERE number IN {bind.any_of(phrases)}"
        for phrase, text in self.planner.reader.connection.execute(query, bind.values):
            for rid in phrases[phrase]:
                yield rid, text

    def references(self, indexed: Indexed, rids: Sequence[int]) -> Iterator[tuple[int, str]]:
        """Yields resources with the names of what they refer to."""
        planner = self.planner
        bind = Binder()
        limited = Planner(planner.reader, planner.at, planner.now, bind, planner.limits)
        visible = limited.visible(planner.reader.types, "t")
        some = bind.any_of(rids)
        for table, valid in planner.at.tables("reference", "x", bind):
            for target, there in planner.at.tables("resource", "t", bind):
                query = (
                    f"SELECT x.rid, t.type, t.id FROM {table} x INDEXED BY {table}_by_rid CROSS JOIN {target} t"
                    f" ON t.name = x.target WHERE x.rid IN {some} AND x.pid = {indexed.pid}{valid}{there}"
                    f"{f' AND {visible}' if visible else ''}"
                )
                for rid, type_, id_ in planner.reader.connection.execute(query, bind.values):
                    yield rid, f"{planner.reader.catalogue.type_name(type_)}/{id_}"

    def quantities(self, indexed: Indexed, rids: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Yields resources with the dimensions and sizes of their quantities."""
        planner, bind = self.planner, Binder()
        units = {number: _dimension(unit) for number, unit in planner.reader.units().items()}
        some = bind.any_of(rids)
        for table, valid in planner.at.tables("number", "x", bind):
            query = (
                f"SELECT x.rid, x.unit, x.low FROM {table} x INDEXED BY {table}_by_rid"
                f" WHERE x.rid IN {some} AND x.pid = {indexed.pid}{valid}"
            )
            for rid, unit, low in planner.reader.connection.execute(query, bind.values):
                name, into = units.get(unit, ("", None))
                number, place = number_and_place(low)
                size = sort_key(number if into is None else converted(number, *into), place)
                yield rid, name.encode() + b"\x00" + size

    def _held(
        self, table: str, columns: tuple[str, str], indexed: Indexed, rids: Sequence[int]
    ) -> Iterator[tuple[int, int, int]]:
        """Yields the rows of a table without an index by resource: `rid`, and two columns."""
        at, reader, bind = self.planner.at, self.planner.reader, Binder()
        pid, some, read = indexed.pid, bind.any_of(rids), _HELD[table]
        begun = f"SELECT since FROM {table} WHERE pid = ? AND {columns[0]} = ? AND {columns[1]} = ? AND rid = ?"
        for rid, held in reader.connection.execute(f"SELECT rid, held FROM resource WHERE rid IN {some}", bind.values):
            for its, one, other in read(held):
                if its == pid and (at.newest or reader.rows(begun, (pid, one, other, rid))[0][0] <= at.seq):  # type: ignore[operator]
                    yield rid, one, other
        if not at.newest:
            _, (old, valid) = at.tables(table, "x", bind)
            query = (
                f"SELECT x.rid, x.{columns[0]}, x.{columns[1]} FROM {old} x INDEXED BY {old}_by_rid"
                f" WHERE x.rid IN {some} AND x.pid = {pid}{valid}"
            )
            yield from reader.connection.execute(query, bind.values)


_HELD = {"token": tokens_held, "uri": uris_held}
_READERS: Mapping[str, Callable[[Values, Indexed, Sequence[int]], Iterator[tuple[int, int | str | bytes]]]] = {
    "token": Values.tokens,
    "uri": Values.uris,
    "reference": Values.references,
    "quantity": Values.quantities,
}


def _dimension(unit: Written) -> tuple[str, tuple[Unit, Unit] | None]:
    """Returns what units that convert into each other have in common, and how numbers of this one convert into it."""
    system, code, written = unit
    known = unit_of(code) if system == UCUM and code else None
    if known is None:
        return f"{system or ''}|{code or written or ''}", None
    return f"{UCUM}|{known.dimension}", (known, Unit(known.dimension, Fraction(1)))
