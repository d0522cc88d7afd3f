"""Evaluates FHIRPath conditions at typed nodes, with fhirpathpy and a model made from the release's definitions.

fhirpathpy accepts any text that starts with an expression, lacks functions, and raises bare exceptions. So every
expression is parsed by our own parser first, and an expression that cannot be evaluated is undecided: no resource is
refused for it. https://hl7.org/fhirpath/N1/ · https://hl7.org/fhir/R4/fhirpath.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import Enum
from functools import cached_property
from typing import TypeAlias

from fhirstore.errors import InvalidExpression
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.fhirpath.parse import parse
from fhirstore.fhir.json import JsonObject, NumberLiteral
from fhirstore.fhir.validation.nodes import TypedNode

_Evaluate: TypeAlias = Callable[[object, Mapping[str, object]], list[object]]
_NEEDS_OTHERS = ("resolve(", "memberOf(", "conformsTo(", "subsumes(")
# Functions of which one call may take any time, or make a text or number of any size; and what has its name quoted.
_UNBOUNDED = re.compile(r"(\b(matches|matchesFull|replaceMatches|replace|power)|`)\s*[(/]")
_GROWING = re.compile(r"[&+*]|\b(combine|join)\s*[(/]")  # each may double its input
_MOST_GROWING = 8
_LOOP = re.compile(r"\b(aggregate|repeat)\s*[(/]")  # in one, what doubles does so again and again
# `answer is Boolean` means the FHIR type `boolean`; fhirpathpy would look for the System type.
_SYSTEM_TYPE = re.compile(r"\b(is|as)( |\()(?=(?:Boolean|String|Integer|Decimal|Date|DateTime|Time)\b)([BSIDT])")
_PRIMITIVE_BASES = {
    **dict.fromkeys(("code", "id", "markdown"), "string"),
    **dict.fromkeys(("url", "canonical", "oid", "uuid"), "uri"),
    **dict.fromkeys(("unsignedInt", "positiveInt"), "integer"),
}


class Verdict(Enum):
    """The result of a condition at a node. UNDECIDED: it cannot be evaluated here."""

    HOLDS = "holds"
    BROKEN = "broken"
    UNDECIDED = "undecided"


class Expressions:
    """The expressions of one release, compiled when they are first used. For use by one thread at a time."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._compiled: dict[str, _Evaluate | None] = {}

    @cached_property
    def known_keys(self) -> frozenset[str]:
        """The keys of the specification's own invariants."""
        types = self._definitions.types.values()
        return frozenset(invariant.key for type_ in types for invariant in type_.invariants)

    def verdict(
        self, expression: str, node: TypedNode, *, value: object | None = None, trusted: bool = True
    ) -> Verdict:
        """Evaluates `expression` at `node`, whose numbers must be Decimals (see `plain`). An empty result counts as
        true.

        `value`: the value of a primitive; the node then has only its id and extensions. `trusted`: the expression is
        the specification's own. Regular expressions of others are not run, because their time is not bounded, and
        neither are expressions that may multiply their input.
        """
        found = self._found(expression, node, value) if trusted or _is_bounded(expression) else None
        if found is None:
            return Verdict.UNDECIDED
        broken = len(found) == 1 and found[0] is False
        return Verdict.BROKEN if broken else Verdict.HOLDS

    def values(self, expression: str, node: TypedNode) -> list[object] | None:
        """Returns what a user's expression selects, as JSON with Decimals; None where it cannot be evaluated here."""
        return self._found(expression, node, None) if _is_bounded(expression) else None

    def _found(self, expression: str, node: TypedNode, value: object | None) -> list[object] | None:
        evaluate = self._compile(expression)
        if evaluate is None:
            return None
        from fhirpathpy.engine.nodes import ResourceNode, TypeInfo  # noqa: PLC0415 - full validation only
        from fhirpathpy.engine.util import get_data  # noqa: PLC0415

        # fhirpathpy's `ofType` reads the model from there, but only its `is` and `as` set it.
        TypeInfo.model = self._model  # type: ignore[assignment] # declared as None, used as this
        focus = ResourceNode(node.members if value is None else value, node.type)  # type: ignore[no-untyped-call] # fhirpathpy's
        try:
            found = evaluate(focus, {"resource": node.resource, "rootResource": node.root})
        except Exception:  # noqa: BLE001 - fhirpathpy raises Exception itself, and whatever its functions raise
            return None
        return [get_data(one) for one in found]  # type: ignore[no-untyped-call] # fhirpathpy's

    def compiles(self, expression: str) -> bool:
        """Returns whether the expression can be evaluated at all."""
        return self._compile(expression) is not None

    def _compile(self, expression: str) -> _Evaluate | None:
        if expression not in self._compiled:
            self._compiled[expression] = self._compiled_anew(expression)
        return self._compiled[expression]

    def _compiled_anew(self, expression: str) -> _Evaluate | None:
        if any(name in expression for name in _NEEDS_OTHERS):
            return None
        try:
            parse(expression)
        except InvalidExpression:
            return None
        from fhirpathpy.parser import parse as parse_for_fhirpathpy  # noqa: PLC0415 - slow to import

        lowered = _SYSTEM_TYPE.sub(lambda match: match[1] + match[2] + match[3].lower(), expression)
        try:
            tree = parse_for_fhirpathpy(lowered)["children"][0]  # type: ignore[no-untyped-call] # fhirpathpy's
        except Exception:  # noqa: BLE001 - as above
            return None
        return self._evaluating(tree)

    def _evaluating(self, tree: object) -> _Evaluate:
        """Returns a function that evaluates a parsed expression. fhirpathpy's own `compile` would hide the types from
        our operators.
        """
        from fhirpathpy.engine import do_eval  # noqa: PLC0415
        from fhirpathpy.engine.invocations.constants import constants  # noqa: PLC0415

        functions, model = self._functions, self._model

        def evaluate(focus: object, variables: Mapping[str, object]) -> list[object]:
            constants.reset()  # type: ignore[no-untyped-call] # fhirpathpy's: now() is read anew
            context = {
                "dataRoot": [focus],
                "vars": {"context": focus, "ucum": "http://unitsofmeasure.org", **variables},
                "model": model,
                "userInvocationTable": functions,
                "traceFn": _ignore,
            }
            found: list[object] = do_eval(context, [focus], tree)  # type: ignore[no-untyped-call] # fhirpathpy's
            return found

        return evaluate

    @cached_property
    def _functions(self) -> Mapping[str, Mapping[str, object]]:
        """Our functions, which replace fhirpathpy's functions of the same names."""
        from fhirstore.fhir.validation.operators import operators  # noqa: PLC0415 - it needs fhirpathpy

        # htmlChecks: the structure of a narrative has been checked before.
        return {**operators(self._definitions), "htmlChecks": {"fn": lambda *_: True, "arity": {0: []}}}

    @cached_property
    def _model(self) -> dict[str, dict[str, object]]:
        return _model(self._definitions)


def _is_bounded(expression: str) -> bool:
    """Returns whether an expression of a user takes a time that the resource bounds."""
    if _UNBOUNDED.search(expression):
        return False
    growing = sum(1 for _ in _GROWING.finditer(expression))
    return growing <= (0 if _LOOP.search(expression) else _MOST_GROWING)


def plain(value: object) -> object:
    """Returns `value` with number literals as Decimals, which fhirpathpy can compare. Strings are shared, not
    copied.
    """
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return Decimal(bytes(value).decode()) if isinstance(value, NumberLiteral) else value


def plain_resource(resource: JsonObject) -> JsonObject:
    """Returns a resource as `plain` does."""
    return {name: plain(item) for name, item in resource.items()}


def _ignore(*_: object) -> None:
    """Replaces trace(), which would print data."""


def _model(definitions: Definitions) -> dict[str, dict[str, object]]:
    """Returns the definitions in the form that fhirpathpy requires."""
    choices: dict[str, object] = {}
    types: dict[str, object] = {}
    elsewhere: dict[str, object] = {}
    parents: dict[str, object] = {name: _PRIMITIVE_BASES.get(name, "Element") for name in definitions.primitives}
    for name, type_ in definitions.types.items():
        if type_.base:
            parents[name] = type_.base
        of_choice: dict[str, list[str]] = {}
        for element in type_.elements.values():
            path = f"{name}.{element.name}"
            if element.choice:
                of_choice.setdefault(element.choice, []).append(element.name.removeprefix(element.choice))
                types[path] = element.type
            elif element.type in definitions.types and definitions.types[element.type].kind == "backbone":
                if element.type != path:
                    elsewhere[path] = element.type
            else:
                types[path] = element.type
        choices.update({f"{name}.{choice}": suffixes for choice, suffixes in of_choice.items()})
    return {"choiceTypePaths": choices, "path2Type": types, "pathsDefinedElsewhere": elsewhere, "type2Parent": parents}
