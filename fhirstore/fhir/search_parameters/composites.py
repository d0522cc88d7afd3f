"""Composite parameters as functions: from a resource to the elements that they are about, and from one of these to the
values of each component. A composite is met where one element has all that is searched for.

https://hl7.org/fhir/R4/search.html#composite
"""

from __future__ import annotations

from dataclasses import dataclass

from fhirstore.errors import InvalidExpression
from fhirstore.fhir.definitions.facts import Component, Definitions, SearchParameter
from fhirstore.fhir.fhirpath.parse import parse, unparse
from fhirstore.fhir.fhirpath.tree import Call, Member, Node, Operation
from fhirstore.fhir.search_parameters.compiler import Compiler
from fhirstore.fhir.search_parameters.getters import joined, sides
from fhirstore.fhir.search_parameters.paths import Path, Step

_KINDS = {
    "token": frozenset(("code", "boolean", "CodeableConcept", "Coding", "Identifier", "ContactPoint", "id")),
    "string": frozenset(("string", "markdown", "HumanName", "Address")),
    "reference": frozenset(("Reference", "CodeableReference", "canonical")),
    "uri": frozenset(("uri", "url", "oid", "uuid")),
    "date": frozenset(("date", "dateTime", "instant", "Period", "Timing")),
    "number": frozenset(("integer", "decimal", "positiveInt", "unsignedInt", "integer64")),
    "quantity": frozenset(("Quantity", "Range", "Money", "Age", "Duration", "Count", "Distance", "SimpleQuantity")),
}
"""How elements of these types are searched."""


@dataclass(frozen=True, slots=True)
class Part:
    """A component. `parameter`: says how it is searched. `path`: from one element to its values. `text`: of the same
    values as an expression of the resource, in one spelling.
    """

    parameter: SearchParameter
    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class Branch:
    """One side of a composite's expression. `elements`: from a resource to the elements that it is about, or
    (`of_resource`) to itself. `text`: tells branches apart, in all composites of the type.
    """

    text: str
    elements: Step
    of_resource: bool
    parts: tuple[Part, ...]


def branches_of(definitions: Definitions, type: str, parameter: SearchParameter) -> tuple[Branch, ...]:
    """Returns the branches of a composite that can select something in resources of the type.

    Raises InvalidExpression as `path_to`, also where a component's elements cannot be searched.
    """
    if len(parameter.components) < 2 or not parameter.expression:
        raise InvalidExpression(f"The composite {parameter.code} has no components", code="not-supported")
    compiler = Compiler(definitions, type, parameter.base)
    by_url = {one.url: one for one in definitions.search_parameters[type].values()}
    found: list[Branch] = []
    for side in sides(parse(parameter.expression)):
        focus = compiler.compile(side)
        if not focus.types:
            continue
        base = spelled(side)
        parts: list[Part] = []
        for component in parameter.components:
            nodes = sides(parse(component.expression))
            path = joined(compiler.compile_from(focus, node) for node in nodes)
            searched = _searched(component, path, by_url.get(component.definition), type)
            parts.append(Part(searched, path, " | ".join(sorted(spelled(node, base) for node in nodes))))
        if all(part.path.types for part in parts):
            text = " $ ".join((base, *(f"{part.parameter.type} {part.text}" for part in parts)))
            found.append(Branch(text, focus.run, base == type, tuple(parts)))
    return tuple(found)


def _searched(component: Component, path: Path, known: SearchParameter | None, type: str) -> SearchParameter:
    """Returns the parameter as which a component is searched: the one that its definition names, or, where the release
    has none of that name or one that does not fit the elements, what their type calls for.
    """
    if known is not None and known.type not in ("composite", "special"):
        references = path.types & _KINDS["reference"]
        if not path.types or (references if known.type == "reference" else references != path.types):
            return known
    for kind, types in _KINDS.items():
        if path.types and path.types <= types:
            code = component.expression.rpartition(".")[2]
            return SearchParameter(code, component.definition, kind, (type,), component.expression)
    raise InvalidExpression(f"A component refers to {component.definition}, which it cannot be", code="not-supported")


def spelled(node: Node, base: str = "") -> str:
    """Returns an expression of the resource in one spelling, so that two that are the same can be told to be.

    `base`: of the elements that it is relative to; empty: it begins with the type.
    """
    match node:
        case Member(of, name):
            before = base if of is None else spelled(of, base)
            return f"{before}.{name}" if before else name
        case Operation("as", left, Member(None, name)):
            return f"{spelled(left, base)}.ofType({name})"
        case Call(of, "as" | "ofType", (Member(None, name),)) if of is not None:
            return f"{spelled(of, base)}.ofType({name})"
    return f"{base} -> {unparse(node)}" if base else unparse(node)
