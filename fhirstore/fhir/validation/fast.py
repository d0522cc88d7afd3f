"""The fast pass: accepts nearly every valid resource, and never an invalid one.

Each type becomes one predicate, a closure over a table `member -> predicate`. Predicates of primitives are mostly bound
methods of compiled patterns and code sets, so that a resource takes one lookup and one call per member. Rare forms
(arrays with nulls, `_given`, choices with `_value…`) are not accepted; the exact pass decides on them.

Any Python error on the way (a member that is not in the table, a list where an object belongs) means "not accepted".

The tricks of this file are justified by `bench-resources` (see docs/performance.md).
"""

from __future__ import annotations

from types import FunctionType
from typing import cast

from fhirstore.fhir.definitions.facts import Element, Type
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.validation.codings import Codes, has_code_of
from fhirstore.fhir.validation.element_checks import ElementChecks, may_be_extended
from fhirstore.fhir.validation.primitives import MOST_CHARACTERS, Predicate, ValueCheck, is_text

_SHORT = 100  # characters
_MOST_REMEMBERED = 5000

_Choices = tuple[tuple[frozenset[str], int], ...]  # the names of each choice, and its least count


class FastPass:
    """The predicates of all types of a release, each built when it is first needed."""

    def __init__(self, checks: ElementChecks) -> None:
        self._checks = checks
        self.known_resources = checks.definitions.resources
        self._remembered: dict[str, _Remembered] = {}
        self._types: dict[str, Predicate] = {}
        self._resources = _ByType(self, may_contain=True)
        self._contained = _ByType(self, may_contain=False)
        self._parts: dict[tuple[str, str], Predicate] = {}

    def accepts(self, resource: JsonObject) -> bool:
        """Returns True if the resource is valid, False if it may be invalid."""
        try:
            return bool(self._any_resource(resource))
        except (KeyError, TypeError, AttributeError, RecursionError):
            return False

    def accepts_part(self, part: JsonObject, type: str, apart: str) -> bool:
        """Does what `accepts` does, for an object of some type; ignores the content of its member `apart`."""
        predicate = self._parts.get((type, apart))
        if predicate is None:
            type_ = self._checks.definitions.types[type]
            members: dict[str, Predicate] = {}
            if type_.kind == "resource":
                members["resourceType"] = frozenset({type}).__contains__
            self._fill(members, type_)
            members[apart] = _anything
            predicate = self._parts[type, apart] = _object(members, *_demands(type_))
        try:
            return bool(predicate(part))
        except (KeyError, TypeError, AttributeError, RecursionError):
            return False

    def resource(self, name: str, *, may_contain: bool) -> Predicate:
        """Returns the predicate of a resource type."""
        type_ = self._checks.definitions.types[name]
        members: dict[str, Predicate] = {"resourceType": frozenset({name}).__contains__}
        self._fill(members, type_)
        if not may_contain:
            members.pop("contained", None)
        return _object(members, *_demands(type_))

    def _any_resource(self, value: object) -> object:
        return self._resources[cast(JsonObject, value)["resourceType"]](value)

    def _contained_resource(self, value: object) -> object:
        return self._contained[cast(JsonObject, value)["resourceType"]](value)

    def _type(self, name: str) -> Predicate:
        if name == "Resource":
            return self._any_resource
        if name in self._checks.definitions.resources:
            return self._resources[name]
        predicate = self._types.get(name)
        if predicate is None:
            type_ = self._checks.definitions.types[name]
            members: dict[str, Predicate] = {}
            predicate = _extension(members) if name == "Extension" else _object(members, *_demands(type_))
            self._types[name] = predicate  # before its members, because types contain themselves
            self._fill(members, type_)
        return predicate

    def _fill(self, members: dict[str, Predicate], type_: Type) -> None:
        for element in type_.elements.values():
            check = self._checks.check_of(type_, element)
            predicate = self._primitive(element, check) if check else self._value(element)
            members[element.name] = _array(predicate, element.max) if element.repeats else predicate
            if check and may_be_extended(element) and not element.repeats and not element.choice:
                members["_" + element.name] = _with_extensions(self._type("Element"))

    def _primitive(self, element: Element, check: ValueCheck) -> Predicate:
        if not check.recurs:
            return check.accepts
        remembered = self._remembered.setdefault(element.type, _Remembered(check.accepts))
        return remembered.__getitem__

    def _value(self, element: Element) -> Predicate:
        if element.name == "contained":
            return self._contained_resource
        codes = self._checks.codes(element)
        return self._type(element.type) if codes is None else _with_code(self._type(element.type), codes)


class _Remembered(dict[object, bool]):
    """Remembers short values that a predicate accepted, up to a number, because a lookup is faster than a match."""

    def __init__(self, accepts: Predicate) -> None:
        super().__init__()
        self._accepts = accepts

    def __missing__(self, value: object) -> bool:
        accepted = bool(self._accepts(value))
        if accepted and len(cast(str, value)) <= _SHORT:
            if len(self) >= _MOST_REMEMBERED:
                self.clear()
            self[value] = True
        return accepted


class _ByType(dict[object, Predicate]):
    """Resource type -> predicate. Raises KeyError or TypeError for anything else."""

    def __init__(self, fast: FastPass, *, may_contain: bool) -> None:
        super().__init__()
        self._fast = fast
        self._may_contain = may_contain

    def __missing__(self, name: object) -> Predicate:
        if name not in self._fast.known_resources:
            raise KeyError
        predicate = self[name] = self._fast.resource(name, may_contain=self._may_contain)
        return predicate


def _anything(_: object) -> object:
    return True


def _demands(type_: Type) -> tuple[tuple[str, ...], _Choices]:
    """Returns the required members, and the choices of which at most one member may be present."""
    elements = type_.elements.values()
    required = tuple(element.name for element in elements if element.min and not element.choice)
    groups: dict[str, set[str]] = {}
    least: dict[str, int] = {}
    for element in elements:
        if element.choice:
            groups.setdefault(element.choice, set()).add(element.name)
            least[element.choice] = element.min
    return required, tuple((frozenset(names), least[choice]) for choice, names in groups.items())


def _object(members: dict[str, Predicate], required: tuple[str, ...], choices: _Choices) -> Predicate:
    if choices:
        return _object_with_choices(members, required, choices)
    members_are_right = _members(members)
    if not required:
        return members_are_right

    def accepts(value: object) -> object:
        for name in required:
            if name not in value:  # type: ignore[operator] # a TypeError means: not accepted
                return False
        return members_are_right(value)

    return _with_caches_of_its_own(accepts)


def _object_with_choices(members: dict[str, Predicate], required: tuple[str, ...], choices: _Choices) -> Predicate:
    """Returns the predicate of a type with choices. It remembers the member names of valid objects, because counting
    choices takes as long as all other checks.
    """
    members_are_right = _members(members)
    right: set[tuple[object, ...]] = set()

    def accepts(value: object) -> object:
        names = tuple(value)  # type: ignore[arg-type, var-annotated] # a TypeError means: not accepted
        if names in right:
            return members_are_right(value)
        given = set(names)
        if not given.issuperset(required):
            return False
        for choice, least in choices:
            if not least <= len(given & choice) <= 1:
                return False
        if not members_are_right(value):
            return False
        if len(right) >= _MOST_REMEMBERED:
            right.clear()
        right.add(names)  # holds names of elements only, no data
        return True

    return _with_caches_of_its_own(accepts)


def _members(members: dict[str, Predicate]) -> Predicate:
    def accepts(value: object) -> object:
        for name, item in value.items():  # type: ignore[attr-defined] # an AttributeError means: not accepted
            is_right = members[name]
            if is_right is is_text and type(item) is str and 0 < len(item) <= MOST_CHARACTERS and item.isprintable():
                continue  # saves the call for the most frequent type
            if not is_right(item):
                return False
        return value

    return _with_caches_of_its_own(accepts)


def _extension(members: dict[str, Predicate]) -> Predicate:
    """Returns the predicate of an Extension: url, optionally id, and either one value or extensions."""

    def accepts(value: object) -> object:
        for name, item in value.items():  # type: ignore[attr-defined] # an AttributeError means: not accepted
            if not members[name](item):
                return False
        return "url" in value and len(value) == 2 + ("id" in value)  # type: ignore[operator,arg-type]

    return _with_caches_of_its_own(accepts)


def _with_code(accepts: Predicate, codes: Codes) -> Predicate:
    return lambda value: accepts(value) and has_code_of(codes, value)


def _with_extensions(accepts: Predicate) -> Predicate:
    """Returns the predicate of `_name` objects that have extensions. Those with an id only need a value beside them;
    the exact pass checks that.
    """
    return lambda value: "extension" in value and accepts(value)  # type: ignore[operator] # a TypeError means: not accepted


def _array(accepts: Predicate, most: int | None) -> Predicate:
    def each(value: object) -> object:
        if type(value) is not list or not value or (most is not None and len(value) > most):
            return False
        if len(value) == 1:
            return accepts(value[0])
        for item in value:  # noqa: SIM110 - all() with a generator is slower
            if not accepts(item):
                return False
        return True

    return _with_caches_of_its_own(each)


def _with_caches_of_its_own(closure: Predicate) -> Predicate:
    """Gives a closure a code object of its own, which CPython then specialises for this closure alone (see
    docs/performance.md).
    """
    if isinstance(closure, FunctionType):
        closure.__code__ = closure.__code__.replace()
    return closure
