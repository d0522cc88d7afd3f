"""A profile as a tree of element definitions, one for each of its elements and slices.

It is read from the snapshot, which is complete, or from the differential, which holds only the differences from the
base; then the base is checked as well. https://hl7.org/fhir/R4/elementdefinition.html
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
class AllowedType:
    """A type that an element may have, the profiles of which it must then meet one, and the allowed targets of a
    reference.
    """

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
class ElementDefinition:
    """What a profile requires of one element, or of one slice of it.

    `name`: as in the element's path, `value[x]`. `fixed`, `pattern`: a tuple with the value, or empty. `binding`: the
    value set of a required binding. `unchecked`: the names of constraints that are not checked.
    """

    name: str
    slice: str = ""
    min: int = 0
    max: int | None = None
    types: tuple[AllowedType, ...] = ()
    fixed: tuple[object, ...] = ()
    pattern: tuple[object, ...] = ()
    binding: str = ""
    max_length: int | None = None
    slicing: Slicing | None = None
    invariants: tuple[Invariant, ...] = ()
    unchecked: tuple[str, ...] = ()
    children: dict[str, ElementDefinition] = field(default_factory=dict)
    slices: dict[str, ElementDefinition] = field(default_factory=dict)

    def below(self) -> Iterator[ElementDefinition]:
        """Yields this definition and all definitions below it."""
        yield self
        for definition in (*self.children.values(), *self.slices.values()):
            yield from definition.below()


@dataclass(frozen=True, slots=True)
class Profile:
    """`type`: the type that it constrains. `base`: the canonical of its base. `complete`: `root` includes the base."""

    url: str
    type: str
    base: str
    complete: bool
    root: ElementDefinition


def read_profile(structure: Node) -> Profile:
    """Returns the profile in a StructureDefinition. An element whose parent is not in it gets a parent without
    requirements.
    """
    snapshot = nodes(node_of(structure, "snapshot"), "element")
    elements = snapshot or nodes(node_of(structure, "differential"), "element")
    type_ = text(structure, "type")
    root = ElementDefinition(type_)
    # Path -> the definition that elements below that path belong to from here on.
    current: dict[str, ElementDefinition] = {type_: root}
    for element in elements:
        path = text(element, "path")
        if path == type_:
            _read_into(root, element)
        elif path.startswith(f"{type_}.") and path.count(".") < MAX_DEPTH:
            definition = _definition_for(current, path, text(element, "sliceName"))
            _read_into(definition, element)
    return Profile(text(structure, "url"), type_, text(structure, "baseDefinition"), bool(snapshot), root)


def _definition_for(current: dict[str, ElementDefinition], path: str, slice_name: str) -> ElementDefinition:
    """Returns the definition for an element, created below its parent. Definitions below the same path belong to an
    earlier slice and are closed.
    """
    above, _, name = path.rpartition(".")
    parent = current.get(above) or _definition_for(current, above, "")
    definition = parent.children.get(name)
    if definition is None:
        definition = parent.children[name] = ElementDefinition(name)
    if slice_name:
        definition = definition.slices.setdefault(slice_name, ElementDefinition(name, slice_name))
    for known in [known for known in current if known.startswith(f"{path}.")]:
        del current[known]
    current[path] = definition
    return definition


def _read_into(definition: ElementDefinition, element: Node) -> None:
    low, high = element.get("min"), text(element, "max")
    definition.min = low if isinstance(low, int) else 0
    definition.max = int(high) if high.isdigit() else None
    definition.types = tuple(
        AllowedType(text(each, "code"), texts(each, "profile"), texts(each, "targetProfile"))
        for each in nodes(element, "type")
    )
    definition.fixed = _value(element, "fixed")
    definition.pattern = _value(element, "pattern")
    binding = node_of(element, "binding")
    definition.binding = text(binding, "valueSet") if text(binding, "strength") == "required" else ""
    length = element.get("maxLength")
    definition.max_length = length if isinstance(length, int) else None
    if "slicing" in element:
        definition.slicing = _slicing(node_of(element, "slicing"))
    definition.invariants = tuple(
        Invariant(text(each, "key"), text(each, "severity"), text(each, "human"), text(each, "expression"))
        for each in nodes(element, "constraint")
    )
    definition.unchecked = tuple(name for name in _NOT_CHECKED if any(member.startswith(name) for member in element))


def _value(element: Node, prefix: str) -> tuple[object, ...]:
    """Returns the value of `fixed[x]` or `pattern[x]`, or nothing."""
    return tuple(plain(value) for name, value in element.items() if name.startswith(prefix))[:1]


def _slicing(node: Node) -> Slicing:
    discriminators = tuple((text(each, "type"), text(each, "path")) for each in nodes(node, "discriminator"))
    return Slicing(discriminators, text(node, "rules") or "open", node.get("ordered") is True)
