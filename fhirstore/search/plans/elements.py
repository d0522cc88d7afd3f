"""What is searched for in one element, as alternatives of values that have rows of their own.

The components that are compared for equality come first: all that resources have of them, and that is searched for,
gives keys. For each key, the other components are searched under its number (see `fhirstore.index.local.elements`).

https://hl7.org/fhir/R4/search.html#composite
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

from fhirstore.errors import CursorExpired, InvalidResource
from fhirstore.index.local.catalogue import Indexed
from fhirstore.index.local.elements import (
    MOST_ELEMENTS,
    key_of_reference,
    key_of_token,
    places,
    token_of,
    value_of,
)
from fhirstore.index.local.reader import Reader
from fhirstore.index.local.rows import BARE
from fhirstore.search.criteria.criterion import AnyOf, ByValue, Chained, Criterion, InElement, Missing, Referred
from fhirstore.search.criteria.refusals import NewParameter
from fhirstore.search.plans.conditions import Conditions
from fhirstore.search.plans.sources import Binder

MOST_KEYS = 50
"""Values of one composite parameter, and keys that one value stands for."""
_WITH_SYSTEMS = frozenset(("CodeableConcept", "Coding", "Identifier", "CodeableReference"))
_TABLES = {"quantity": "number"}


def alternatives_of(reader: Reader, criterion: InElement, *, now: int) -> AnyOf:
    """Returns the alternatives. Raises InvalidResource (too-costly) for more than `MOST_KEYS` values, and for one that
    stands for more keys than that; ValueError for a malformed value.

    Keys of several values are not counted together: that would tell which of them other resources have.
    """
    looking = _Looking(reader, criterion, now)
    found: dict[tuple[Criterion, ...], None] = {}
    for texts in criterion.texts:
        looking.check(texts)
        some = list(looking.alternatives(texts))
        found |= dict.fromkeys(some)
        if len(criterion.texts) > MOST_KEYS or len(some) > MOST_KEYS:
            text = f"The search parameter '{criterion.composite.name}' asks for too much at once; name codes"
            raise InvalidResource(text, code="too-costly")
    return AnyOf(tuple(found))


class _Looking:
    """Looks for what resources have of one branch."""

    def __init__(self, reader: Reader, criterion: InElement, now: int) -> None:
        self._reader = reader
        self._side = criterion.side
        self._make = Conditions(reader, Binder(), now)
        self._keys, self._others = places(criterion.side)

    def check(self, texts: Sequence[str]) -> None:
        """Raises ValueError for a malformed value."""
        for part, text in zip(self._side.parts, texts, strict=True):
            self._make.of_value(ByValue(part, "", (text,)))

    def alternatives(self, texts: Sequence[str]) -> Iterator[tuple[Criterion, ...]]:
        """Yields what resources that have an element with these values have."""
        hashed = self._reader.hashed
        for key in product(*(list(self._key(place, texts[place])) for place in self._keys)):
            for nth in range(MOST_ELEMENTS if len(self._others) > 1 else 1):
                some = [(value_of(self._side, place, key, hashed, nth), texts[place]) for place in self._others]
                if nth and not self._is_there(some[0][0]):
                    break
                yield tuple(ByValue(one, "", (text,)) for one, text in some)

    def _key(self, place: int, text: str) -> Iterator[str]:
        part = self._side.parts[place]
        if part.kind == "reference":
            yield from map(key_of_reference, self._make.targets(part, "", (text,)))
            return
        of_tokens = token_of(self._side, place, self._reader.hashed)
        wanted, whole = self._make.coded(of_tokens, (text,))
        for system in whole:
            wanted |= {(code, system) for code in self._make.codes_of(of_tokens, system, most=MOST_KEYS)}
        if part.path.types <= _WITH_SYSTEMS:
            wanted = {(code, system) for code, system in wanted if system != BARE}
        for code, system in sorted(wanted):
            yield key_of_token(code, self._written(system))

    def _written(self, system: int) -> str | int:
        """Returns the URI of a system; a stand-in stays as it is."""
        rows = self._reader.rows("SELECT uri FROM system WHERE number = ?", (system,)) if system > 0 else []
        return str(rows[0][0]) if rows else system

    def _is_there(self, indexed: Indexed) -> bool:
        table = _TABLES.get(indexed.kind, indexed.kind)
        query = " UNION ALL ".join(f"SELECT 1 FROM {one} WHERE pid = ?1" for one in (table, f"{table}_old"))
        return bool(self._reader.rows(f"{query} LIMIT 1", (indexed.pid,)))


def spread(reader: Reader, criteria: Sequence[Criterion], *, seq: int, now: int) -> list[Criterion]:
    """Returns the criteria, with what is searched for in one element as alternatives, and single alternatives as they
    are: all criteria of one must be met. `seq`: the search is as of. Raises InvalidResource, and as `check`.
    """
    found: list[Criterion] = []
    for one in criteria:
        match one:
            case InElement():
                found += spread(reader, [_readable(reader, one, now)], seq=seq, now=now)
            case AnyOf():
                some = tuple(tuple(spread(reader, alternative, seq=seq, now=now)) for alternative in one.alternatives)
                found += some[0] if len(some) == 1 else [replace(one, alternatives=some)]
            case ByValue(indexed) | Missing(indexed) | Chained(indexed) | Referred(indexed):
                check(reader, indexed, seq)
                found.append(one)
            case _:
                found.append(one)
    return found


def check(reader: Reader, indexed: Indexed, seq: int) -> None:
    """Raises CursorExpired where a parameter of the tenant is newer than `seq`, NewParameter where it has changed."""
    if not indexed.ready:  # of the release
        return
    there = reader.catalogue.parameters(indexed.type).get(indexed.name)
    if there is None or there.pid != indexed.pid:
        raise NewParameter(f"The search parameter '{indexed.name}' of {indexed.type} has just been changed; try again")
    if seq < indexed.ready:
        text = f"The search parameter '{indexed.name}' is newer than the moment that this search shows; start again"
        raise CursorExpired(text)


def _readable(reader: Reader, criterion: InElement, now: int) -> AnyOf:
    try:
        return alternatives_of(reader, criterion, now=now)
    except ValueError as wrong:
        name = criterion.composite.name
        raise InvalidResource(f"The search parameter '{name}' cannot be read: {wrong}", code="value") from wrong
