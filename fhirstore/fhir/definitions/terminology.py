"""Computes the codes that a value set allows, if the value sets and code systems at hand define all of them.

Value sets of languages, media types, UCUM or other systems that are not enumerated here have no known codes.

https://hl7.org/fhir/R4/valueset.html#compositions
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fhirstore.fhir.definitions.nodes import Node, node_of, nodes, text, texts

Codes = Mapping[str, frozenset[str]]  # code system -> codes


class NotEnumerable(Exception):
    """The value sets and code systems at hand do not define all codes of this value set."""


@dataclass(frozen=True, slots=True)
class _CodeSystem:
    """`ancestors`: code -> codes above it. `complete`: these are all concepts of the code system. `subsuming`: what is
    above subsumes what is below.
    """

    complete: bool
    ancestors: Mapping[str, frozenset[str]]
    subsuming: bool = True


@dataclass(frozen=True, slots=True)
class Terminology:
    """Value sets and code systems by URL. `known`: value sets whose codes have been computed before."""

    value_sets: Mapping[str, Node]
    code_systems: Mapping[str, Node]
    known: Mapping[str, Codes] = field(default_factory=dict)
    _read: dict[str, _CodeSystem] = field(default_factory=dict)
    _found: dict[str, Codes | None] = field(default_factory=dict)

    def codes(self, canonical: str) -> Codes:
        """Returns the codes that the value set allows. Raises NotEnumerable if they are not known, or if it includes
        itself.
        """
        url = canonical.partition("|")[0]
        if url not in self._found:
            self._found[url] = None  # so that a value set that includes itself ends here
            self._found[url] = self._codes(url)
        found = self._found[url]
        if found is None:
            raise NotEnumerable(url)
        return found

    def subsumed(self, system: str, code: str) -> frozenset[str]:
        """Returns a code and all below it. Raises NotEnumerable where the code system at hand does not say that."""
        return _below(self._hierarchy(system), code) | {code}

    def subsuming(self, system: str, code: str) -> frozenset[str]:
        """Returns a code and all above it. Raises as `subsumed`."""
        ancestors = self._hierarchy(system)
        found, waiting = {code}, [code]
        while waiting:
            fresh = ancestors.get(waiting.pop(), frozenset()) - found
            found |= fresh
            waiting += fresh
        return frozenset(found)

    def _hierarchy(self, system: str) -> Mapping[str, frozenset[str]]:
        known = self._system(system.partition("|")[0])
        if not known.complete or not known.subsuming:
            raise NotEnumerable(system)
        return known.ancestors

    def _codes(self, url: str) -> Codes | None:
        value_set = self.value_sets.get(url)
        if value_set is None:
            return self.known.get(url)
        compose = node_of(value_set, "compose")
        try:
            return self._composed(compose) if nodes(compose, "include") else _expanded(value_set)
        except NotEnumerable:
            return _expanded(value_set)

    def _composed(self, compose: Node) -> Codes:
        included: dict[str, frozenset[str]] = {}
        for part in nodes(compose, "include"):
            for system, codes in self._part(part).items():
                included[system] = included.get(system, frozenset()) | codes
        for part in nodes(compose, "exclude"):
            for system, codes in self._part(part).items():
                included[system] = included.get(system, frozenset()) - codes
        return {system: codes for system, codes in included.items() if codes}

    def _part(self, part: Node) -> Codes:
        """Returns the codes of one include or exclude: the intersection of its system's codes and its value sets."""
        system = text(part, "system")
        found = [self.codes(url) for url in texts(part, "valueSet")]
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
            complete = text(node, "content") == "complete" and bool(ancestors)
            self._read[url] = _CodeSystem(complete, ancestors, text(node, "hierarchyMeaning") in ("", "is-a"))
        return self._read[url]


def _expanded(value_set: Node) -> Codes | None:
    """Returns the codes of the value set's own expansion, or None if that is not complete."""
    expansion = node_of(value_set, "expansion")
    found: dict[str, set[str]] = {}
    count = _collect(nodes(expansion, "contains"), found)
    total = expansion.get("total")
    if not count or (isinstance(total, int) and total > count):
        return None
    return {system: frozenset(codes) for system, codes in found.items()}


def _collect(contains: Iterable[Node], found: dict[str, set[str]]) -> int:
    count = 0
    for each in contains:
        count += 1
        if each.get("abstract") is not True and text(each, "code"):
            found.setdefault(text(each, "system"), set()).add(text(each, "code"))
        count += _collect(nodes(each, "contains"), found)
    return count


def _walk(concepts: Iterable[Node], above: frozenset[str], found: dict[str, frozenset[str]]) -> None:
    """Adds the concepts and their children, which are nested or named by a parent property."""
    for concept in concepts:
        code = text(concept, "code")
        parents = {text(each, "valueCode") for each in nodes(concept, "property") if text(each, "code") == "subsumedBy"}
        found[code] = above | parents
        _walk(nodes(concept, "concept"), found[code] | {code}, found)


def _filtered(system: _CodeSystem, condition: Node) -> frozenset[str]:
    """Returns the codes that a filter on the concept hierarchy selects."""
    op, value = text(condition, "op"), text(condition, "value")
    if text(condition, "property") not in {"concept", "code"} or value not in system.ancestors:
        raise NotEnumerable(op)
    below = _below(system.ancestors, value)
    match op:
        case "is-a":
            return below | {value}
        case "descendent-of":
            return below
        case "is-not-a":
            return frozenset(system.ancestors) - below - {value}
        case _:
            raise NotEnumerable(op)


def _below(ancestors: Mapping[str, frozenset[str]], value: str) -> frozenset[str]:
    """Returns all codes below `value`; a parent property names one level only."""
    children: dict[str, list[str]] = {}
    for code, above in ancestors.items():
        for each in above:
            children.setdefault(each, []).append(code)
    found: set[str] = set()
    waiting = [value]
    while waiting:
        fresh = [code for code in children.get(waiting.pop(), ()) if code not in found]
        found.update(fresh)
        waiting += fresh
    return frozenset(found - {value})
