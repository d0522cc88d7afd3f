"""Evaluates the invariants of the specification at every typed node of a resource.

A type has its own invariants and those of its bases. An `error` refuses a resource; a `warning`, such as a best
practice, is only reported. An empty result counts as true.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from fhirstore.errors import Issue
from fhirstore.fhir.definitions.facts import Definitions, Invariant
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.validation.expressions import Expressions, Verdict, plain_resource
from fhirstore.fhir.validation.narrative import has_content
from fhirstore.fhir.validation.nodes import TypedNode, typed_nodes


@dataclass(frozen=True, slots=True)
class Findings:
    """`issues`: errors, warnings and information. `unchecked`: in words, what could not be checked."""

    issues: tuple[Issue, ...] = ()
    unchecked: frozenset[str] = frozenset()

    def __or__(self, other: Findings) -> Findings:
        return Findings(self.issues + other.issues, self.unchecked | other.unchecked)


@dataclass(slots=True)
class Invariants:
    """The invariants of a release. `expressions`: compiles and evaluates them."""

    definitions: Definitions
    expressions: Expressions
    _of_type: dict[str, tuple[Invariant, ...]] = field(default_factory=dict)

    def check(self, resource: JsonObject) -> Findings:
        """Returns the invariants that the resource breaks. Its structure must be valid."""
        issues: list[Issue] = []
        unchecked: set[str] = set()
        by_hand = _ByHand()
        for node in typed_nodes(self.definitions, plain_resource(resource)):
            for invariant in self._invariants(node.type):
                match self._verdict(invariant, node, by_hand):
                    case Verdict.BROKEN:
                        issues.append(broken(invariant, node.path))
                    case Verdict.UNDECIDED:
                        unchecked.add(f"invariant {invariant.key}")
        return Findings(tuple(issues), frozenset(unchecked))

    def _verdict(self, invariant: Invariant, node: TypedNode, by_hand: _ByHand) -> Verdict:
        holds = by_hand.holds(invariant.key, node)
        if holds is not None:
            return Verdict.HOLDS if holds else Verdict.BROKEN
        if invariant.key in _TOO_SLOW:
            return Verdict.UNDECIDED
        return self.expressions.verdict(_INSTEAD.get(invariant.key, invariant.expression), node)

    def _invariants(self, type: str) -> tuple[Invariant, ...]:
        """Returns the invariants of the type's bases and then its own."""
        known = self._of_type.get(type)
        if known is None:
            found: list[Invariant] = []
            name = type
            while name in self.definitions.types:
                found[:0] = self.definitions.types[name].invariants
                name = self.definitions.types[name].base
            known = self._of_type[type] = tuple(each for each in found if each.key not in _BY_STRUCTURE)
        return known


def broken(invariant: Invariant, path: str) -> Issue:
    """Returns the issue for an invariant that does not hold at `path`; its text is the specification's."""
    severity = "error" if invariant.severity == "error" else "warning"
    return Issue("invariant", f"{invariant.key}: {invariant.human}", (path,), severity)


# The check of the structure, which comes first, enforces these.
_BY_STRUCTURE = frozenset({"ele-1", "ext-1", "txt-1"})


# R5 uses lowBoundary(), highBoundary() and comparable(), which fhirpathpy lacks; these are the expressions of R4.
# A result that is unknown, because of precision or units, is empty and so counts as true.
_INSTEAD = {
    "per-1": "start.hasValue().not() or end.hasValue().not() or (start <= end)",
    "rng-2": "low.empty() or high.empty() or (low <= high)",
    "ratrng-2": "lowNumerator.empty() or highNumerator.empty() or (lowNumerator <= highNumerator)",
}

# Their time grows with the square of the number of elements.
_TOO_SLOW = frozenset({"sdf-24", "sdf-25"})


# An attribute `="#id"` in a narrative, `](#id)` in markdown, `#id|version` of a canonical.
_ID = r"#([A-Za-z0-9.-]{1,64})"
_LINK = re.compile(rf"""=\s*["']{_ID}["']|\]\(<?{_ID}[)>\s]|^{_ID}\|""")


@dataclass(slots=True)
class _ByHand:
    """Invariants that fhirpathpy cannot evaluate, or only slowly, written in Python; for one resource."""

    _ids: dict[int, frozenset[object]] = field(default_factory=dict)

    def holds(self, key: str, node: TypedNode) -> bool | None:
        """Returns whether the invariant holds; None if it is not one of these."""
        if key == "dom-3":
            return _contained_are_referred_to(node)
        if key == "txt-2":
            return has_content(str(node.members.get("div")))
        return self._is_contained(node) if key == "ref-1" else None

    def _is_contained(self, node: TypedNode) -> bool:
        """ref-1: a local reference must have a contained resource as its target; `#` is the resource that contains this
        one.
        """
        reference = node.members.get("reference")
        if not isinstance(reference, str) or not reference.startswith("#"):
            return True
        ids = self._ids.get(id(node.root))
        if ids is None:
            contained = node.root.get("contained")
            found = contained if isinstance(contained, list) else []
            ids = frozenset(each.get("id") for each in found if isinstance(each, dict))
            self._ids[id(node.root)] = ids
        return reference[1:] in ids if reference != "#" else node.resource is not node.root


def _contained_are_referred_to(node: TypedNode) -> bool:
    """dom-3: something refers to every contained resource. Its expression casts collections, which fhirpathpy cannot
    do.

    The reference may be a Reference, uri or canonical anywhere, also in other contained resources, or a link in a
    narrative or in markdown, which the expression cannot see. It is also enough that the contained resource refers to
    its container.
    """
    contained = node.members.get("contained")
    if not isinstance(contained, list) or not contained:
        return True
    said = _texts(node.members, set())
    alone = [
        each
        for each in contained
        if not isinstance(each, dict) or (f"#{each.get('id')}" not in said and "#" not in _texts(each, set()))
    ]
    if not alone:
        return True
    linked = {match[match.lastindex or 0] for text in said if "#" in text for match in _LINK.finditer(text)}
    return all(isinstance(each, dict) and each.get("id") in linked for each in alone)


def _texts(value: object, found: set[str]) -> set[str]:
    """Adds every string in `value` to `found` and returns it."""
    if isinstance(value, str):
        found.add(value)
    elif isinstance(value, dict):
        for item in value.values():
            _texts(item, found)
    elif isinstance(value, list):
        for item in value:
            _texts(item, found)
    return found
