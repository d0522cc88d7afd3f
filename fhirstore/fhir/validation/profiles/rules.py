"""A profile as a tree of rules, one for each of its elements and slices.

Read from the snapshot, which says everything, or from the differential, which says what the base does not; then the
base is asked as well. https://hl7.org/fhir/R4/elementdefinition.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from fhirstore.fhir.definitions.facts import Invariant
from fhirstore.fhir.definitions.nodes import Node, node_of, nodes, text, texts
from fhirstore.fhir.json import MAX_DEPTH
from fhirstore.fhir.validation.expressions import plain

_NOT_CHECKED = ("minValue", "maxValue")


@dataclass(frozen=True, slots=True)
class TypeRule:
    """A type that an element may have, the profiles that it must then conform to (one of), and what it may refer to."""

    code: str
    profiles: tuple[str, ...]
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Slicing:
    """`discriminators`: (type, path) of each. `rules`: open, closed or openAtEnd."""

    discriminators: tuple[tuple[str, str], ...]
    rules: str
    ordered: bool


@dataclass(slots=True)
class Rule:
    """What a profile asks of one element, or of one slice of it.

    `name`: as in the element's path, `value[x]`. `fixed`, `pattern`: a list with the value, or empty. `binding`: the
    value set of a required binding. `unchecked`: names of constraints that are not checked.
    """

    name: str
    slice: str = ""
    min: int = 0
    max: int | None = None
    types: tuple[TypeRule, ...] = ()
    fixed: tuple[object, ...] = ()
    pattern: tuple[object, ...] = ()
    binding: str = ""
    max_length: int | None = None
    slicing: Slicing | None = None
    invariants: tuple[Invariant, ...] = ()
    unchecked: tuple[str, ...] = ()
    children: dict[str, Rule] = field(default_factory=dict)
    slices: dict[str, Rule] = field(default_factory=dict)

    def below(self) -> Iterator[Rule]:
        """The rule itself and all rules below it."""
        yield self
        for rule in (*self.children.values(), *self.slices.values()):
            yield from rule.below()


@dataclass(frozen=True, slots=True)
class Profile:
    """`type`: what it constrains. `base`: the canonical of what it builds on. `complete`: `root` says that too."""

    url: str
    type: str
    base: str
    complete: bool
    root: Rule


def read_profile(structure: Node) -> Profile:
    """The profile in a StructureDefinition. Elements that have no parent in it get one that asks nothing."""
    snapshot = nodes(node_of(structure, "snapshot"), "element")
    elements = snapshot or nodes(node_of(structure, "differential"), "element")
    type_ = text(structure, "type")
    root = Rule(type_)
    current: dict[str, Rule] = {type_: root}  # path -> the rule that elements below that path now belong to
    for element in elements:
        path = text(element, "path")
        if path == type_:
            _fill(root, element)
        elif path.startswith(f"{type_}.") and path.count(".") < MAX_DEPTH:
            rule = _place(current, path, text(element, "sliceName"))
            _fill(rule, element)
    return Profile(text(structure, "url"), type_, text(structure, "baseDefinition"), bool(snapshot), root)


def _place(current: dict[str, Rule], path: str, slice_name: str) -> Rule:
    """The rule for an element, made below its parent; what was said below its path before is another slice's."""
    above, _, name = path.rpartition(".")
    parent = current.get(above) or _place(current, above, "")
    rule = parent.children.get(name)
    if rule is None:
        rule = parent.children[name] = Rule(name)
    if slice_name:
        rule = rule.slices.setdefault(slice_name, Rule(name, slice_name))
    for known in [known for known in current if known.startswith(f"{path}.")]:
        del current[known]
    current[path] = rule
    return rule


def _fill(rule: Rule, element: Node) -> None:
    low, high = element.get("min"), text(element, "max")
    rule.min = low if isinstance(low, int) else 0
    rule.max = int(high) if high.isdigit() else None
    rule.types = tuple(
        TypeRule(text(each, "code"), texts(each, "profile"), texts(each, "targetProfile"))
        for each in nodes(element, "type")
    )
    rule.fixed = _value(element, "fixed")
    rule.pattern = _value(element, "pattern")
    binding = node_of(element, "binding")
    rule.binding = text(binding, "valueSet") if text(binding, "strength") == "required" else ""
    length = element.get("maxLength")
    rule.max_length = length if isinstance(length, int) else None
    if "slicing" in element:
        rule.slicing = _slicing(node_of(element, "slicing"))
    rule.invariants = tuple(
        Invariant(text(each, "key"), text(each, "severity"), text(each, "human"), text(each, "expression"))
        for each in nodes(element, "constraint")
    )
    rule.unchecked = tuple(name for name in _NOT_CHECKED if any(member.startswith(name) for member in element))


def _value(element: Node, prefix: str) -> tuple[object, ...]:
    """The value of `fixed[x]` or `pattern[x]`."""
    return tuple(plain(value) for name, value in element.items() if name.startswith(prefix))[:1]


def _slicing(node: Node) -> Slicing:
    discriminators = tuple((text(each, "type"), text(each, "path")) for each in nodes(node, "discriminator"))
    return Slicing(discriminators, text(node, "rules") or "open", node.get("ordered") is True)
