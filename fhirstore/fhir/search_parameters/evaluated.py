"""Expressions of a tenant's search parameters that are not compiled: fhirpathpy evaluates them.

That takes about a millisecond for a resource, hundreds of times what a compiled path takes, and one resource is
evaluated at a time. Expressions that need other resources are refused, and so are those whose time is not bounded by
the size of the resource. The number of calls is bounded, too.

https://hl7.org/fhir/R4/searchparameter-definitions.html#SearchParameter.expression
"""

from __future__ import annotations

import threading
from decimal import Decimal
from functools import lru_cache

from fhirstore.errors import InvalidExpression
from fhirstore.fhir.definitions.facts import Definitions, SearchParameter
from fhirstore.fhir.definitions.load import definitions as definitions_of
from fhirstore.fhir.fhirpath.parse import parse, unparse
from fhirstore.fhir.fhirpath.tree import Call, Item, Member, Node, Operation, Variable
from fhirstore.fhir.json import JsonObject, NumberLiteral
from fhirstore.fhir.search_parameters.getters import path_to
from fhirstore.fhir.search_parameters.paths import Path, Step
from fhirstore.fhir.validation.call_limit import TooManyCalls, call_within
from fhirstore.fhir.validation.expressions import Expressions, plain_resource
from fhirstore.fhir.validation.nodes import TypedNode

MOST_CALLS = 200_000
"""Calls of functions for one resource; a tenth of a second."""
ANY_TYPE = "*"
"""Stands for the types of what an evaluated expression selects, which are not known before."""
_alone = threading.Lock()


class Unevaluated(Exception):
    """The values of a parameter in a resource cannot be told: the expression fails there, or takes too long."""


def path_of(definitions: Definitions, type: str, parameter: SearchParameter) -> Path:
    """Returns the path to the values of a parameter that may be a tenant's own: compiled, or else evaluated.

    An evaluated one raises Unevaluated when it is run. Raises InvalidExpression as `path_to`.
    """
    try:
        return path_to(definitions, type, parameter)
    except InvalidExpression as error:
        if not parameter.expression or error.issues[0].code != "not-supported":
            raise
        if not _runs(definitions.release, type, parameter.expression):
            raise
    return Path((_step(definitions.release, type, parameter.expression),), frozenset({ANY_TYPE}))


@lru_cache(maxsize=4)
def _expressions(release: str) -> Expressions:
    return Expressions(definitions_of(release))


@lru_cache(maxsize=1_024)
def _runs(release: str, type: str, expression: str) -> bool:
    """Returns whether the expression can be evaluated on an empty resource, at least."""
    try:
        _step(release, type, expression)([{"resourceType": type}], {"resourceType": type})
    except Unevaluated:
        return False
    return True


def _step(release: str, type: str, expression: str) -> Step:
    relative = unparse(_of_resource(parse(expression), type))

    def step(_nodes: list[object], root: JsonObject) -> list[object]:
        resource = plain_resource(root)
        node = TypedNode(type, resource, type, resource, resource)
        with _alone:
            try:
                found = call_within(MOST_CALLS, lambda: _expressions(release).values(relative, node))
            except TooManyCalls as error:
                raise Unevaluated from error
        if found is None:
            raise Unevaluated
        return [_as_parsed(one) for one in found if one is not None]

    return step


def _of_resource(node: Node, type: str) -> Node:
    """Returns the expression with `%resource` for the name of the type, which fhirpathpy does not know."""
    match node:
        case Member(None, name) if name == type:
            return Variable("%resource")
        case Member(of, name) if of is not None:
            return Member(_of_resource(of, type), name)
        case Item(of, index):
            return Item(_of_resource(of, type), _of_resource(index, type))
        case Operation("is" | "as" as operator, left, right):
            return Operation(operator, _of_resource(left, type), right)
        case Operation(operator, left, right):
            return Operation(operator, _of_resource(left, type), _of_resource(right, type))
        case Call(of, name, arguments):
            focus = None if of is None else _of_resource(of, type)
            if name in ("ofType", "as", "is"):
                return Call(focus, name, arguments)
            return Call(focus, name, tuple(_of_resource(one, type) for one in arguments))
    return node


def _as_parsed(value: object) -> object:
    """Returns a value as it is parsed: numbers as they are written."""
    if isinstance(value, dict):
        return {name: _as_parsed(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_parsed(item) for item in value]
    if isinstance(value, Decimal):
        return NumberLiteral(str(value).encode())
    return value if isinstance(value, (str, bool, int)) else str(value)
