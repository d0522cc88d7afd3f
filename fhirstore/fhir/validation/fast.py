"""The fast pass: says yes to nearly everything that is right, and never to anything wrong.

Every type becomes one predicate, a closure over a table `member -> predicate`; primitives are mostly bound methods of
compiled patterns and code sets, so that a resource is walked with one lookup and one call per member. What is rare is
left out and so refused: arrays with nulls, `_given`, choices with `_value…`. Then the exact pass decides.

Any error of Python on the way (a member without entry, a list where an object should be) counts as a no.
"""

from __future__ import annotations

from types import FunctionType
from typing import cast

from fhirstore.fhir.definitions.facts import Element, Type
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.validation.codings import Codes, has_code_of
from fhirstore.fhir.validation.primitives import MOST_CHARACTERS, Predicate, Rule, is_text
from fhirstore.fhir.validation.rules import Rules, may_be_extended

_SHORT = 100  # characters
_MOST_REMEMBERED = 5000

_Choices = tuple[tuple[frozenset[str], int], ...]  # the names of each, and how many there must be at least


class FastPass:
    """Predicates for all types of a release, each made when first needed."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.known_resources = rules.definitions.resources
        self._remembered: dict[str, _Remembered] = {}
        self._types: dict[str, Predicate] = {}
        self._resources = _ByType(self, may_contain=True)
        self._contained = _ByType(self, may_contain=False)
        self._parts: dict[tuple[str, str], Predicate] = {}

    def accepts(self, resource: JsonObject) -> bool:
        """True: the resource is right. False: it may be wrong."""
        try:
            return bool(self._any_resource(resource))
        except (KeyError, TypeError, AttributeError, RecursionError):
            return False

    def accepts_part(self, part: JsonObject, type: str, apart: str) -> bool:
        """As `accepts`, of an object of some type, whatever its member `apart` is like."""
        predicate = self._parts.get((type, apart))
        if predicate is None:
            type_ = self._rules.definitions.types[type]
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
        """The predicate of a resource type."""
        type_ = self._rules.definitions.types[name]
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
        if name in self._rules.definitions.resources:
            return self._resources[name]
        predicate = self._types.get(name)
        if predicate is None:
            type_ = self._rules.definitions.types[name]
            members: dict[str, Predicate] = {}
            predicate = _extension(members) if name == "Extension" else _object(members, *_demands(type_))
            self._types[name] = predicate  # before its members, since types hold themselves
            self._fill(members, type_)
        return predicate

    def _fill(self, members: dict[str, Predicate], type_: Type) -> None:
        for element in type_.elements.values():
            rule = self._rules.rule(type_, element)
            predicate = self._primitive(element, rule) if rule else self._value(element)
            members[element.name] = _array(predicate, element.max) if element.repeats else predicate
            if rule and may_be_extended(element) and not element.repeats and not element.choice:
                members["_" + element.name] = _with_extensions(self._type("Element"))

    def _primitive(self, element: Element, rule: Rule) -> Predicate:
        if not rule.recurs:
            return rule.accepts
        remembered = self._remembered.setdefault(element.type, _Remembered(rule.accepts))
        return remembered.__getitem__

    def _value(self, element: Element) -> Predicate:
        if element.name == "contained":
            return self._contained_resource
        codes = self._rules.codes(element)
        return self._type(element.type) if codes is None else _with_code(self._type(element.type), codes)


class _Remembered(dict[object, bool]):
    """What a predicate said of short values, as long as they are not too many: a look-up takes a fifth of a match."""

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
    """Resource type -> predicate. KeyError, TypeError for what is none."""

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
    """The members that must be there, and the choices of which there must not be two."""
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
            if name not in value:  # type: ignore[operator] # TypeError is a no
                return False
        return members_are_right(value)

    return _with_caches_of_its_own(accepts)


def _object_with_choices(members: dict[str, Predicate], required: tuple[str, ...], choices: _Choices) -> Predicate:
    """Counting choices takes as long as the rest, so the names that right objects had are remembered."""
    members_are_right = _members(members)
    right: set[tuple[object, ...]] = set()

    def accepts(value: object) -> object:
        names = tuple(value)  # type: ignore[arg-type, var-annotated] # TypeError is a no
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
        right.add(names)  # all are names of elements
        return True

    return _with_caches_of_its_own(accepts)


def _members(members: dict[str, Predicate]) -> Predicate:
    def accepts(value: object) -> object:
        for name, item in value.items():  # type: ignore[attr-defined] # AttributeError is a no
            is_right = members[name]
            if is_right is is_text and type(item) is str and 0 < len(item) <= MOST_CHARACTERS and item.isprintable():
                continue  # spares the call for the most frequent type
            if not is_right(item):
                return False
        return value

    return _with_caches_of_its_own(accepts)


def _extension(members: dict[str, Predicate]) -> Predicate:
    """url, perhaps id, and either one value or further extensions."""

    def accepts(value: object) -> object:
        for name, item in value.items():  # type: ignore[attr-defined] # AttributeError is a no
            if not members[name](item):
                return False
        return "url" in value and len(value) == 2 + ("id" in value)  # type: ignore[operator,arg-type]

    return _with_caches_of_its_own(accepts)


def _with_code(accepts: Predicate, codes: Codes) -> Predicate:
    return lambda value: accepts(value) and has_code_of(codes, value)


def _with_extensions(accepts: Predicate) -> Predicate:
    """An id alone is not enough where there is no value, so what has none is left to the exact pass."""
    return lambda value: "extension" in value and accepts(value)  # type: ignore[operator] # TypeError is a no


def _array(accepts: Predicate, most: int | None) -> Predicate:
    def each(value: object) -> object:
        if type(value) is not list or not value or (most is not None and len(value) > most):
            return False
        if len(value) == 1:
            return accepts(value[0])
        for item in value:  # noqa: SIM110 - all() with a generator takes twice as long
            if not accepts(item):
                return False
        return True

    return _with_caches_of_its_own(each)


def _with_caches_of_its_own(closure: Predicate) -> Predicate:
    """The closure with code that CPython specialises for it alone, not for all closures of that def: 10 % quicker."""
    if isinstance(closure, FunctionType):
        closure.__code__ = closure.__code__.replace()
    return closure
