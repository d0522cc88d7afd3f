"""The values of a search parameter in a resource: its expression, compiled for one resource type.

https://hl7.org/fhir/R4/search.html · https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from fhirstore.errors import InvalidExpression
from fhirstore.fhir.definitions.facts import Definitions, SearchParameter
from fhirstore.fhir.fhirpath.parse import parse
from fhirstore.fhir.fhirpath.tree import Node, Operation
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.compiler import Compiler
from fhirstore.fhir.search_parameters.paths import NOTHING, Path, union

Getter: TypeAlias = Callable[[JsonObject], list[object]]
"""Returns the values in a parsed resource, in the order of the expression; a value on two paths comes twice."""


def getter(definitions: Definitions, type: str, code: str) -> Getter:
    """Returns the getter of `type`'s parameter `code`. Raises KeyError if there is none, otherwise as `compiled`."""
    return compiled(definitions, type, definitions.search_parameters[type][code])


def compiled(definitions: Definitions, type: str, parameter: SearchParameter) -> Getter:
    """Returns the getter of `parameter`, which may be a user's own, for resources of this `type`.

    Raises as `path_to`.
    """
    run = path_to(definitions, type, parameter).run
    return lambda resource: run([resource], resource)


def path_to(definitions: Definitions, type: str, parameter: SearchParameter) -> Path:
    """Returns the path to the values of `parameter`: beside the getter, the types and elements that they are of.

    Raises InvalidExpression, which names the expression: it is missing, it is not FHIRPath, it names an unknown
    element, or it uses a part of FHIRPath that is not compiled (code not-supported).
    """
    if not parameter.expression:
        raise InvalidExpression(f"The search parameter {parameter.code} has no expression", code="not-supported")
    compiler = Compiler(definitions, type, parameter.base)
    try:
        branches = [compiler.compile(branch) for branch in sides(parse(parameter.expression))]
    except InvalidExpression as error:
        raise InvalidExpression(
            f"The search parameter {parameter.code}, {parameter.expression}: {error}", code=error.issues[0].code
        ) from None
    return joined(branches)


def sides(node: Node) -> list[Node]:
    """Returns the sides of a union, without recursion: there may be dozens."""
    found: list[Node] = []
    while isinstance(node, Operation) and node.operator == "|":
        found.append(node.right)
        node = node.left
    return [node, *reversed(found)]


def joined(branches: Iterable[Path]) -> Path:
    """Returns the union of paths as one; of those that can select something."""
    some = [branch for branch in branches if branch.types]
    if len(some) < 2:
        return some[0] if some else NOTHING
    types = frozenset[str]().union(*(branch.types for branch in some))
    elements = tuple(element for branch in some for element in branch.elements)
    return Path((union(branch.run for branch in some),), types, elements)
