"""Rows of composites whose components belong together in one element, such as the code and the value of a component.

They are rows like all others, under numbers that are hashes: of the branch of the composite and of the *key*, what the
element has of the components that are compared for equality (tokens, references). So an element with a code and a
value has a row for the value, in its table, under a number that stands for the code. A search that knows the code
computes the number, and then looks for the value as for any other.

| components | rows |
|---|---|
| tokens, references and one other; or nothing else | the other, or the last of them, under the number of the key |
| several others | each under the number of the key, its place, and which element with that key it is: 0, 1 … |

Tokens of keys have rows as well, so that a search finds the systems of a code and the codes of a system.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

from fhirstore.index.local.catalogue import Indexed, Side
from fhirstore.index.local.hashing import Hash

if TYPE_CHECKING:
    from fhirstore.index.local.rows import Rows

MOST_ELEMENTS = 64
"""Elements of one resource with the same key, of composites with several components that are not part of it."""
MOST_KEYS = 256
"""Keys of one element."""
MOST_VALUES = 5_000
"""Values, each with each key, of one branch in one resource. What is beyond these limits is not indexed."""

Adding: TypeAlias = Callable[[Indexed, list[object]], "Rows"]
"""Returns the rows of values of a parameter."""


def places(side: Side) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns which components are the key, and which are the others."""
    keys = [place for place, part in enumerate(side.parts) if part.kind in ("token", "reference")]
    others = [place for place in range(len(side.parts)) if place not in keys]
    if not others:
        others = [keys.pop()]
    return tuple(keys), tuple(others)


def token_of(side: Side, place: int, hashed: Hash) -> Indexed:
    """Returns the parameter under which the tokens of a component of keys have rows."""
    part = side.parts[place]
    return replace(part, pid=_number(hashed(f"\x1e{part.type} {side.text}\x1f{place}")))


def value_of(side: Side, place: int, key: Sequence[str], hashed: Hash, nth: int = 0) -> Indexed:
    """Returns the parameter under which the values of a component have rows, in elements with this key. `nth`: of these
    elements, where there are several others.
    """
    part = side.parts[place]
    return replace(part, pid=_number(hashed("\x1f".join((f"\x1e{part.type} {side.text}", *key, str(nth), str(place))))))


def _number(hash: int) -> int:
    """Returns a number that no parameter of a catalogue has."""
    return hash | 1 << 62


def key_of_token(code: int, system: str | int) -> str:
    """Returns what a token is in a key. `code`: its hash. `system`: its URI, or a stand-in."""
    return f"{code} {system}"


def key_of_reference(target: int) -> str:
    """Returns what a reference is in a key. `target`: the hash of a spelling."""
    return str(target)


def element_rows(side: Side, elements: list[object], rows: Rows, hashed: Hash, add: Adding) -> None:
    """Adds the rows of elements: of each, the values of each component."""
    key_places, others = places(side)
    several = len(others) > 1
    met: dict[tuple[str, ...], int] = {}
    room = MOST_VALUES
    for element in elements:
        if not isinstance(element, list) or not all(element[place] for place in others):
            continue
        keys = product(*(_keys(side, place, element[place], rows, hashed=hashed, add=add) for place in key_places))
        for number, key in enumerate(keys):
            nth = met.get(key, 0)
            room -= sum(len(element[place]) for place in others)
            if number == MOST_KEYS or nth == MOST_ELEMENTS or room < 0:
                rows.cut = True
                break
            if several:
                met[key] = nth + 1
            for place in others:
                _merge(rows, add(value_of(side, place, key, hashed, nth), element[place]))


def _keys(side: Side, place: int, values: list[object], rows: Rows, *, hashed: Hash, add: Adding) -> list[str]:
    """Returns what an element has of a component of keys, after adding its rows."""
    found = add(token_of(side, place, hashed), values)
    if side.parts[place].kind == "reference":
        return sorted({key_of_reference(target) for _, target in found.references})
    rows.tokens |= found.tokens
    return sorted({key_of_token(code, system) for _, code, system in found.tokens})


def _merge(rows: Rows, others: Rows) -> None:
    rows.tokens |= others.tokens
    rows.references |= others.references
    rows.uris |= others.uris
    rows.strings |= others.strings
    rows.texts |= others.texts
    rows.dates |= others.dates
    rows.numbers |= others.numbers
