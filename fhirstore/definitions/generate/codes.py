"""The codes of the value sets that required bindings name, as far as the package says them all.

Value sets made of languages, media types, UCUM or anything else that the package does not enumerate are left out:
then every code is allowed. https://hl7.org/fhir/R4/valueset.html#compositions
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fhirstore.definitions.generate.package import Node, Package, node_of, nodes, text, texts

Codes = Mapping[str, frozenset[str]]  # code system -> codes


class NotEnumerable(Exception):
    """The package does not say all codes of this value set."""


@dataclass(frozen=True, slots=True)
class _CodeSystem:
    """`ancestors`: code -> the codes above it. `complete`: the package has all of its concepts."""

    complete: bool
    ancestors: Mapping[str, frozenset[str]]


def open_terminology(package: Package) -> Terminology:
    """The package's value sets and code systems."""
    return Terminology(
        {text(node, "url"): node for node in package.resources("ValueSet")},
        {text(node, "url"): node for node in package.resources("CodeSystem")},
    )


@dataclass(frozen=True, slots=True)
class Terminology:
    """Value sets and code systems by url."""

    value_sets: Mapping[str, Node]
    code_systems: Mapping[str, Node]
    _read: dict[str, _CodeSystem] = field(default_factory=dict)

    def codes(self, canonical: str) -> Codes:
        """What the value set allows. NotEnumerable when that cannot be said."""
        url = canonical.partition("|")[0]
        value_set = self.value_sets.get(url)
        if value_set is None:
            raise NotEnumerable(url)
        compose = node_of(value_set, "compose")
        if not nodes(compose, "include"):
            raise NotEnumerable(url)
        included: dict[str, frozenset[str]] = {}
        for part in nodes(compose, "include"):
            for system, codes in self._part(part).items():
                included[system] = included.get(system, frozenset()) | codes
        for part in nodes(compose, "exclude"):
            for system, codes in self._part(part).items():
                included[system] = included.get(system, frozenset()) - codes
        return {system: codes for system, codes in included.items() if codes}

    def _part(self, part: Node) -> Codes:
        """One include or exclude: its system's codes and its value sets intersect."""
        system = text(part, "system")
        found = [_union_of_systems([self.codes(url)]) for url in texts(part, "valueSet")]
        if system:
            found.append({system: self._of_system(system, part)})
        if not found:
            raise NotEnumerable("an include without system and valueSet")
        both, *rest = found
        for other in rest:
            both = {name: codes & other.get(name, frozenset()) for name, codes in both.items()}
        return both

    def _of_system(self, system: str, part: Node) -> frozenset[str]:
        listed = nodes(part, "concept")
        if listed:
            return frozenset(text(concept, "code") for concept in listed)
        known = self._system(system)
        if not known.complete:
            raise NotEnumerable(system)
        codes = frozenset(known.ancestors)
        for condition in nodes(part, "filter"):
            codes &= _filtered(known, condition)
        return codes

    def _system(self, url: str) -> _CodeSystem:
        if url not in self._read:
            node = self.code_systems.get(url)
            if node is None:
                raise NotEnumerable(url)
            ancestors: dict[str, frozenset[str]] = {}
            _walk(nodes(node, "concept"), frozenset(), ancestors)
            self._read[url] = _CodeSystem(text(node, "content") == "complete" and bool(ancestors), ancestors)
        return self._read[url]


def _walk(concepts: Iterable[Node], above: frozenset[str], found: dict[str, frozenset[str]]) -> None:
    """Adds the concepts and, below them, their children, nested or named by a parent property."""
    for concept in concepts:
        code = text(concept, "code")
        parents = {text(each, "valueCode") for each in nodes(concept, "property") if text(each, "code") == "subsumedBy"}
        found[code] = above | parents
        _walk(nodes(concept, "concept"), found[code] | {code}, found)


def _filtered(system: _CodeSystem, condition: Node) -> frozenset[str]:
    """The codes that a filter on the concept hierarchy lets pass."""
    op, value = text(condition, "op"), text(condition, "value")
    if text(condition, "property") not in {"concept", "code"} or value not in system.ancestors:
        raise NotEnumerable(op)
    below = frozenset(code for code, above in _closed(system.ancestors).items() if value in above)
    match op:
        case "is-a":
            return below | {value}
        case "descendent-of":
            return below
        case "is-not-a":
            return frozenset(system.ancestors) - below - {value}
        case _:
            raise NotEnumerable(op)


def _closed(ancestors: Mapping[str, frozenset[str]]) -> Mapping[str, frozenset[str]]:
    """Ancestors of ancestors included; property parents are given one level at a time."""
    closed: dict[str, frozenset[str]] = dict(ancestors)
    while True:
        grown = {
            code: above.union(*(closed.get(parent, frozenset()) for parent in above)) for code, above in closed.items()
        }
        if grown == closed:
            return closed
        closed = grown


def _union_of_systems(found: Iterable[Codes]) -> dict[str, frozenset[str]]:
    union: dict[str, frozenset[str]] = {}
    for each in found:
        for system, codes in each.items():
            union[system] = union.get(system, frozenset()) | codes
    return union
