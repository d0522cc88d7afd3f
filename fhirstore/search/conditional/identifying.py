"""The criteria of a search or a conditional interaction, read from its parameters.

Repeated parameters are combined by AND, values separated by commas by OR:
https://hl7.org/fhir/R4/search.html#combining. An unknown parameter is refused by name or, with lenient handling,
ignored and reported (https://hl7.org/fhir/R4/search.html#errors). A modifier is always refused: "servers SHALL reject
any search request that contains a modifier that the server does not support for that parameter"; so is a malformed
value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from fhirstore.commit.messages import Protocol
from fhirstore.errors import InvalidResource, Unsupported
from fhirstore.fhir import json
from fhirstore.fhir.definitions.ids import is_id
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.times import Period
from fhirstore.format.record import Record
from fhirstore.index.names import identifiers
from fhirstore.search.criteria.last_updated import periods_of
from fhirstore.search.criteria.query import MOST_VALUES, shown
from fhirstore.search.criteria.token import Token, split, token, unescaped

_KNOWN = ("_id", "_lastUpdated", "identifier")

Pairs = Iterable[tuple[str, str]]
"""Names and values of parameters, unquoted, in the order given."""

Lookup: TypeAlias = Callable[[int], Protocol[Sequence[tuple[str, int]]]]
"""Returns ids and versions of up to so many matches, all of one moment after it was asked. Raises FhirStoreError."""


@dataclass(frozen=True, slots=True, repr=False)
class Criteria:
    """The criteria for resources of `type` (None: of any type, or of `types`). A resource must meet every item of each
    field, and any alternative of an item.

    `used`: the parameters that these criteria are made of, as given; `ignored`: those that were ignored. `release`: the
    FHIR release, which decides where a resource has its identifiers. `sees`: tells, of a type and a content, whether
    whoever searches may see it; None: everything.

    Of a condition by other parameters (`condition`), `also`: what the content must meet besides, by the names of the
    parameters. `beyond`: those that the content alone does not decide, such as chains; with any, a resource matches
    only in the versions `known`, (id, version), which the search index has found.
    `lookup`: finds the matches in the search index; None: ids or the identity index lead to them. `claim`: the hash of
    the condition.
    """

    type: str | None
    ids: tuple[frozenset[str], ...] = ()
    identifiers: tuple[tuple[Token, ...], ...] = ()
    updated: tuple[tuple[Period, ...], ...] = ()
    types: tuple[frozenset[str], ...] = ()
    used: tuple[tuple[str, str], ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()
    release: str = "4.0"
    sees: Callable[[str, bytes], bool] | None = None
    also: tuple[tuple[str, Callable[[JsonObject], bool]], ...] = ()
    beyond: tuple[str, ...] = ()
    known: frozenset[tuple[str, int]] = frozenset()
    lookup: Lookup | None = None
    claim: str = ""

    def __repr__(self) -> str:
        names = ", ".join(dict.fromkeys(shown(name) for name, _ in self.used))
        return f"<Criteria of {self.type or 'all types'}: {names or 'none'}>"

    def match(self, type: str, id: str, record: Record | None) -> bool:
        """Returns whether this version, as readers see it, meets all criteria. A deleted resource meets none."""
        if self.beyond and (record is None or (id, record.version) not in self.known):
            return False
        return self.may_match(type, id, record)

    def may_match(self, type: str, id: str, record: Record | None) -> bool:
        """As `match`, of the criteria that the version alone decides: it is True where only chains decide."""
        if record is None or record.resource is None:
            return False
        if not all(type in types for types in self.types) or not all(id in ids for ids in self.ids):
            return False
        if not all(any(one.start <= record.t < one.end for one in periods) for periods in self.updated):
            return False
        if self.identifiers:
            carried = identifiers(type, record.resource, release=self.release)
            if not all(any(token.matches(one) for token in tokens for one in carried) for tokens in self.identifiers):
                return False
        if self.also:
            resource = json.parse(record.resource, max_values=None)
            if not all(meets(resource) for _, meets in self.also):
                return False
        return self.sees is None or self.sees(type, record.resource)

    def knowing(self, id: str, version: int) -> Criteria:
        """Returns these criteria, knowing that this version of a resource meets them."""
        return replace(self, known=self.known | {(id, version)}) if self.beyond else self

    @property
    def values(self) -> tuple[str, ...]:
        """What a conditional interaction claims, sorted: the hashes of all identifier values, and that of the condition
        where they do not exclude all who create on it."""
        hashes = {token.value_hash for tokens in self.identifiers for token in tokens}
        if not self.exclusive:
            hashes.add(self.claim or None)
        return tuple(sorted(found for found in hashes if found is not None))

    @property
    def found_by_index(self) -> bool:
        """Whether ids or the identity index lead to all matches. (Not for a system alone where a time is given.)"""
        return bool(self.ids or self._with_values or (self.identifiers and not self.updated))

    @property
    def names_in_index(self) -> tuple[tuple[str, ...], ...]:
        """Names in the identity index: a match has one of each tuple. Names of values, if there are any, because they
        lead to few; otherwise the names of one system."""
        chosen = self._with_values or self.identifiers[:1]
        return tuple(tuple(dict.fromkeys(token.name for token in tokens)) for tokens in chosen)

    @property
    def exclusive(self) -> bool:
        """Whether a claim on their `values` excludes all others who create on them. An id is its own claim."""
        return bool(self.ids or self._with_values)

    @property
    def _with_values(self) -> tuple[tuple[Token, ...], ...]:
        return tuple(tokens for tokens in self.identifiers if all(token.value is not None for token in tokens))


@dataclass(slots=True)
class _Reading:
    """The criteria read so far."""

    type: str | None
    now: int
    release: str
    ids: list[frozenset[str]] = field(default_factory=list)
    identifiers: list[tuple[Token, ...]] = field(default_factory=list)
    updated: list[tuple[Period, ...]] = field(default_factory=list)
    types: list[frozenset[str]] = field(default_factory=list)
    values: int = 0

    def take(self, name: str, value: str) -> bool:
        """Read one parameter. Returns whether it is known. Raises InvalidResource, Unsupported."""
        code, colon, modifier = name.partition(":")
        if code not in _KNOWN and not (code == "_type" and self.type is None):
            return False
        if colon:
            raise Unsupported(f"The modifier ':{shown(modifier)}' of '{code}' is not supported")
        values = split(value, ",")
        self.values += len(values)
        if self.values > MOST_VALUES:
            text = f"The search has more than {MOST_VALUES:,} values; ask for some at a time"
            raise InvalidResource(text, code="too-costly")
        try:
            if not all(values):
                raise ValueError("it has no value")
            self._read(code, values)
        except ValueError as wrong:
            raise InvalidResource(f"The search parameter '{code}' cannot be read: {wrong}", code="value") from wrong
        return True

    def _read(self, code: str, values: list[str]) -> None:
        if code == "_lastUpdated":
            self.updated.append(tuple(one for value in values for one in periods_of(value, now=self.now)))
        elif code == "_type":
            if not definitions(self.release).resources.issuperset(values):
                raise ValueError("it names what is no resource type")
            self.types.append(frozenset(values))
        elif self.type is None:
            raise Unsupported(f"'{code}' is supported in searches of one type, like Patient?{code}=…")
        elif code == "_id":
            ids = frozenset(unescaped(value) for value in values)
            self.ids.append(frozenset(id_ for id_ in ids if is_id(id_)))
        else:
            self.identifiers.append(tuple(token(value) for value in values))


def parse_criteria(
    type: str | None, pairs: Pairs, *, now: int, lenient: bool = False, release: str = "4.0"
) -> Criteria:
    """Returns the criteria of search parameters. `type` None: a search of all types. `now`: epoch ms, for `ap`.

    `lenient`: ignore parameters that are not supported. `release`: of FHIR. Raises InvalidResource, Unsupported.
    """
    reading = _Reading(type, now, release)
    used, ignored = [], []
    for name, value in pairs:
        if reading.take(name, value):
            used.append((name, value))
        elif lenient:
            ignored.append((name, value))
        else:
            raise Unsupported(
                f"The search parameter '{shown(name)}' is not supported; these are: _id, _lastUpdated, identifier"
            )
    return Criteria(
        type,
        tuple(reading.ids),
        tuple(reading.identifiers),
        tuple(reading.updated),
        tuple(reading.types),
        tuple(used),
        tuple(ignored),
        release,
    )
