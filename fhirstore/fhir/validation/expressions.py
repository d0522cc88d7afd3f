"""FHIRPath conditions on places, evaluated by fhirpathpy: parsed once, with a model made of the release's own facts.

fhirpathpy leaves much unsaid: it reads the longest start of a text that is an expression, lacks functions and raises
bare exceptions. So every expression goes through our own parser first, and what cannot be decided is said to be so; a
resource is never refused for it. https://hl7.org/fhirpath/N1/ · https://hl7.org/fhir/R4/fhirpath.html
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
from fhirstore.fhir.validation.places import Place

_Evaluate: TypeAlias = Callable[[object, Mapping[str, object]], list[object]]
_NEEDS_OTHERS = ("resolve(", "memberOf(", "conformsTo(", "subsumes(")
_REGULAR = ("matches(", "matchesFull(", "replaceMatches(")
_GROWING = ("&", "+", "combine(", "replace(", "join(", "aggregate(")  # each may double what it is given
_MOST_GROWING = 8
# `answer is Boolean` means the FHIR type, whose name is lower case; fhirpathpy takes it at its word.
_SYSTEM_TYPE = re.compile(r"\b(is|as)( |\()(?=(?:Boolean|String|Integer|Decimal|Date|DateTime|Time)\b)([BSIDT])")
_PRIMITIVE_BASES = {
    **dict.fromkeys(("code", "id", "markdown"), "string"),
    **dict.fromkeys(("url", "canonical", "oid", "uuid"), "uri"),
    **dict.fromkeys(("unsignedInt", "positiveInt"), "integer"),
}


class Verdict(Enum):
    """What an expression says of a place. UNDECIDED: it cannot be evaluated here."""

    HOLDS = "holds"
    BROKEN = "broken"
    UNDECIDED = "undecided"


class Expressions:
    """The expressions of one release, compiled when they are first met. Evaluating is synchronous and not shared."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._compiled: dict[str, _Evaluate | None] = {}

    @cached_property
    def known_keys(self) -> frozenset[str]:
        """The keys of the specification's own invariants."""
        types = self._definitions.types.values()
        return frozenset(invariant.key for type_ in types for invariant in type_.invariants)

    def verdict(self, expression: str, place: Place, *, value: object | None = None, trusted: bool = True) -> Verdict:
        """Whether `expression` is true at `place`, whose numbers are Decimals (see `plain`). Nothing counts as true.

        `value`: of a primitive, whose place has what stands beside it only. `trusted`: of the specification; the
        regular expressions of others are not run: they may take forever; nor is what may make much of little.
        """
        if not trusted and (
            any(name in expression for name in _REGULAR)
            or sum(expression.count(name) for name in _GROWING) > _MOST_GROWING
        ):
            return Verdict.UNDECIDED
        evaluate = self._compile(expression)
        if evaluate is None:
            return Verdict.UNDECIDED
        from fhirpathpy.engine.nodes import ResourceNode, TypeInfo  # noqa: PLC0415 - full validation only
        from fhirpathpy.engine.util import get_data  # noqa: PLC0415

        # `ofType` reads the model there, and only `is` and `as` put it there.
        TypeInfo.model = self._model  # type: ignore[assignment] # declared as None, used as this
        focus = ResourceNode(place.node if value is None else value, place.type)  # type: ignore[no-untyped-call] # fhirpathpy's
        try:
            found = evaluate(focus, {"resource": place.resource, "rootResource": place.root})
        except Exception:  # noqa: BLE001 - fhirpathpy raises Exception itself, and whatever its parts raise
            return Verdict.UNDECIDED
        broken = len(found) == 1 and get_data(found[0]) is False  # type: ignore[no-untyped-call] # fhirpathpy's
        return Verdict.BROKEN if broken else Verdict.HOLDS

    def compiles(self, expression: str) -> bool:
        """Whether it can be evaluated at all."""
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
        # A twentieth of a second, for full validation only.
        from fhirpathpy.parser import parse as parse_for_fhirpathpy  # noqa: PLC0415

        lowered = _SYSTEM_TYPE.sub(lambda match: match[1] + match[2] + match[3].lower(), expression)
        try:
            tree = parse_for_fhirpathpy(lowered)["children"][0]  # type: ignore[no-untyped-call] # fhirpathpy's
        except Exception:  # noqa: BLE001 - as above
            return None
        return self._evaluating(tree)

    def _evaluating(self, tree: object) -> _Evaluate:
        """What evaluates a parsed expression. fhirpathpy's own `compile` would hide the types from our functions."""
        from fhirpathpy.engine import do_eval  # noqa: PLC0415
        from fhirpathpy.engine.invocations.constants import constants  # noqa: PLC0415

        functions, model = self._functions, self._model

        def evaluate(focus: object, variables: Mapping[str, object]) -> list[object]:
            constants.reset()  # type: ignore[no-untyped-call] # fhirpathpy's: it keeps what time it is
            context = {
                "dataRoot": [focus],
                "vars": {"context": focus, "ucum": "http://unitsofmeasure.org", **variables},
                "model": model,
                "userInvocationTable": functions,
                "traceFn": _say_nothing,
            }
            found: list[object] = do_eval(context, [focus], tree)  # type: ignore[no-untyped-call] # fhirpathpy's
            return found

        return evaluate

    @cached_property
    def _functions(self) -> Mapping[str, Mapping[str, object]]:
        """Ours, instead of fhirpathpy's of the same names."""
        from fhirstore.fhir.validation.operators import operators  # noqa: PLC0415 - it needs fhirpathpy

        # The structure of a narrative is checked before.
        return {**operators(self._definitions), "htmlChecks": {"fn": lambda *_: True, "arity": {0: []}}}

    @cached_property
    def _model(self) -> dict[str, dict[str, object]]:
        return _model(self._definitions)


def plain(value: object) -> object:
    """`value` with number literals as Decimals, which fhirpathpy compares; the rest is shared."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return Decimal(bytes(value).decode()) if isinstance(value, NumberLiteral) else value


def plain_resource(resource: JsonObject) -> JsonObject:
    """A resource as `plain` makes it."""
    return {name: plain(item) for name, item in resource.items()}


def _say_nothing(*_: object) -> None:
    """What trace() does: by default it prints the data."""


def _model(definitions: Definitions) -> dict[str, dict[str, object]]:
    """What fhirpathpy wants to know of a release, in its own terms."""
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
