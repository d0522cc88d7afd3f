"""Compiles the tree of a search parameter's expression into a path of steps, using the definitions of types.

Compiled is what official parameters need: paths, `|`, `[0]`, `as`, `ofType`, `where(…)`, `exists()`, `first()`,
`extension('url')`, `hasExtension('url')`, `resolve() is Type`, `=`, `!=`, `and`, `%resource`. `as` filters, as `ofType`
does, because expressions of R4 apply it to several elements at once.

https://hl7.org/fhir/R4/searchparameter-definitions.html#SearchParameter.expression
"""

from __future__ import annotations

from dataclasses import dataclass

from fhirstore.errors import InvalidExpression
from fhirstore.fhir.definitions.facts import Definitions, Element
from fhirstore.fhir.fhirpath.parse import unparse
from fhirstore.fhir.fhirpath.tree import Call, Item, Literal, Member, Node, Operation, Variable
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters import paths
from fhirstore.fhir.search_parameters.paths import NOTHING, Path
from fhirstore.fhir.search_parameters.references import target_type

_BOOLEAN = frozenset({"boolean"})
_ANY_RESOURCE = frozenset({"Resource", "DomainResource"})
_PRIMITIVE_BASE = {
    **dict.fromkeys(("url", "canonical", "uuid", "oid"), "uri"),
    **dict.fromkeys(("code", "id", "markdown"), "string"),
    **dict.fromkeys(("positiveInt", "unsignedInt"), "integer"),
}


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compiles expressions for resources of one type. `bases`: the types that the parameter is for, including
    `type`.
    """

    definitions: Definitions
    type: str
    bases: tuple[str, ...]

    def compile(self, node: Node) -> Path:
        """Returns the path. Raises InvalidExpression for an unknown element, or for FHIRPath that is not
        compiled here.
        """
        return self._path(node, Path((), frozenset({self.type})), at_root=True)

    def compile_from(self, focus: Path, node: Node) -> Path:
        """Returns the path from one element that `focus` selects: the expression is relative to it. Raises as
        `compile`.
        """
        return self._path(node, Path((), focus.types, focus.elements))

    def _path(self, node: Node, focus: Path, *, at_root: bool = False) -> Path:
        match node:
            case Member(None, name) if at_root:
                return self._from_root(name, focus)
            case Member(of, name):
                return self._child(self._of(of, focus, at_root), name)
            case Item(of, Literal("number", text)) if text.isdigit():
                return self._path(of, focus, at_root=at_root).then(paths.item(int(text)))
            case Operation("as", left, Member(None, name)):
                return self._of_type(self._path(left, focus, at_root=at_root), name)
            case Operation("is", Call(of, "resolve", ()), Member(None, name)):
                return self._refers_to(self._of(of, focus, at_root), name)
            case Operation():
                return self._operation(node, focus, at_root)
            case Call(of, name, arguments):
                return self._call(node, self._of(of, focus, at_root), name, arguments)
            case Variable("%resource"):
                return Path((lambda _nodes, root: [root],), frozenset({self.type}))
            case Literal("string", text):
                return _constant(text, "string")
            case Literal("boolean", text):
                return _constant(text == "true", "boolean")
        raise _beyond(node)

    def _of(self, of: Node | None, focus: Path, at_root: bool) -> Path:
        return focus if of is None else self._path(of, focus, at_root=at_root)

    def _operation(self, node: Operation, focus: Path, at_root: bool) -> Path:
        one = self._path(node.left, focus, at_root=at_root)
        other = self._path(node.right, focus, at_root=at_root)
        match node.operator:
            case "|":
                if not one.types or not other.types:
                    return one if one.types else other
                return Path((paths.union((one.run, other.run)),), one.types | other.types)
            case "and":
                return Path((paths.both(one.run, other.run),), _BOOLEAN)
            case "=" | "!=":
                return Path((paths.equal(one.run, other.run, node.operator == "="),), _BOOLEAN)
        raise _beyond(node)

    def _call(self, node: Node, base: Path, name: str, arguments: tuple[Node, ...]) -> Path:
        match name, arguments:
            case "where", (Operation("=", Member(None, child), Literal("string", text)),) if self._is_one(base, child):
                return base.then(paths.having(child, text))
            case "where", (criterion,):
                return base.then(paths.where(self._criterion(base, criterion)))
            case "exists", ():
                return Path((*base.steps, paths.exists) if base.types else (paths.exists,), _BOOLEAN)
            case "as" | "ofType", (Member(None, type_),):
                return self._of_type(base, type_)
            case "first", ():
                return base.then(paths.item(0))
            case "extension", (Literal("string", url),):
                return base.then(paths.extension(url), frozenset({"Extension"}))
            case "hasExtension", (Literal("string", url),):
                return base.then(paths.extension(url)).then(paths.exists, _BOOLEAN)
        raise _beyond(node)

    def _criterion(self, base: Path, criterion: Node) -> paths.Step:
        """Returns the criterion as a step that is run on one element of `base` at a time."""
        return self._path(criterion, Path((), base.types, base.elements)).run

    def _from_root(self, name: str, focus: Path) -> Path:
        """Returns the path of an expression's first name: a type, this one or another, or an element of the
        resource.
        """
        if name in self._ancestry(self.type):
            return focus
        if name in self.definitions.types:
            return NOTHING
        if not self._elements(focus.types, name) and self._elements(frozenset(self.bases), name):
            return NOTHING
        return self._child(focus, name)

    def _child(self, base: Path, name: str) -> Path:
        if not base.types:
            return NOTHING
        elements = self._elements(base.types, name)
        if not elements:
            raise InvalidExpression(f"{' and '.join(sorted(base.types)[:3])} has no element named {name}")
        return _follow(base.steps, elements)

    def _elements(self, types: frozenset[str], name: str) -> tuple[Element, ...]:
        """Returns the elements that `name` means in any of the types."""
        if types & _ANY_RESOURCE:
            types |= self.definitions.resources
        found: dict[tuple[str, str], Element] = {}
        for type_ in sorted(types):
            if facts := self.definitions.types.get(type_):
                for element in facts.elements.values():
                    if (element.choice or element.name) == name:
                        found[element.name, element.type] = element
        return tuple(found.values())

    def _is_one(self, base: Path, name: str) -> bool:
        elements = self._elements(base.types, name)
        return bool(elements) and all(element.name == name and not element.repeats for element in elements)

    def _of_type(self, base: Path, type: str) -> Path:
        if not base.types:
            return NOTHING
        if type not in self.definitions.types and type not in self.definitions.primitives:
            raise InvalidExpression(f"{type} is not a FHIR type")
        if base.types & _ANY_RESOURCE:
            wanted = frozenset(name for name in self.definitions.resources if type in self._ancestry(name))
            return base.then(paths.of_resource_type(wanted), wanted)
        fitting = frozenset(name for name in base.types if type in self._ancestry(name))
        if fitting == base.types:
            return base
        if not fitting:
            return NOTHING
        if not base.elements:
            raise InvalidExpression(
                f"as {type} is supported only directly after a choice of types", code="not-supported"
            )
        return _follow(base.steps[:-1], tuple(element for element in base.elements if element.type in fitting))

    def _refers_to(self, base: Path, type: str) -> Path:
        """Compiles `resolve() is type`: decided by the text of each reference, without reading the target."""
        targets = {target for element in base.elements for target in element.targets or ("",)}
        only = next(iter(targets)) if len(targets) == 1 else ""
        wanted = frozenset(name for name in self.definitions.resources if type in self._ancestry(name))
        if not wanted:
            raise InvalidExpression(f"{type} is not a resource type")

        def step(nodes: list[object], root: JsonObject) -> list[object]:
            return [target_type(node, root, only) in wanted for node in nodes]

        return base.then(step, _BOOLEAN)

    def _ancestry(self, type: str) -> tuple[str, ...]:
        """Returns a type and its bases, nearest first."""
        if type in _PRIMITIVE_BASE:
            return type, _PRIMITIVE_BASE[type]
        found = [type]
        while (facts := self.definitions.types.get(found[-1])) and facts.base:
            found.append(facts.base)
        return tuple(found)


def _follow(steps: tuple[paths.Step, ...], elements: tuple[Element, ...]) -> Path:
    types = frozenset(element.type for element in elements)
    return Path((*steps, paths.child(element.name for element in elements)), types, elements)


def _constant(value: object, type: str) -> Path:
    return Path((lambda _nodes, _root: [value],), frozenset({type}))


def _beyond(node: Node) -> InvalidExpression:
    return InvalidExpression(
        f"This part of FHIRPath is not supported in a search parameter: {unparse(node)}", code="not-supported"
    )
