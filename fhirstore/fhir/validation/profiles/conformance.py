"""Checks a resource against a profile: cardinalities, types, fixed and pattern values, bindings, slices, invariants.

What cannot be decided is collected as `unchecked`, in words, and is never an error.

https://hl7.org/fhir/R4/profiling.html
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fhirstore.errors import Issue
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.validation.codings import unknown_codes
from fhirstore.fhir.validation.expressions import Expressions, Verdict, plain_resource
from fhirstore.fhir.validation.invariants import Findings, broken
from fhirstore.fhir.validation.nodes import TypedNode
from fhirstore.fhir.validation.profiles.items import Item, children
from fhirstore.fhir.validation.profiles.library import Library
from fhirstore.fhir.validation.profiles.profile import ElementDefinition, Profile
from fhirstore.fhir.validation.profiles.slicing import SliceReader
from fhirstore.fhir.validation.profiles.values import allows, equals, fits, shown
from fhirstore.fhir.validation.targets import entry_types, referred_type

_ANY = frozenset({"Resource", "DomainResource", "CanonicalResource", "MetadataResource"})
_DEPTH = 40  # of profiles inside profiles, because an extension may contain itself


def conformance(resource: JsonObject, canonical: str, library: Library, expressions: Expressions) -> Findings:
    """Returns what in the resource does not conform to the profile, which must be in the library. The resource's
    structure must be valid.
    """
    plain = plain_resource(resource)
    checking = _Checking(library.definitions, library, expressions, plain, entry_types(plain))
    type_ = str(resource.get("resourceType"))
    checking.profile(canonical, Item(checking.resource, None, type_, type_), _DEPTH)
    issues = {(each.code, each.expression, each.diagnostics): each for each in checking.issues}
    return Findings(tuple(issues.values()), frozenset(checking.unchecked))


@dataclass(slots=True)
class _Checking:
    """One check: the library it uses, the resource around the current item, and what it has found."""

    definitions: Definitions
    library: Library
    expressions: Expressions
    resource: JsonObject
    entries: dict[str, str]
    issues: list[Issue] = field(default_factory=list)
    told: dict[tuple[str, str], list[Issue]] = field(default_factory=dict)  # (profile, path) -> its issues
    unchecked: set[str] = field(default_factory=set)

    def profile(self, canonical: str, item: Item, depth: int) -> None:
        """Checks the item against a profile, and against the profile's base if the profile does not include it."""
        profile = self.library.profiles.get(canonical)
        if profile is None or depth == 0:
            if not self.library.core_type(canonical):
                self.unchecked.add(f"profile {canonical}, which is not stored here")
            return
        known = self.told.get((canonical, item.path))
        if known is None:
            known = self.told[canonical, item.path] = []  # set before the check, for a profile that refers to itself
            before, self.issues = self.issues, known
            self._whole(profile, item, depth)
            self.issues = before
        self.issues += known

    def _whole(self, profile: Profile, item: Item, depth: int) -> None:
        if item.type != profile.type and profile.type not in _ANY:
            self._error("structure", item.path, f"is a {item.type}; {profile.url} is for {profile.type}")
            return
        around = self.resource
        if item.type in self.definitions.resources:
            self.resource = item.node
        self._item(profile.root, item, depth)
        if not profile.complete and profile.base:
            self.profile(profile.base, item, depth - 1)
        self.resource = around

    def _item(self, definition: ElementDefinition, item: Item, depth: int) -> None:
        if not self._types(definition, item, depth):
            return
        if definition.fixed and not equals(item.value, definition.fixed[0]):
            self._error("value", item.path, f"must be {shown(definition.fixed[0])}, the value that the profile fixes")
        if definition.pattern and not fits(item.value, definition.pattern[0]):
            self._error("value", item.path, f"must contain the profile's pattern, {shown(definition.pattern[0])}")
        if definition.binding:
            self._binding(definition.binding, item)
        if (
            definition.max_length is not None
            and isinstance(item.value, str)
            and len(item.value) > definition.max_length
        ):
            self._error("too-long", item.path, f"is longer than {definition.max_length} characters")
        self.unchecked.update(f"{name} at {definition.name}" for name in definition.unchecked)
        self._invariants(definition, item)
        for child in definition.children.values():
            self._group(child, children(self.definitions, item, child.name), item.path, depth)

    def _group(self, definition: ElementDefinition, items: list[Item], around: str, depth: int) -> None:
        """Checks all items of one element: their number, each of them, and the slices they belong to."""
        self._count(definition, items, around)
        for item in items:
            self._item(definition, item, depth)
        if not definition.slices:
            return
        slices = SliceReader(self.definitions, self.library, self._referred).slices(definition)
        if slices is None:
            self.unchecked.add(f"slices of {definition.name} ({', '.join(definition.slices)})")
            return
        of_slice: dict[str, list[Item]] = {name: [] for name in definition.slices}
        order = list(definition.slices)
        last, outside = 0, False
        for item in items:
            slice_ = slices.slice_of(item)
            if slice_ is None:
                outside = True
                if slices.slicing.rules == "closed":
                    self._error(
                        "structure",
                        item.path,
                        f"belongs to none of the slices {', '.join(order)}, and the profile allows no others",
                    )
                continue
            of_slice[slice_.slice].append(item)
            if outside and slices.slicing.rules == "openAtEnd":
                self._error("structure", item.path, "must come before the items that belong to no slice")
            at = order.index(slice_.slice)
            if slices.slicing.ordered and at < last:
                self._error("structure", item.path, f"slice {slice_.slice} must come before {order[last]}")
            last = max(last, at)
        for name, of_it in of_slice.items():
            self._count(definition.slices[name], of_it, around)
            for item in of_it:
                self._item(definition.slices[name], item, depth)

    def _count(self, definition: ElementDefinition, items: list[Item], around: str) -> None:
        name = definition.name.removesuffix("[x]")
        of_slice = f" of slice {definition.slice}" if definition.slice else ""
        if len(items) < definition.min:
            self._error("required", f"{around}.{name}", f"needs at least {definition.min}{of_slice}")
        if definition.max is not None and len(items) > definition.max:
            self._error("structure", f"{around}.{name}", f"allows at most {definition.max}{of_slice}")

    def _types(self, definition: ElementDefinition, item: Item, depth: int) -> bool:
        """Checks the item's type, its profiles and the target of a reference. Returns False if it has a type of its own
        that the profile does not allow.
        """
        codes = {each.code for each in definition.types if not each.code.startswith("http")}
        if not codes or not definition.types or not self._is_type(item.type):
            return True
        backbone = codes & {"BackboneElement", "Element"}
        if item.type not in codes and not codes & _ANY and not backbone:
            if definition.name.endswith("[x]") or item.type in self.definitions.resources:
                self._error("structure", item.path, f"is a {item.type}; the profile allows {', '.join(sorted(codes))}")
                return False
            return True
        for each in definition.types:
            if each.code == item.type:
                self._one_of(each.profiles, item, depth)
                self._target(each.targets, item)
        return True

    def _is_type(self, name: str) -> bool:
        return name in self.definitions.types or name in self.definitions.primitives

    def _one_of(self, canonicals: tuple[str, ...], item: Item, depth: int) -> None:
        """Checks that the item conforms to one of the profiles; if to none, reports the errors of the first."""
        if not canonicals:
            return
        told: list[list[Issue]] = []
        before = self.issues
        for canonical in canonicals:
            self.issues = []
            self.profile(canonical, item, depth - 1)
            told.append(self.issues)
        self.issues = before
        if all(any(issue.severity == "error" for issue in issues) for issues in told):
            self.issues += told[0]

    def _target(self, canonicals: tuple[str, ...], item: Item) -> None:
        if not canonicals:
            return
        allowed: set[str] = set()
        for canonical in canonicals:
            profile = self.library.profiles.get(canonical)
            name = profile.type if profile else self.library.core_type(canonical)
            if not name or name in _ANY:
                self.unchecked.add(f"whether references point at what {canonical} asks for")
                return
            if profile:
                self.unchecked.add(f"whether references point at what {canonical} asks for")
            allowed.add(name)
        found = self._referred(item)
        if found in self.definitions.resources and found not in allowed:
            self._error("structure", item.path, f"refers to {found}; the profile allows {', '.join(sorted(allowed))}")

    def _referred(self, item: Item) -> str:
        return referred_type(item.node, self.resource, self.entries)

    def _binding(self, canonical: str, item: Item) -> None:
        match allows(self.library, canonical, item):
            case None:
                self.unchecked.add(unknown_codes(canonical))
            case False if item.value is not None:
                self._error("code-invalid", item.path, f"needs a code of {canonical}")

    def _invariants(self, definition: ElementDefinition, item: Item) -> None:
        node = TypedNode(item.type, item.node, item.path, self.resource, self.resource)
        for invariant in definition.invariants:
            if not self._own(invariant.key):
                continue  # an invariant of the base specification, which is checked with its type
            match self.expressions.verdict(invariant.expression, node, value=item.value, trusted=False):
                case Verdict.BROKEN:
                    self.issues.append(broken(invariant, item.path))
                case Verdict.UNDECIDED:
                    self.unchecked.add(f"invariant {invariant.key}")

    def _own(self, key: str) -> bool:
        return key not in self.expressions.known_keys

    def _error(self, code: str, path: str, what: str) -> None:
        self.issues.append(Issue(code, f"{path}: {what}", (path,)))
