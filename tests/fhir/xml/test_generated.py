"""Resources made up from the facts, every element of every type of every release, survive the trip through XML."""

from __future__ import annotations

from random import Random

import pytest

from fhirstore.fhir import json
from fhirstore.fhir.definitions.facts import Definitions, Element
from fhirstore.fhir.definitions.load import RELEASES, definitions
from fhirstore.fhir.xml import read, write
from tests.fhir.xml.examples import canonical

TEXTS = ("a", " b ", "<&>\"'", "line\nline\r\n\ttab", "é🙂\u2028", "]]>", "&amp;", "x" * 300)
LITERALS = ("1.00", "-0", "0", "1E2", "12345678901234567890", "-3.140e-10")
DIV = '<div xmlns="http://www.w3.org/1999/xhtml"><p title=\'"\'>&lt;a&gt;&#160;<br/></p></div>'


class Maker:
    """Makes resources up. `chance` of an element that may be left out falls with the depth, so that it ends."""

    def __init__(self, facts: Definitions, seed: int) -> None:
        self.facts = facts
        self.random = Random(seed)

    def resource(self, name: str, depth: int = 0) -> json.JsonObject:
        return {"resourceType": name, **self.members(name, depth)}

    def members(self, type_: str, depth: int) -> json.JsonObject:
        made: json.JsonObject = {}
        elements = [one for one in self.facts.types[type_].elements.values() if self.random.random() < 0.2**depth]
        for element in self.random.sample(elements, len(elements)):
            if element.type in self.facts.primitives and element.type != "xhtml" and not element.attribute:
                self.primitive(made, element, depth)
            elif element.repeats:
                made[element.name] = [self.value(element, depth) for _ in range(self.random.randint(1, 2))]
            else:
                made[element.name] = self.value(element, depth)
        if not made and self.facts.types[type_].kind != "resource":
            made["extension"] = [{"url": "u", "valueCode": "x"}]
        return made

    def value(self, element: Element, depth: int) -> object:
        if element.type == "xhtml":
            return DIV
        if element.attribute:
            return self.random.choice(TEXTS)
        if element.type == "Resource":
            return self.resource(self.random.choice(sorted(self.facts.resources)), depth + 2)
        if self.facts.types[element.type].kind == "resource":
            return self.resource(element.type, depth + 2)
        return self.members(element.type, depth + 1)

    def primitive(self, made: json.JsonObject, element: Element, depth: int) -> None:
        if not element.repeats:
            value, extra = self.pair(element, depth)
            if value is not None:
                made[element.name] = value
            if extra is not None:
                made[f"_{element.name}"] = extra
            return
        pairs = [self.pair(element, depth) for _ in range(self.random.randint(1, 3))]
        if any(value is not None for value, _ in pairs):
            made[element.name] = [value for value, _ in pairs]
        if any(extra is not None for _, extra in pairs):
            made[f"_{element.name}"] = [extra for _, extra in pairs]

    def pair(self, element: Element, depth: int) -> tuple[object, object]:
        extra = None if self.random.random() < 0.7 else {"id": "i", "extension": [{"url": "u", "valueBoolean": True}]}
        if extra is not None and self.random.random() < 0.3:
            return None, extra
        kind = self.facts.primitives[element.type].json
        if kind == "boolean":
            return self.random.choice((True, False)), extra
        if kind == "integer":
            return self.random.choice((0, 1, -7, 2**31)), extra
        if kind == "decimal":
            return json.parse(f'{{"a":{self.random.choice(LITERALS)}}}'.encode())["a"], extra
        if element.type in ("string", "markdown", "base64Binary"):
            return self.random.choice(TEXTS), extra
        return self.random.choice(("a", "a b", "é:<&>/x")), extra


@pytest.mark.parametrize("release", sorted(RELEASES))
def test_made_up_resources_survive(release: str) -> None:
    """Two of every type: choices, extensions of primitives, nulls, contained resources, narratives, all literals."""
    facts = definitions(release)
    covered: set[str] = set()
    for name in sorted(facts.resources):
        for seed in (1, 2):
            resource = Maker(facts, seed).resource(name)
            xml = write(resource, facts, pretty=seed == 2)
            assert canonical(read(xml, facts)) == canonical(resource), name
            covered |= {f"{name}.{member.removeprefix('_')}" for member in resource}
    every = {f"{name}.{element}" for name in facts.resources for element in facts.types[name].elements}
    assert every <= covered
