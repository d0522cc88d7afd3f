"""Evaluates FHIRPath expressions to positions in a resource that a patch can change.

fhirpathpy returns values without their positions, so it cannot be used. Evaluated are: paths, which may start with the
resource's type; `[0]`; `where(…)`, `first()`, `last()`, `single()`, `extension('url')`, `ofType(T)`, `as`, `is`; in
conditions `=`, `!=`, `and`, `or`, `not()`, `exists(…)`, `empty()`, `hasExtension('url')`, `$this`, `%resource`.
Anything else is an error that shows the part.

https://hl7.org/fhir/R4/fhirpatch.html · https://hl7.org/fhirpath/N1/
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fhirstore.errors import ContentTooLarge, InvalidExpression, PatchFailed
from fhirstore.fhir.definitions.facts import Definitions, Element
from fhirstore.fhir.fhirpath.parse import unparse
from fhirstore.fhir.fhirpath.tree import Call, Item, Literal, Member, Node, Operation, Variable
from fhirstore.fhir.json import NumberLiteral
from fhirstore.fhir.patch.elements import Position, children, elements
from fhirstore.fhir.patch.json_values import same

_MAX_STEPS = 500_000


@dataclass(slots=True)
class Paths:
    """Evaluates the expressions of one patch. `root`: the resource in its current state."""

    definitions: Definitions
    root: Position
    _left: int = field(default=_MAX_STEPS, init=False)
    _known: dict[tuple[str, str], list[Element]] = field(default_factory=dict, init=False)

    def positions(self, node: Node) -> list[Position]:
        """Returns the positions. Raises PatchFailed (no such element), InvalidExpression (not supported),
        ContentTooLarge.
        """
        found = self._evaluate(node, [self.root])
        positions = [item for item in found if isinstance(item, Position)]
        if len(positions) != len(found):
            raise PatchFailed("the path leads to values that are not elements")
        return positions

    def one(self, node: Node | None) -> Position:
        """Returns the only position; for None, the resource. Raises PatchFailed if there is none, or more than one."""
        positions = [self.root] if node is None else self.positions(node)
        if len(positions) != 1:
            raise PatchFailed(f"the path leads to {len(positions) or 'no'} elements; it must lead to one")
        return positions[0]

    def _evaluate(self, node: Node, focus: list[object]) -> list[object]:
        self._left -= 1 + len(focus)
        if self._left < 0:
            raise ContentTooLarge("The patch takes too many steps; send fewer operations at a time")
        match node:
            case Member(None, name) if focus[:1] == [self.root] and name in self._ancestry(self.root.type):
                return focus
            case Member(of, name):
                return self._children(self._of(of, focus), name)
            case Item(of, Literal("number", text)) if text.isdigit():
                return self._evaluate(of, focus)[int(text) : int(text) + 1]
            case Operation("as" | "is", left, Member(None, type_)):
                items = self._evaluate(left, focus)
                fitting = [item for item in items if self._is(item, type_)]
                return fitting if node.operator == "as" else [bool(fitting)] if items else []
            case Operation():
                return self._operation(node, focus)
            case Call(of, name, arguments):
                return self._call(node, self._of(of, focus), name, arguments)
            case Literal(kind, _) if kind != "quantity":
                return _constant(node)
            case Variable("$this"):
                return focus
            case Variable("%resource" | "%context"):
                return [self.root]
        raise _beyond(node)

    def _of(self, of: Node | None, focus: list[object]) -> list[object]:
        return focus if of is None else self._evaluate(of, focus)

    def _children(self, items: list[object], name: str) -> list[object]:
        found: list[object] = []
        for item in items:
            if isinstance(item, Position):
                known = self._known.get((item.type, name))
                if known is None:
                    known = self._known[item.type, name] = elements(item.type, name, self.definitions)
                found += children(item, known)
        return found

    def _call(self, node: Node, items: list[object], name: str, arguments: tuple[Node, ...]) -> list[object]:
        match name, arguments:
            case "where", (criterion,):
                return self._where(items, criterion)
            case "exists", (criterion,):
                return [bool(self._where(items, criterion))]
            case "exists", ():
                return [bool(items)]
            case "empty", ():
                return [not items]
            case "not", ():
                return [] if (truth := _truth(items)) is None else [not truth]
            case "first", ():
                return items[:1]
            case "last", ():
                return items[-1:]
            case "single", () if len(items) <= 1:
                return items
            case "ofType" | "as", (Member(None, type_),):
                return [item for item in items if self._is(item, type_)]
            case "extension", (Literal("string", url),):
                return self._extensions(items, url)
            case "hasExtension", (Literal("string", url),):
                return [bool(self._extensions(items, url))]
        raise _beyond(node)

    def _operation(self, node: Operation, focus: list[object]) -> list[object]:
        left, right = self._evaluate(node.left, focus), self._evaluate(node.right, focus)
        match node.operator:
            case "=" | "!=" if not left or not right:
                return []
            case "=" | "!=":
                equal = len(left) == len(right) and all(map(same, map(_value, left), map(_value, right)))
                return [equal is (node.operator == "=")]
            case "and" | "or":
                decisive = node.operator == "or"
                one, other = _truth(left), _truth(right)
                if one is decisive or other is decisive:
                    return [decisive]
                return [] if one is None or other is None else [not decisive]
        raise _beyond(node)

    def _where(self, items: list[object], criterion: Node) -> list[object]:
        return [item for item in items if _truth(self._evaluate(criterion, [item]))]

    def _extensions(self, items: list[object], url: str) -> list[object]:
        return [
            item
            for item in self._children(items, "extension")
            if isinstance(item, Position) and item.members.get("url") == url
        ]

    def _is(self, item: object, type: str) -> bool:
        return isinstance(item, Position) and type in self._ancestry(item.type)

    def _ancestry(self, type: str) -> tuple[str, ...]:
        found = [type]
        while (facts := self.definitions.types.get(found[-1])) and facts.base:
            found.append(facts.base)
        return tuple(found)


def _value(item: object) -> object:
    return item.pair[0] if isinstance(item, Position) else item


def _truth(items: list[object]) -> bool | None:
    """Returns a collection as a condition: empty is unknown (None), a single element that is not a boolean is true."""
    if not items:
        return None
    if len(items) > 1:
        raise PatchFailed("a condition in the path has several values; it must have one")
    return _value(items[0]) is not False


def _constant(literal: Literal) -> list[object]:
    match literal.kind:
        case "empty":
            return []
        case "boolean":
            return [literal.text == "true"]
        case "number":
            return [NumberLiteral(literal.text)]
    return [literal.text]


def _beyond(node: Node) -> InvalidExpression:
    return InvalidExpression(
        f"this part of FHIRPath is not supported in a patch: {unparse(node, literals=False)}", code="not-supported"
    )
