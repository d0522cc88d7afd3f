"""Resources made up from the facts: right by construction, as JSON text with all its freedoms."""

from __future__ import annotations

import json as stdlib
from collections.abc import Sequence
from random import Random

from fhirstore.fhir.definitions.facts import Definitions, Element, Type
from tests.fhir.validation.literals import GOOD

_LITERALS = {name: [literal for literal in literals if len(literal) < 100] for name, literals in GOOD.items()}
_LITERALS["integer64"] = ['"1"', '"-9223372036854775808"']
_LITERALS["xhtml"] = [r'"<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>\u00e9 &lt;</p></div>"']
_REFERENCES = [
    '"Patient/1"',
    '"#x"',
    '"urn:uuid:c757873d-ec9a-4326-a141-556f43239520"',
    '"http://a/b"',
    '"Task/160.1/$accept?ac=abc"',
]
_SPACES = ("", "", "", "", " ", "\n  ", "\t", "\r\n")


class Maker:
    """Makes texts up by `random`. What may be left out is the rarer the deeper, so that it ends."""

    def __init__(self, facts: Definitions, random: Random) -> None:
        self._facts = facts
        self._random = random

    def resource(self, name: str | None = None, *, depth: int = 0, may_contain: bool = True) -> str:
        """A resource of that type, or of any."""
        name = name or self._random.choice(sorted(self._facts.resources))
        members = [("resourceType", f'"{name}"'), *self._members(self._facts.types[name], depth, may_contain)]
        self._random.shuffle(members)
        return self._object(members)

    def _members(self, type_: Type, depth: int, may_contain: bool = True) -> list[tuple[str, str]]:
        if type_.name == "Extension":
            return self._extension(type_, depth)
        members: list[tuple[str, str]] = []
        for alternatives in _alternatives(type_):
            element = self._random.choice(alternatives)
            if element.name == "contained" and not may_contain:
                continue
            if element.min or self._random.random() < 0.3 ** (depth + 1):
                members += self._element(type_, element, depth)
        if members or type_.kind == "resource":
            return members
        return [("extension", self._array([self._value(type_, type_.elements["extension"], depth + 3)]))]

    def _extension(self, type_: Type, depth: int) -> list[tuple[str, str]]:
        if depth < 3 and self._random.random() < 0.3:
            further = self._element(type_, type_.elements["extension"], depth + 1)
        else:
            values = [element for element in type_.elements.values() if element.choice]
            simple = [element for element in values if element.type in self._facts.primitives]
            further = self._element(type_, self._random.choice(values if depth < 3 else simple), depth + 1)
        return [("url", '"http://example.org/x"'), *further]

    def _element(self, type_: Type, element: Element, depth: int) -> list[tuple[str, str]]:
        primitive = element.type in self._facts.primitives
        extensible = primitive and not element.attribute and element.type != "xhtml"
        count = self._random.randint(1, 3) if element.repeats else 1
        values = [self._value(type_, element, depth) for _ in range(count)]
        siblings = ["null"] * count
        for index in range(count if extensible and depth < 3 and self._random.random() < 0.2 else 0):
            if self._random.random() < 0.6:
                siblings[index] = self._value(type_, self._facts.types["Element"].elements["extension"], depth + 2)
                siblings[index] = self._object([("extension", self._array([siblings[index]]))])
                if self._random.random() < 0.3:
                    values[index] = "null"
        members = []
        if set(values) != {"null"}:
            members.append((element.name, self._array(values) if element.repeats else values[0]))
        if set(siblings) != {"null"}:
            members.append((f"_{element.name}", self._array(siblings) if element.repeats else siblings[0]))
        return members

    def _value(self, type_: Type, element: Element, depth: int) -> str:
        if element.codes is not None and element.type == "code":
            return stdlib.dumps(self._random.choice(sorted(element.codes)), ensure_ascii=self._random.random() < 0.5)
        if element.name == "reference" and type_.name == "Reference":
            return self._random.choice(_REFERENCES)
        if element.type in self._facts.primitives:
            return self._random.choice(_LITERALS[element.type])
        if element.type == "Resource":
            return self.resource(depth=depth + 3, may_contain=element.name != "contained")
        if element.type in self._facts.resources:
            return self.resource(element.type, depth=depth + 3)
        if element.binding in self._facts.value_sets:
            return self._coded(element)
        members = self._members(self._facts.types[element.type], depth + 1)
        self._random.shuffle(members)
        return self._object(members)

    def _coded(self, element: Element) -> str:
        """A Coding, or a concept, with a code that its binding allows."""
        systems = self._facts.value_sets[element.binding]
        system = self._random.choice(sorted(systems))
        coding = {"system": system, "code": self._random.choice(sorted(systems[system]))}
        return stdlib.dumps(coding if element.type == "Coding" else {"coding": [{"code": "x"}, coding]})

    def _object(self, members: Sequence[tuple[str, str]]) -> str:
        pairs = (
            f'{self._space()}"{name}"{self._space()}:{self._space()}{text}{self._space()}' for name, text in members
        )
        return "{" + ",".join(pairs) + "}"

    def _array(self, items: Sequence[str]) -> str:
        return "[" + ",".join(f"{self._space()}{item}{self._space()}" for item in items) + "]"

    def _space(self) -> str:
        return self._random.choice(_SPACES)


def _alternatives(type_: Type) -> list[list[Element]]:
    """The elements of a type, a choice being one with alternatives."""
    groups: dict[str, list[Element]] = {}
    for element in type_.elements.values():
        groups.setdefault(element.choice or element.name, []).append(element)
    return list(groups.values())
