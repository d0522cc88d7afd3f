"""Pairs: a code of a resource together with another value of it, in the order of the values.

Few resources have a code and a value, though many have one of them. The rows of a code alone come in no order of the
values, and those of the values are of all codes; of a pair, a search reads the rows that it shows, and no others.

| pair | what is read |
|---|---|
| code, date | the newest of a code (`code=…&_sort=-date`) |
| code, value-quantity | the measurements between two bounds (`code=…&value-quantity=gt…`) |
| code, patient | whether a patient has a code (`_has:Condition:patient:code=…`), and which (`patient=…&code=…`) |

A code with its system, the other parameter, and of a quantity its unit, have one number, the *pairing*. The value is
that by which its own table is ordered: where a date begins, the size of a quantity, the hash of a patient. Quantities
that are `wide` have no pairs, since their size is no point.

The rows follow from other rows of the resource, so nothing else says which ones it has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from fhirstore.index.local.catalogue import Indexed

MOST_PAIRS = 5_000
"""Pairs of one resource. What is beyond is not indexed, and the resource is known as `cut`."""
CODE = "code"
OTHERS = {"date": "date", "value-quantity": "quantity", "patient": "reference"}
"""The parameters that pairs have beside a code, each with its kind."""
PAIRED = ("token", "date", "number", "reference")
"""The tables with the rows that are paired."""
PAIRING = ("pid", "code", "system", "other", "unit")
"""The number of the parameter of the code, its hash, its system, the number of the other parameter, the unit or 0."""

Row: TypeAlias = tuple[Any, ...]
Pairing: TypeAlias = tuple[int, int, int, int, int]
Pieces: TypeAlias = tuple[list[Row], list[list[tuple[int, Any]]]]
"""The rows of the code; and of each pair the other values, each with its unit or 0."""


@dataclass(frozen=True, slots=True)
class Paired:
    """Two parameters of a type whose values are paired."""

    code: Indexed
    other: Indexed


def paired(parameters: Mapping[str, Indexed]) -> tuple[Paired, ...]:
    """Returns the pairs of a type. `parameters`: of the release, by name."""
    code = parameters.get(CODE)
    if code is None or code.kind != "token" or "Identifier" in code.path.types:
        return ()
    others = (parameters[name] for name, kind in OTHERS.items() if name in parameters and parameters[name].kind == kind)
    return tuple(Paired(code, other) for other in others)


def pieces_of(pairs: Sequence[Paired], rows: Mapping[str, Collection[Row]]) -> Pieces | None:
    """Returns what rows give to the pairs of a type, which all have the same code; None where that is nothing. `rows`:
    by table, each once; those of one parameter are given together.
    """
    pid = pairs[0].code.pid
    codes = [row for row in rows.get("token", ()) if row[0] == pid]
    values = [_VALUES[one.other.kind](rows, one.other.pid) for one in pairs]
    return (codes, values) if codes or any(values) else None


def pairs_of(pairs: Sequence[Paired], pieces: Sequence[Pieces]) -> list[tuple[Pairing, int | bytes]]:
    """Returns the pairs that a resource has, one more than `MOST_PAIRS` at most. `pieces`: of all its rows."""
    return list(islice(_pairs(pairs, pieces), MOST_PAIRS + 1))


def _pairs(pairs: Sequence[Paired], pieces: Sequence[Pieces]) -> Iterator[tuple[Pairing, int | bytes]]:
    codes = sorted([row for some, _ in pieces for row in some])
    for place, one in enumerate(pairs) if codes else ():
        other = one.other.pid
        values = sorted([value for _, some in pieces for value in some[place]])
        for (pid, code, system), (unit, value) in product(codes, values):
            yield (pid, code, system, other, unit), value


def _dates(rows: Mapping[str, Collection[Row]], pid: int) -> list[tuple[int, int]]:
    return [(0, row[2]) for row in rows.get("date", ()) if row[0] == pid]


def _sizes(rows: Mapping[str, Collection[Row]], pid: int) -> list[tuple[int, bytes]]:
    return [(row[1], row[3]) for row in rows.get("number", ()) if row[0] == pid and not row[2]]


def _targets(rows: Mapping[str, Collection[Row]], pid: int) -> list[tuple[int, int]]:
    return [(0, row[1]) for row in rows.get("reference", ()) if row[0] == pid]


_VALUES: Mapping[str, Callable[[Mapping[str, Collection[Row]], int], list[tuple[int, Any]]]] = {
    "date": _dates,
    "quantity": _sizes,
    "reference": _targets,
}
