"""What a search sorts by: expressions of a resource, and where possible the rows of the index in the order of the key.

Of several values, the lowest counts; with a descending key, the highest. Of a date or a number that is a span, its
begin does. Texts are sorted as they are searched, without case and accents.

https://hl7.org/fhir/R4/search.html#sort
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fhirstore.errors import CursorExpired, InvalidResource, Unsupported
from fhirstore.index.local.catalogue import Indexed
from fhirstore.index.local.rows import ONLY_BY_CODE
from fhirstore.search.criteria.criterion import SortKey
from fhirstore.search.plans.conditions import Conditions
from fhirstore.search.plans.elements import check
from fhirstore.search.plans.order import Key
from fhirstore.search.plans.plan import Planner
from fhirstore.search.plans.sources import Source, several
from fhirstore.search.plans.values import BOOLEANS, Values

_OF_RESOURCE = {"_id": "id", "_lastUpdated": "t"}
_COLUMNS = {"date": "{x}.low", "number": "{x}.low", "string": "ltrim({x}.text, '+')"}
_LOOKED_UP = ("token", "uri", "reference", "quantity")
_TEXTS = {"token": ("code c", "c.pid = {x}.pid AND c.code = {x}.code"), "uri": ("phrase c", "c.number = {x}.phrase")}
"""Where the texts of rows are, in their order, and how rows are joined with them."""
_FEW_CODES = 200
"""Codes of which each is walked by itself."""


@dataclass(frozen=True, slots=True)
class Walk:
    """Rows of a table that come in the order of `column` and so in that of the key, which is what follows `mark` in it.

    `texts`: the table that is walked first, if any. `many`: a resource may have several rows, of which only the one
    with its key counts.
    """

    source: Source
    column: str
    mark: str = ""
    many: bool = False
    texts: str = ""

    @property
    def constant(self) -> bool:
        """Whether all its rows have one key."""
        return self.column.startswith(":")

    @property
    def key(self) -> str:
        """The expression of the key."""
        return f"substr({self.column}, {len(self.mark) + 1})" if self.mark else self.column

    def bound(self, place: Key) -> Key:
        """Returns what the column is where the key is `place`."""
        return self.mark + place if isinstance(place, str) else place


@dataclass(frozen=True, slots=True)
class Keys:
    """The sort keys of one search. `type`: of the resources; any, where the keys are about the resource itself."""

    planner: Planner
    type: str
    sort: Sequence[SortKey]

    def expressions(self) -> list[str | None]:
        """Returns the expression of each key of the resource `{d}`; None where it is looked up (`of`).

        Raises InvalidResource, Unsupported.
        """
        return [self._expression(key) for key in self.sort]

    def of(self, rids: Sequence[int]) -> dict[int, tuple[Key, ...]]:
        """Returns the keys of these resources."""
        bind = self.planner.bind
        columns = [one or "NULL" for one in self.expressions()]
        listed = "".join(f", {one}" for one in columns).replace("{d}", "d.value")
        statement = f"SELECT d.value{listed} FROM json_each({bind.listed(rids)}) d"
        rows = self.planner.reader.connection.execute(statement, bind.values)
        found: dict[int, list[Key]] = {row[0]: list(row[1:]) for row in rows}
        for number, (key, column) in enumerate(zip(self.sort, columns, strict=True)):
            if column == "NULL":
                values = Values(self.planner).of(self._indexed(key), rids, highest=key.descending)
                for rid, value in values.items():
                    found[rid][number] = value
        return {rid: tuple(keys) for rid, keys in found.items()}

    def lacks(self) -> str:
        """Returns the test whether the resource `{d}` has no value of the first key; it is empty where all have one."""
        if self.sort[0].code in _OF_RESOURCE:
            return ""
        indexed = self._indexed(self.sort[0])
        rows = _rows(indexed)
        if indexed.kind in _COLUMNS:
            return f"NOT ({rows.exists('{d}', self.planner.at, self.planner.bind, 0)})"
        coded = f" AND s.code IN (SELECT code FROM code WHERE pid = {indexed.pid})" if indexed.kind == "token" else ""
        if "boolean" in indexed.path.types:
            coded = ""
        arms = [
            f"SELECT s.rid FROM {table} s WHERE {rows.on('s')}{coded}{valid}"
            for table, valid in self.planner.at.tables(indexed.kind, "s", self.planner.bind)
        ]
        return f"{{d}} NOT IN ({' UNION ALL '.join(arms)})"

    def walks(self, of_type: Source) -> list[Walk]:
        """Returns walks whose rows, merged, come in the order of the first key; none where the index has no such order.

        `of_type`: all resources that are searched.
        """
        if self.sort[0].code == "_lastUpdated":
            return [Walk(of_type, "{x}.t")]
        return [] if self.sort[0].code in _OF_RESOURCE else list(self._of_rows(self._indexed(self.sort[0])))

    def date(self) -> Indexed | None:
        """Returns the first key where it is a date."""
        if not self.sort or self.sort[0].code in _OF_RESOURCE:
            return None
        indexed = self._indexed(self.sort[0])
        return indexed if indexed.kind == "date" else None

    def walks_of_pairs(self, sources: Sequence[Source]) -> list[Walk]:
        """Returns walks of pairs with the first key, a date."""
        date = self.date() if sources else None
        many = date is not None and several(self.planner.reader, date)
        return [Walk(one, "{x}.low", many=many) for one in sources]

    def _of_rows(self, indexed: Indexed) -> Iterator[Walk]:
        rows, many = _rows(indexed).test, several(self.planner.reader, indexed)
        match indexed.kind:
            case "string":  # one name has several texts; those with a mark are a range of their own
                for mark, test in (
                    ("", "{x}.text < '+'"),
                    ("+", "{x}.text >= '+' AND {x}.text < ','"),
                    ("", "{x}.text >= '.'"),
                ):
                    yield Walk(Source("string", f"{rows} AND {test}"), "{x}.text", mark, many=True)
            case "date" | "number":
                unit = " AND {x}.unit = 0" if indexed.kind == "number" else ""
                for wide in (0, 1):
                    yield Walk(Source(indexed.kind, f"{rows}{unit} AND {{x}}.wide = {wide}"), "{x}.low", many=many)
            case "token" if (codes := self._codes(indexed)) is not None:
                for code, text, system in codes:  # a concept has several codings, which may have one code
                    test = f"{rows} AND {{x}}.code = {self.planner.bind(code)} AND {{x}}.system = {system}"
                    yield Walk(Source("token", test), self.planner.bind(text), many=True)
            case "token" | "uri":
                table, joined = _TEXTS[indexed.kind]
                test = f"{rows} AND c.pid = {indexed.pid} AND {joined}"
                yield Walk(Source(indexed.kind, test), "c.text", many=many or indexed.kind == "token", texts=table)

    def _codes(self, indexed: Indexed) -> list[tuple[int, str, int]] | None:
        """Returns the codes that resources have, each with its text and system; None where they are many."""
        reader = self.planner.reader
        if "boolean" in indexed.path.types:
            return [(reader.hashed(text), text, ONLY_BY_CODE) for text in BOOLEANS]
        query = f"SELECT code, text FROM code WHERE pid = ? LIMIT {_FEW_CODES + 1}"
        codes: list[tuple[int, str]] = reader.connection.execute(query, (indexed.pid,)).fetchall()
        if len(codes) > _FEW_CODES:
            return None
        make = Conditions(reader, self.planner.bind, self.planner.now)
        return [(code, text, system) for code, text in codes for system in sorted(set(make.systems(indexed.pid, code)))]

    def _expression(self, key: SortKey) -> str | None:
        at, bind = self.planner.at, self.planner.bind
        if key.code in _OF_RESOURCE:
            arms = [
                f"SELECT s.{_OF_RESOURCE[key.code]} AS v FROM {table} s WHERE s.rid = {{d}}{valid}"
                for table, valid in at.tables("resource", "s", bind)
            ]
            return f"(SELECT v FROM ({' UNION ALL '.join(arms)}) LIMIT 1)"
        indexed = self._indexed(key)
        if indexed.kind not in _COLUMNS:
            return None
        best = "max" if key.descending else "min"
        arms = [
            f"SELECT {_COLUMNS[indexed.kind].replace('{x}', 's')} AS v FROM {table} s INDEXED BY {table}_by_rid"
            f" WHERE s.rid = {{d}} AND {_rows(indexed).on('s')}{valid}"
            for table, valid in at.tables(indexed.kind, "s", bind)
        ]
        return f"(SELECT {best}(v) FROM ({' UNION ALL '.join(arms)}))"

    def _indexed(self, key: SortKey) -> Indexed:
        indexed = self.planner.reader.catalogue.parameters(self.type).get(key.code)
        if indexed is None:
            raise InvalidResource("_sort names what is no search parameter of the type", code="not-supported")
        check(self.planner.reader, indexed, self.planner.at.seq)
        if not indexed.has_order or indexed.kind not in (*_COLUMNS, *_LOOKED_UP):
            what = indexed.kind if indexed.has_order else "identifiers and ids"
            raise Unsupported(f"_sort by '{indexed.name}' ({what}) is not supported")
        return indexed


def keys_of(planner: Planner, sort: Sequence[SortKey], rid: int) -> tuple[Key, ...]:
    """Returns the sort keys of a resource. Raises CursorExpired where it was not there then, or may not be found."""
    reader, bind = planner.reader, planner.bind
    types = [
        int(row[0])
        for table, valid in planner.at.tables("resource", "r", bind)
        for row in reader.connection.execute(
            f"SELECT r.type FROM {table} r WHERE r.rid = {bind(rid)}{valid}", bind.values
        )
    ]
    if not types or not planner.sees(reader.catalogue.type_name(types[0]), rid):
        raise CursorExpired("The match that the cursor names is not known any more; start again without the cursor")
    return Keys(planner, reader.catalogue.type_name(types[0]), sort).of([rid])[rid]


def _rows(indexed: Indexed) -> Source:
    """Returns the rows that hold the values, each whole."""
    whole = {"string": " AND {x}.exact <> 0", "uri": " AND {x}.derived = 0"}.get(indexed.kind, "")
    return Source("number" if indexed.kind == "quantity" else indexed.kind, f"{{x}}.pid = {indexed.pid}{whole}")
