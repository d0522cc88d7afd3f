"""The criteria of a conditional interaction or of a reference by search: a query by any search parameters.

| the query has | matches are found by | and no second one is created under claims on |
|---|---|---|
| `_id` | the ids | nothing: an id is its own claim |
| values of `identifier` | the identity index in the bucket | these values |
| others, or `system|` alone beside others | a strong search of the local index | the whole query |

Whatever leads to the matches, their current content is tested again on each attempt to write: by the tests of
`fhirstore.search.matching`. What these do not decide, such as a chain, must hold of exactly the version that the search
has found; when that has changed, the search is repeated.

**What a claim on a query excludes** is all others who create on the same query: the same names and values, in whatever
order. It does not exclude who creates without a condition, or on another query that the new resource happens to meet.

https://hl7.org/fhir/R4/http.html#ccreate · https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from fhirstore.errors import FhirError, InvalidResource, Unsupported
from fhirstore.fhir.json import JsonObject
from fhirstore.index.local.catalogue import Catalogue
from fhirstore.search.conditional.identifying import Criteria, Lookup, parse_criteria
from fhirstore.search.criteria.criterion import Query
from fhirstore.search.criteria.query import parse_condition_query, shown
from fhirstore.search.criteria.request import parse_search
from fhirstore.search.criteria.token import split
from fhirstore.search.matching.filter import filter_of_pairs

_OF_THE_RECORD = ("_id", "_lastUpdated", "identifier")
"""Parameters that `Criteria` itself decides, where they have no modifier."""


@dataclass(frozen=True, slots=True)
class Indexed:
    """How other parameters are read, and where matches are looked up. `now`: epoch ms, for the prefix `ap`."""

    catalogue: Catalogue
    now: int
    lookup: Callable[[Query], Lookup]


def parse_condition(
    type: str, query: str, *, release: str = "4.0", indexed: Callable[[], Indexed] | None = None
) -> Criteria:
    """Returns the criteria of a query like `identifier=system|value`; a `?` or `[type]?` may precede it.

    `release`: of FHIR. `indexed`: is called for other parameters; None: they are refused. Raises InvalidResource,
    Unsupported.
    """
    pairs = parse_condition_query(type, query)
    if not pairs:
        raise InvalidResource("A condition needs criteria: all resources of the type would meet it", code="required")
    of_record = [pair for pair in pairs if pair[0] in _OF_THE_RECORD]
    others = [pair for pair in pairs if pair[0] not in _OF_THE_RECORD]
    if not others:
        known = parse_criteria(type, of_record, now=0, release=release)
        if known.found_by_index:
            return replace(known, claim=_hash(pairs))
    if indexed is None:
        name = others[0][0] if others else "_lastUpdated"
        raise Unsupported(f"The search parameter '{shown(name)}' is not supported in this condition")
    by = indexed()
    asked = _asked(by, type, pairs)
    also, beyond = _tests(by, type, others)
    criteria = replace(
        parse_criteria(type, of_record, now=by.now, release=release),
        also=also,
        beyond=beyond,
        used=tuple(pairs),
        claim=_hash(pairs),
    )
    return criteria if criteria.exclusive and not beyond else replace(criteria, lookup=by.lookup(asked))


def _hash(pairs: Sequence[tuple[str, str]]) -> str:
    """Returns the hash of a query in whatever order its names and alternatives are."""
    canonical = sorted((name, sorted(set(split(value, ",")))) for name, value in pairs)
    return hashlib.blake2b(msgspec.json.encode(canonical), digest_size=16, person=b"condition").hexdigest()


def _asked(indexed: Indexed, type: str, pairs: Sequence[tuple[str, str]]) -> Query:
    """Returns the search. Raises InvalidResource for parameters that are not criteria, and as `parse_search`."""
    asked = parse_search(indexed.catalogue, type, pairs, now=indexed.now)
    if len(asked.branches[0][1]) < len(pairs):
        text = "A condition has only criteria, nothing about the answer to a search, such as _sort or _include"
        raise InvalidResource(text, code="value")
    return replace(asked, total="none")


def _tests(
    indexed: Indexed, type: str, pairs: Sequence[tuple[str, str]]
) -> tuple[tuple[tuple[str, Callable[[JsonObject], bool]], ...], tuple[str, ...]]:
    """Returns the tests of a content, by the names of the parameters, and the names of those that it does not decide.

    `pairs`: have been read as a search without an error.
    """
    also: list[tuple[str, Callable[[JsonObject], bool]]] = []
    beyond: list[str] = []
    for name, value in pairs:
        try:
            test = filter_of_pairs(
                indexed.catalogue.definitions, type, [(name, value)], now=indexed.now, bases=indexed.catalogue.bases
            )
        except FhirError:  # a search decides it, but a filter does not
            beyond.append(name)
        else:
            also.append((name, test.matches))
    return tuple(also), tuple(beyond)
