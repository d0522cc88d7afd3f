"""The invariants of the specification, at every place of a resource.

Those of a type and of what it is based on are evaluated where the type occurs. `error` refuses; `warning`, as the best
practices are (a narrative, computable names), is only said. Where FHIRPath leaves a condition empty, it holds.
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
from fhirstore.fhir.validation.places import Place, places


@dataclass(frozen=True, slots=True)
class Findings:
    """`issues`: what is wrong, or might be better. `unchecked`: what could not be checked, in words."""

    issues: tuple[Issue, ...] = ()
    unchecked: frozenset[str] = frozenset()

    def __or__(self, other: Findings) -> Findings:
        return Findings(self.issues + other.issues, self.unchecked | other.unchecked)


@dataclass(slots=True)
class Invariants:
    """The invariants of a release. `expressions`: where they are compiled and kept."""

    definitions: Definitions
    expressions: Expressions
    _of_type: dict[str, tuple[Invariant, ...]] = field(default_factory=dict)

    def check(self, resource: JsonObject) -> Findings:
        """What the resource, whose structure is right, does not keep."""
        issues: list[Issue] = []
        unchecked: set[str] = set()
        by_hand = _ByHand()
        for place in places(self.definitions, plain_resource(resource)):
            for invariant in self._invariants(place.type):
                match self._verdict(invariant, place, by_hand):
                    case Verdict.BROKEN:
                        issues.append(broken(invariant, place.path))
                    case Verdict.UNDECIDED:
                        unchecked.add(f"invariant {invariant.key}")
        return Findings(tuple(issues), frozenset(unchecked))

    def _verdict(self, invariant: Invariant, place: Place, by_hand: _ByHand) -> Verdict:
        holds = by_hand.holds(invariant.key, place)
        if holds is not None:
            return Verdict.HOLDS if holds else Verdict.BROKEN
        if invariant.key in _TOO_SLOW:
            return Verdict.UNDECIDED
        return self.expressions.verdict(_INSTEAD.get(invariant.key, invariant.expression), place)

    def _invariants(self, type: str) -> tuple[Invariant, ...]:
        """Those of the type and, first, of its bases."""
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
    """The issue for an invariant that does not hold at `path`; its text is the specification's."""
    severity = "error" if invariant.severity == "error" else "warning"
    return Issue("invariant", f"{invariant.key}: {invariant.human}", (path,), severity)


# Without these no element passes the check of structure, which comes first.
_BY_STRUCTURE = frozenset({"ele-1", "ext-1", "txt-1"})


# R5 says it with lowBoundary(), highBoundary() and comparable(), which fhirpathpy lacks; this is how R4 and R4B say it.
# What is not known, for precision or for units, is empty, and so holds.
_INSTEAD = {
    "per-1": "start.hasValue().not() or end.hasValue().not() or (start <= end)",
    "rng-2": "low.empty() or high.empty() or (low <= high)",
    "ratrng-2": "lowNumerator.empty() or highNumerator.empty() or (lowNumerator <= highNumerator)",
}

# Their time grows with the square of the elements: 15 s for a profile of 250 KB.
_TOO_SLOW = frozenset({"sdf-24", "sdf-25"})


# `src="#id"` and the like in a narrative, `](#id)` in markdown, `#id|version` of a canonical.
_ID = r"#([A-Za-z0-9.-]{1,64})"
_LINK = re.compile(rf"""=\s*["']{_ID}["']|\]\(<?{_ID}[)>\s]|^{_ID}\|""")


@dataclass(slots=True)
class _ByHand:
    """Invariants that fhirpathpy cannot evaluate, or too slowly; for one resource."""

    _ids: dict[int, frozenset[object]] = field(default_factory=dict)

    def holds(self, key: str, place: Place) -> bool | None:
        """None where the key is none of these."""
        if key == "dom-3":
            return _contained_are_referred_to(place)
        if key == "txt-2":
            return has_content(str(place.node.get("div")))
        return self._is_contained(place) if key == "ref-1" else None

    def _is_contained(self, place: Place) -> bool:
        """ref-1: SHALL have a contained resource if a local reference is provided; `#` is what contains it."""
        reference = place.node.get("reference")
        if not isinstance(reference, str) or not reference.startswith("#"):
            return True
        ids = self._ids.get(id(place.root))
        if ids is None:
            contained = place.root.get("contained")
            found = contained if isinstance(contained, list) else []
            ids = frozenset(each.get("id") for each in found if isinstance(each, dict))
            self._ids[id(place.root)] = ids
        return reference[1:] in ids if reference != "#" else place.resource is not place.root


def _contained_are_referred_to(place: Place) -> bool:
    """dom-3, whose expression casts collections, which fhirpathpy does not: all that is contained is referred to.

    By a reference, uri or canonical anywhere, in other contained resources too, or by a link of a narrative or of
    markdown, which the expression cannot see. Or it refers to what contains it.
    """
    contained = place.node.get("contained")
    if not isinstance(contained, list) or not contained:
        return True
    said = _texts(place.node, set())
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
    """Every text in `value`, added to `found`."""
    if isinstance(value, str):
        found.add(value)
    elif isinstance(value, dict):
        for item in value.values():
            _texts(item, found)
    elif isinstance(value, list):
        for item in value:
            _texts(item, found)
    return found
