"""Value sets and code systems in a search: `:in`, `:not-in`, `:above` and `:below` of tokens become codes.

Known are the resources that the tenant has stored, and the value sets of the release whose codes it lists. Of these,
what can be enumerated is answered: expansions, listed concepts, whole code systems that are there with all their codes,
filters by their hierarchy, and value sets of such. Anything else needs a terminology server, and is refused with that
reason.

`:not-in` finds what is in no such code, resources without the element too, as `:not` does.

https://hl7.org/fhir/R4/search.html#token
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from fhirstore.errors import InvalidResource, Unsupported
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.definitions.nodes import Node, node_of, nodes, text, texts
from fhirstore.fhir.definitions.terminology import Codes, NotEnumerable, Terminology
from fhirstore.fhir.json import JsonObject
from fhirstore.search.criteria.criterion import AnyOf, ByValue, Chained, Criterion, Query, Referred
from fhirstore.search.criteria.reading import OF_TERMINOLOGY
from fhirstore.search.criteria.token import escaped, token, unescaped

MOST_RESOURCES = 50
"""Value sets and code systems of one search."""
MOST_CODES = 20_000
"""Codes of one criterion."""

Stored: TypeAlias = Callable[[str, str], Awaitable[JsonObject | None]]
"""Returns the tenant's resource of a type, by its canonical URL; None where there is none."""


async def with_codes(query: Query, definitions: Definitions, stored: Stored) -> Query:
    """Returns the query with codes in the place of value sets and hierarchies; the same one if it has none.

    Raises InvalidResource for a malformed value or too many codes, Unsupported for what cannot be enumerated, and
    whatever `stored` raises.
    """
    criteria = {id(one): one for _, some in query.branches for one in some}  # types often share them
    asked = [one for criterion in criteria.values() for one in _asking(criterion)]
    if not asked:
        return query
    at_hand = _AtHand(stored)
    for one in asked:
        for sought in one.texts:
            if one.modifier in ("in", "not-in"):
                await at_hand.take("ValueSet", unescaped(sought))
            else:
                await at_hand.take("CodeSystem", _system_and_code(one, sought)[0])
    coding = _Coding(Terminology(at_hand.value_sets, at_hand.code_systems, definitions.value_sets))
    branches = [(type_, tuple(coding.coded(one) for one in criteria)) for type_, criteria in query.branches]
    return replace(query, branches=tuple(branches))


def _asking(criterion: Criterion) -> Iterator[ByValue]:
    """Yields the criteria that value sets or code systems decide."""
    match criterion:
        case ByValue(indexed, modifier) if indexed.kind == "token" and modifier in OF_TERMINOLOGY:
            yield criterion
        case Chained(_, targets):
            for _, inner in targets:
                yield from _asking(inner)
        case Referred(_, inner):
            yield from _asking(inner)
        case AnyOf(alternatives):
            for one in (one for some in alternatives for one in some):
                yield from _asking(one)


def _system_and_code(criterion: ByValue, sought: str) -> tuple[str, str]:
    try:
        found = token(sought)
    except ValueError as wrong:
        raise _unreadable(criterion, str(wrong)) from wrong
    if found.system is None or found.value is None:
        raise _unreadable(criterion, f"with :{criterion.modifier} it is system|code")
    return found.system, found.value


def _unreadable(criterion: ByValue, why: str) -> InvalidResource:
    return InvalidResource(f"The search parameter '{criterion.indexed.name}' cannot be read: {why}", code="value")


@dataclass(slots=True)
class _AtHand:
    """What the tenant has stored of the value sets and code systems that a search leads to."""

    stored: Stored
    value_sets: dict[str, Node] = field(default_factory=dict)
    code_systems: dict[str, Node] = field(default_factory=dict)
    _taken: set[tuple[str, str]] = field(default_factory=set)

    async def take(self, type: str, canonical: str) -> None:
        """Takes a resource and all that it leads to. Raises InvalidResource."""
        waiting = [(type, canonical)]
        while waiting:
            one = waiting.pop()
            url = one[1].partition("|")[0]
            if (one[0], url) in self._taken or not url:
                continue
            self._taken.add((one[0], url))
            if len(self._taken) > MOST_RESOURCES:
                text = f"The search leads to more than {MOST_RESOURCES} value sets and code systems"
                raise InvalidResource(text, code="too-costly")
            found = await self.stored(*one)
            if found is None:
                continue
            if one[0] == "CodeSystem":
                self.code_systems[url] = found
            else:
                self.value_sets[url] = found
                waiting += _leading_from(found)


def _leading_from(value_set: Node) -> Iterator[tuple[str, str]]:
    """Yields what the codes of a value set follow from."""
    compose = node_of(value_set, "compose")
    for part in (*nodes(compose, "include"), *nodes(compose, "exclude")):
        for url in texts(part, "valueSet"):
            yield "ValueSet", url
        if not nodes(part, "concept"):
            yield "CodeSystem", text(part, "system")


@dataclass(frozen=True, slots=True)
class _Coding:
    terminology: Terminology

    def coded(self, criterion: Criterion) -> Criterion:
        """Returns a criterion with codes. Raises InvalidResource, Unsupported."""
        match criterion:
            case ByValue(indexed, modifier) if indexed.kind == "token" and modifier in OF_TERMINOLOGY:
                return self._by_codes(criterion)
            case Chained(_, targets):
                return replace(criterion, targets=tuple((type_, self.coded(inner)) for type_, inner in targets))
            case Referred(_, inner):
                return replace(criterion, criterion=self.coded(inner))
            case AnyOf(alternatives):
                return AnyOf(tuple(tuple(map(self.coded, some)) for some in alternatives))
        return criterion

    def _by_codes(self, criterion: ByValue) -> Criterion:
        found: set[tuple[str, str]] = set()
        for sought in criterion.texts:
            try:
                codes = self._codes(criterion, sought)
            except NotEnumerable as unknown:
                what = "value set" if criterion.modifier in ("in", "not-in") else "code system"
                text = (
                    f"'{criterion.indexed.name}:{criterion.modifier}' needs a terminology server: the codes of the"
                    f" {what} are neither stored here nor listed by FHIR, or cannot be enumerated"
                )
                raise Unsupported(text) from unknown
            found |= {(system, code) for system, some in codes.items() for code in some}
        if len(found) > MOST_CODES:
            text = f"'{criterion.indexed.name}:{criterion.modifier}' comes to more than {MOST_CODES:,} codes"
            raise InvalidResource(text, code="too-costly")
        written = tuple(f"{escaped(system)}|{escaped(code)}" for system, code in sorted(found))
        if criterion.modifier == "not-in":
            return replace(criterion, modifier="not", texts=written)
        return replace(criterion, modifier="", texts=written) if written else AnyOf(())

    def _codes(self, criterion: ByValue, sought: str) -> Codes:
        """Raises NotEnumerable, InvalidResource."""
        if criterion.modifier in ("in", "not-in"):
            return self.terminology.codes(unescaped(sought))
        system, code = _system_and_code(criterion, sought)
        if criterion.modifier == "below":
            return {system: self.terminology.subsumed(system, code)}
        return {system: self.terminology.subsuming(system, code)}
