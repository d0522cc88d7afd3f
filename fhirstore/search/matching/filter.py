"""A filter of resources of one type, read from the query of a search.

Parameters are combined by AND, values separated by commas by OR. Every parameter that FHIR defines for the type is
evaluated on the resource alone, except those that need more: chains, `_has`, `_list`, `_text`, `_content`, `_filter`,
special parameters, and modifiers that need a terminology server. These are refused by name, as are
parameters about the answer (`_sort`, `_include` …).

https://hl7.org/fhir/R4/search.html · https://hl7.org/fhir/uv/bulkdata/export.html (`_typeFilter`)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fhirstore.errors import InvalidExpression, InvalidResource, UnknownType, Unsupported
from fhirstore.fhir.definitions.facts import Definitions, SearchParameter
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.composites import branches_of
from fhirstore.fhir.search_parameters.evaluated import path_of
from fhirstore.fhir.search_parameters.paths import Path, Step
from fhirstore.search.criteria.query import MOST_VALUES, parse_query, shown
from fhirstore.search.criteria.token import parts_of, split, unescaped
from fhirstore.search.matching.dates import date_test
from fhirstore.search.matching.numbers import number_test, quantity_test
from fhirstore.search.matching.references import canonical_below_test, reference_test, uri_test
from fhirstore.search.matching.strings import string_test
from fhirstore.search.matching.tokens import of_type_test, token_test, token_text_test

MOST_CHARACTERS = 65_536  # of a query

Test: TypeAlias = Callable[[object, JsonObject], bool]
"""Returns whether an element, in its resource, is what is searched for."""
Demand: TypeAlias = Callable[[object, JsonObject], bool]
"""Returns whether an element, in its resource, or the resource itself has a value that is searched for."""
Criterion: TypeAlias = Callable[[JsonObject], bool]

_MODIFIERS = {
    "token": ("not", "text", "of-type"),
    "string": ("exact", "contains"),
    "reference": ("identifier", "below"),
    "uri": ("above", "below"),
    "date": (),
    "number": (),
    "quantity": (),
    "composite": (),
}
_ONLY_FOR = {"of-type": {"Identifier"}, "identifier": {"Reference"}, "below": {"canonical", "uri", "url"}}
_OTHER_MODIFIERS = frozenset(("in", "not-in", "above", "below", "iterate", "code-text", "text-advanced", "text"))
_ABOUT_THE_ANSWER = frozenset(
    (
        *("_sort", "_count", "_include", "_revinclude", "_summary", "_elements", "_total", "_contained"),
        *("_containedType", "_format", "_pretty", "_score", "_graph", "_maxresults", "_cursor"),
    )
)
_BEYOND = frozenset(("_has", "_list", "_text", "_content", "_filter", "_query", "_type", "_in", "phonetic"))
"""Parameters that need more than the resource; `phonetic` is how a name sounds."""


@dataclass(frozen=True, slots=True, repr=False)
class ResourceFilter:
    """What resources of `type` must meet. `used`: name and modifier of each parameter; the modifier may be empty."""

    type: str
    used: tuple[tuple[str, str], ...]
    criteria: tuple[Criterion, ...]

    def __repr__(self) -> str:
        names = ", ".join(f"{name}:{modifier}" if modifier else name for name, modifier in self.used)
        return f"<ResourceFilter of {self.type}: {names or 'none'}>"

    def matches(self, resource: JsonObject) -> bool:
        """Returns whether a parsed resource is of this type and meets all criteria."""
        if resource.get("resourceType") != self.type:
            return False
        for criterion in self.criteria:  # noqa: SIM110 - half the time of all() with a generator
            if not criterion(resource):
                return False
        return True


def filter_parameters(definitions: Definitions, type: str) -> tuple[SearchParameter, ...]:
    """Returns the search parameters of a type that a filter evaluates, by code."""
    return tuple(one for one in definitions.search_parameters[type].values() if _is_evaluated(definitions, type, one))


def parse_type_filter(definitions: Definitions, text: str, *, now: int, bases: Collection[str] = ()) -> ResourceFilter:
    """Returns the filter of a `_typeFilter`, `[type]?[query]`. Raises as `parse_filter`."""
    type, mark, query = text.partition("?")
    if not type or not mark:
        raise InvalidResource("A type filter is a search of one type, like Patient?active=true", code="value")
    return parse_filter(definitions, type, query, now=now, bases=bases)


def parse_filter(
    definitions: Definitions, type: str, query: str, *, now: int, bases: Collection[str] = ()
) -> ResourceFilter:
    """Returns the filter of a query like `code=a,b&status=final`.

    The query is that of a URL, so it is unquoted here: `category=a%2Cb` is the list a, b. Since many clients quote it
    once less than that, a `+` stands for itself, not for a space. `now`: epoch ms, for the prefix `ap`. `bases`: base
    URLs of this server, each with a slash at the end.

    Raises UnknownType; InvalidResource for a parameter or a modifier that FHIR does not define here, for one about the
    answer, for a malformed value and for too many; Unsupported for what is not evaluated. All name the parameter.
    """
    if len(query) > MOST_CHARACTERS:
        raise InvalidResource(f"The search has more than {MOST_CHARACTERS:,} characters", code="too-costly")
    return filter_of_pairs(definitions, type, parse_query(query.replace("+", "%2B")), now=now, bases=bases)


def filter_of_pairs(
    definitions: Definitions, type: str, pairs: Iterable[tuple[str, str]], *, now: int, bases: Collection[str] = ()
) -> ResourceFilter:
    """Returns the filter of parameters and their values, unquoted. Otherwise as `parse_filter`."""
    if type not in definitions.resources:
        raise UnknownType(f"FHIR has no resource type {shown(type)}")
    reading = _Reading(definitions, type, now, bases)
    used, criteria, values = [], [], 0
    for name, value in pairs:
        texts = split(value, ",")
        values += len(texts)
        if values > MOST_VALUES:
            raise InvalidResource(f"The search has more than {MOST_VALUES:,} values", code="too-costly")
        code, _, modifier = name.partition(":")
        criteria.append(reading.criterion(code, modifier, texts))
        used.append((code, modifier))
    return ResourceFilter(type, tuple(used), tuple(criteria))


@dataclass(frozen=True, slots=True)
class _Reading:
    """Reads parameters of searches of one type."""

    definitions: Definitions
    type: str
    now: int
    bases: Collection[str]

    def criterion(self, code: str, modifier: str, texts: Sequence[str]) -> Criterion:
        """Returns what one parameter demands."""
        parameter = self._parameter(code, modifier)
        try:
            if not all(texts):
                raise ValueError("it has no value")
            if parameter.type == "composite":
                return self._composite(parameter, texts)
            path = path_of(self.definitions, self.type, parameter)
            if modifier == "missing":
                return _missing(path.run, texts)
            self._check_fit(parameter, path, modifier)
            tests = list(self._tests(parameter, path, modifier, texts))
        except ValueError as wrong:
            raise InvalidResource(f"The search parameter '{code}' cannot be read: {wrong}", code="value") from wrong
        found = _any_of(path.run, tests)
        if modifier == "not":
            return lambda resource: not found(resource, resource)
        return lambda resource: found(resource, resource)

    def _composite(self, parameter: SearchParameter, texts: Sequence[str]) -> Criterion:
        """Returns whether one element has all that one of the texts demands. Raises ValueError."""
        branches = branches_of(self.definitions, self.type, parameter)
        wanted = [parts_of(text, len(parameter.components)) for text in texts]
        alternatives = [
            (
                branch.elements,
                [
                    _any_of(part.path.run, list(self._tests(part.parameter, part.path, "", [text])))
                    for part, text in zip(branch.parts, some, strict=True)
                ],
            )
            for branch in branches
            for some in wanted
        ]

        def criterion(resource: JsonObject) -> bool:
            return any(
                all(demand(element, resource) for demand in demands)
                for elements, demands in alternatives
                for element in elements([resource], resource)
            )

        return criterion

    def _parameter(self, code: str, modifier: str) -> SearchParameter:
        """Returns the definition. Raises InvalidResource or Unsupported if it is not evaluated, or not so modified."""
        if code in _ABOUT_THE_ANSWER:
            raise InvalidResource(f"'{code}' is about the answer to a search; a filter has only criteria", code="value")
        if "." in code or "." in modifier:
            raise Unsupported(f"'{shown(code)}' is chained; a filter sees one resource at a time")
        if code in _BEYOND:
            raise Unsupported(f"The search parameter '{code}' is not supported in a filter")
        parameter = self.definitions.search_parameters[self.type].get(code)
        if parameter is None:
            raise InvalidResource(f"FHIR has no search parameter '{shown(code)}' of {self.type}", code="not-supported")
        if not _is_evaluated(self.definitions, self.type, parameter):
            raise Unsupported(f"The search parameter '{code}' ({parameter.type}) is not supported in a filter")
        known = (*_MODIFIERS[parameter.type], "") + (("missing",) if parameter.type != "composite" else ())
        if modifier in known or (parameter.type == "reference" and modifier in self.definitions.resources):
            return parameter
        if modifier in _OTHER_MODIFIERS:
            raise Unsupported(f"The modifier ':{modifier}' of '{code}' is not supported")
        raise InvalidResource(f"'{code}' has no modifier ':{shown(modifier)}'", code="not-supported")

    def _check_fit(self, parameter: SearchParameter, path: Path, modifier: str) -> None:
        """Raises ValueError for a modifier that does not fit the elements."""
        if modifier in _ONLY_FOR and not path.types & _ONLY_FOR[modifier]:
            raise ValueError(f":{modifier} is not for its elements")
        of_type = parameter.type == "reference" and modifier in self.definitions.resources
        if of_type and parameter.targets and modifier not in parameter.targets:
            raise ValueError(f"it does not refer to a {modifier}")

    def _tests(self, parameter: SearchParameter, path: Path, modifier: str, texts: Sequence[str]) -> Iterable[Test]:
        """Yields tests of an element, any of which may succeed. Raises ValueError."""
        match parameter.type, modifier:
            case "token", "text":
                return [_alone(token_text_test(unescaped(text))) for text in texts]
            case "token", "of-type":
                return [_alone(of_type_test(text)) for text in texts]
            case "token", _:
                return [_alone(token_test(self.definitions, path, texts))]
            case "string", _:
                name = "HumanName" in path.types or any(element.name == "family" for element in path.elements)
                return [_alone(string_test(unescaped(text), modifier, name=name)) for text in texts]
            case "date", _:
                return [_alone(date_test(unescaped(text), now=self.now)) for text in texts]
            case "number", _:
                return [_alone(number_test(unescaped(text))) for text in texts]
            case "quantity", _:
                return [_alone(quantity_test(text)) for text in texts]
            case "uri", _:
                return [uri_test(text, modifier) for text in texts]
            case _, "identifier":
                return [_alone(_identifier_test(token_test(self.definitions, path, texts)))]
            case _, "below":
                return [_alone(canonical_below_test(unescaped(text))) for text in texts]
        return [_alone(reference_test(text, type=modifier or None, bases=self.bases)) for text in texts]


def _is_evaluated(definitions: Definitions, type: str, parameter: SearchParameter) -> bool:
    if parameter.type not in _MODIFIERS or parameter.code in _BEYOND or not parameter.expression:
        return False
    try:
        return parameter.type != "composite" or bool(branches_of(definitions, type, parameter))
    except InvalidExpression:
        return False


def _alone(test: Callable[[object], bool]) -> Test:
    return lambda value, _: test(value)


def _identifier_test(test: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, dict) and test(value.get("identifier"))


def _any_of(get: Step, tests: Sequence[Test]) -> Demand:
    """Returns whether any element passes any test. (Loops, because all() and any() take twice as long.)"""

    def criterion(node: object, resource: JsonObject) -> bool:
        for value in get([node], resource):
            for test in tests:
                if test(value, resource):
                    return True
        return False

    return criterion


def _missing(get: Step, texts: Sequence[str]) -> Criterion:
    if list(texts) not in (["true"], ["false"]):
        raise ValueError("with :missing it is true or false")
    wanted = texts[0] == "true"
    return lambda resource: any(_is_value(value) for value in get([resource], resource)) is not wanted


def _is_value(value: object) -> bool:
    """Returns whether an element has more than an id and extensions."""
    return not isinstance(value, dict) or not value.keys() <= {"id", "extension"}
