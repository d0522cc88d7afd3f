"""The compiled form of an expression: a path of steps from elements to elements, and the steps themselves.

A step takes a list of elements (parsed JSON) and the resource they are in, and returns the elements that it selects.
Content that does not fit the definitions selects nothing and raises nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from fhirstore.fhir.definitions.facts import Element
from fhirstore.fhir.json import JsonObject

Step: TypeAlias = Callable[[list[object], JsonObject], list[object]]

_FEW = 4


@dataclass(frozen=True, slots=True)
class Path:
    """`types`: the types of what the path selects; empty if it can select nothing. `elements`: what the last step
    selects, if that is a child step: for a choice, `as` narrows the elements and this step.
    """

    steps: tuple[Step, ...]
    types: frozenset[str]
    elements: tuple[Element, ...] = ()

    def then(self, step: Step, types: frozenset[str] | None = None) -> Path:
        """Returns this path with one more step; `types` None: the step keeps the types."""
        return Path((*self.steps, step), self.types if types is None else types) if self.types else NOTHING

    @property
    def run(self) -> Step:
        """All steps as one."""
        if not self.types:
            return lambda _nodes, _root: []
        steps = self.steps
        if len(steps) == 1:
            return steps[0]

        def run(nodes: list[object], root: JsonObject) -> list[object]:
            for step in steps:
                nodes = step(nodes, root)
            return nodes

        return run


NOTHING = Path((), frozenset())


def child(names: Iterable[str]) -> Step:
    """`.name`; several names for a choice."""
    wanted = tuple(dict.fromkeys(names))
    if len(wanted) == 1:
        return _single_child(wanted[0])
    if len(wanted) <= _FEW:
        return _one_of(wanted)
    return _any_of(frozenset(wanted))


def _single_child(name: str) -> Step:
    def step(nodes: list[object], _root: JsonObject) -> list[object]:
        found: list[object] = []
        for node in nodes:
            if isinstance(node, dict):
                value = node.get(name)
                if isinstance(value, list):
                    found.extend(value if None not in value else [item for item in value if item is not None])
                elif value is not None:
                    found.append(value)
        return found

    return step


def _one_of(names: tuple[str, ...]) -> Step:
    def step(nodes: list[object], _root: JsonObject) -> list[object]:
        found: list[object] = []
        for node in nodes:
            if isinstance(node, dict):
                for name in names:
                    value = node.get(name)
                    if isinstance(value, list):
                        found.extend(item for item in value if item is not None)
                    elif value is not None:
                        found.append(value)
        return found

    return step


def _any_of(names: frozenset[str]) -> Step:
    def step(nodes: list[object], _root: JsonObject) -> list[object]:
        found: list[object] = []
        for node in nodes:
            if isinstance(node, dict):
                for name, value in node.items():
                    if name in names:
                        if isinstance(value, list):
                            found.extend(item for item in value if item is not None)
                        elif value is not None:
                            found.append(value)
        return found

    return step


def item(index: int) -> Step:
    """`[index]`."""
    return lambda nodes, _: nodes[index : index + 1]


def extension(url: str) -> Step:
    """`.extension('url')`."""
    children = _single_child("extension")
    return lambda nodes, root: [e for e in children(nodes, root) if isinstance(e, dict) and e.get("url") == url]


def of_resource_type(types: frozenset[str]) -> Step:
    """`.ofType(Type)` where any resource is allowed."""
    return lambda nodes, _: [node for node in nodes if isinstance(node, dict) and node.get("resourceType") in types]


def having(name: str, value: object) -> Step:
    """`.where(name = value)`; the value is a string or a boolean."""
    return lambda nodes, _: [node for node in nodes if isinstance(node, dict) and node.get(name) == value]


def where(criterion: Step) -> Step:
    """`.where(criterion)`: keeps the elements for which it is true."""

    def step(nodes: list[object], root: JsonObject) -> list[object]:
        return [node for node in nodes if truth(criterion([node], root))]

    return step


def exists(nodes: list[object], _root: JsonObject) -> list[object]:
    """`.exists()`."""
    return [bool(nodes)]


def union(paths: Iterable[Step]) -> Step:
    """`a | b`; a value that both select comes twice."""
    runs = tuple(paths)
    return lambda nodes, root: [value for run in runs for value in run(nodes, root)]


def both(left: Step, right: Step) -> Step:
    """`a and b`, in three-valued logic: https://hl7.org/fhirpath/N1/#boolean-logic."""

    def step(nodes: list[object], root: JsonObject) -> list[object]:
        one, other = truth(left(nodes, root)), truth(right(nodes, root))
        if one and other:
            return [True]
        return [False] if one is False or other is False else []

    return step


def equal(left: Step, right: Step, expected: bool) -> Step:
    """`a = b`, or `a != b` where `expected` is False; empty if either is."""

    def step(nodes: list[object], root: JsonObject) -> list[object]:
        one, other = left(nodes, root), right(nodes, root)
        return [(one == other) is expected] if one and other else []

    return step


def truth(nodes: list[object]) -> bool | None:
    """Returns a collection as a condition: empty is unknown (None), a single element that is not a boolean is true."""
    if not nodes:
        return None
    return nodes[0] is not False if len(nodes) == 1 else None
