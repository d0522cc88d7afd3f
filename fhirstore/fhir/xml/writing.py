"""Writes a resource's JSON object as FHIR XML: UTF-8, elements in the order of the specification, numbers digit for
digit.

https://hl7.org/fhir/R4/xml.html
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

from fhirstore.errors import InvalidResource
from fhirstore.fhir.definitions.facts import Definitions, Element, Type
from fhirstore.fhir.fhirpath.names import step
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.xml.narrative import as_xml
from fhirstore.fhir.xml.reading import FHIR
from fhirstore.fhir.xml.values import escape, is_writable, xml_text

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
_ANY_RESOURCE = frozenset({"Resource", "DomainResource"})


def write(resource: JsonObject, definitions: Definitions, *, pretty: bool = False) -> bytes:
    """Returns the XML of what `fhirstore.fhir.json.parse` returned. `pretty`: one element a line, two spaces a level.

    Raises InvalidResource with the expression if there is no XML form: members that the definitions do not have, an
    object where a value belongs, control characters, a narrative that is not well-formed.
    """
    writer = _Writer(definitions, pretty)
    try:
        writer.resource(resource, f' xmlns="{FHIR}"', 0)
    except _Unsayable as wrong:
        raise InvalidResource(wrong.diagnostics, expression=(wrong.expression(),), code="structure") from None
    return "".join((_DECLARATION, *writer.parts)).encode()


class _Unsayable(Exception):
    """A part of the resource has no XML form. The segments of its path are added while the exception passes, innermost
    first.
    """

    def __init__(self, diagnostics: str, segment: str = "") -> None:
        super().__init__(diagnostics)
        self.diagnostics = diagnostics
        self.segments = [segment] if segment else []

    def expression(self) -> str:
        return ".".join(map(step, reversed(self.segments)))


class _Writer:
    """Appends to `parts`. `level` is the depth of indentation."""

    def __init__(self, definitions: Definitions, pretty: bool) -> None:
        self._definitions = definitions
        self._pretty = pretty
        self.parts: list[str] = []

    def resource(self, resource: JsonObject, declarations: str, level: int) -> None:
        name = resource.get("resourceType")
        if not isinstance(name, str) or name not in self._definitions.resources:
            raise _Unsayable("resourceType is not a resource type", "resourceType")
        try:
            self._object(name, declarations, resource, self._definitions.types[name], level)
        except _Unsayable as wrong:
            if declarations:
                wrong.segments.append(name)
            raise

    def _object(self, tag: str, attributes: str, members: JsonObject, type_: Type, level: int) -> None:
        """Writes an element `tag` with these members."""
        written = 1 if "resourceType" in members and type_.kind == "resource" else 0
        extras = {name[1:] for name in members if name.startswith("_")}
        children: list[Element] = []
        for name, element in type_.elements.items():
            if name in members or name in extras:
                written += name in members
                if element.attribute:
                    attributes += self._attribute(name, members.get(name))
                    continue
                written += name in extras and self._is_primitive(element)
                children.append(element)
        if written != len(members):
            raise _Unsayable("A member that the definitions do not have", self._stranger(members, type_))
        if not children:
            self._line(level, f"<{tag}{attributes}/>")
            return
        self._line(level, f"<{tag}{attributes}>")
        for element in children:
            self._child(element, members.get(element.name), members.get(f"_{element.name}"), level + 1)
        self._line(level, f"</{tag}>")

    def _child(self, element: Element, value: object, extra: object, level: int) -> None:
        """Writes every occurrence of `element`; `extra` is the value of the member with the underscore."""
        if not element.repeats:
            self._occurrence(element, value, extra, level, element.choice or element.name)
            return
        for index, (one, more) in enumerate(zip_longest(_items(element, value), _items(element, extra))):
            self._occurrence(element, one, more, level, f"{element.name}[{index}]")

    def _occurrence(self, element: Element, value: object, extra: object, level: int, segment: str) -> None:
        try:
            if self._is_primitive(element):
                self._primitive(element.name, value, extra, level)
            elif element.type == "xhtml":
                self._div(value, level)
            elif not isinstance(value, dict):
                raise _Unsayable("Not an object")
            elif element.type in _ANY_RESOURCE:
                self._line(level, f"<{element.name}>")
                self.resource(value, "", level + 1)
                self._line(level, f"</{element.name}>")
            else:
                self._object(element.name, "", value, self._definitions.types[element.type], level)
        except _Unsayable as wrong:
            wrong.segments.append(segment)
            raise

    def _primitive(self, name: str, value: object, extra: object, level: int) -> None:
        attributes = "" if value is None else self._attribute("value", value)
        if extra is None:
            self._line(level, f"<{name}{attributes}/>")
        elif isinstance(extra, dict):
            id_ = self._attribute("id", extra["id"]) if "id" in extra else ""
            rest = {member: content for member, content in extra.items() if member != "id"}
            self._object(name, id_ + attributes, rest, self._definitions.types["Element"], level)
        else:
            raise _Unsayable("Not an object")

    def _div(self, value: object, level: int) -> None:
        div = as_xml(value) if isinstance(value, str) else None
        if div is None:
            raise _Unsayable("The narrative is not a well-formed XHTML div, so it has no XML form")
        self._line(level, div)

    def _attribute(self, name: str, value: object) -> str:
        text = xml_text(value)
        if text is None:
            raise _Unsayable("Not a primitive value")
        if not is_writable(text):
            raise _Unsayable("A control character, which XML does not have")
        return f' {name}="{escape(text)}"'

    def _is_primitive(self, element: Element) -> bool:
        return element.type in self._definitions.primitives and element.type != "xhtml"

    def _stranger(self, members: JsonObject, type_: Type) -> str:
        """Returns the first member that `type_` does not have, if its name looks like the name of an element."""
        for name in members:
            element = type_.elements.get(name.removeprefix("_"))
            known = element is not None and (name == element.name or self._is_primitive(element))
            if not known and name != "resourceType" and name.isidentifier() and name.isascii():
                return name
        return ""

    def _line(self, level: int, text: str) -> None:
        self.parts.append(f"\n{'  ' * level}{text}" if self._pretty else text)


def _items(element: Element, value: object) -> Iterator[object]:
    if value is None:
        return iter(())
    if not isinstance(value, list):
        raise _Unsayable("Not an array", element.name)
    return iter(value)
