"""Reads FHIR XML into the JSON object it stands for, in one pass over the parser's events, driven by the definitions.

The parser is expat, because it reports the byte at which an element starts and ends, so that a narrative is kept
exactly (narrative.py). A document type declaration ends the reading, so there are no entities to expand or fetch.
Content that has no JSON form (an unknown element or attribute, text, a wrong order) is refused; content that has one
but breaks a rule of FHIR is left to validation, as for JSON.

https://hl7.org/fhir/R4/xml.html · https://hl7.org/fhir/R4/json.html#primitive
"""

from __future__ import annotations

import re
from xml.parsers import expat

from fhirstore.errors import ContentTooLarge, InvalidResource, MalformedContent
from fhirstore.fhir.definitions.facts import Definitions, Element
from fhirstore.fhir.fhirpath.names import step
from fhirstore.fhir.json import MAX_DEPTH, MAX_VALUES, JsonObject
from fhirstore.fhir.xml.expat import MOST_TAG, parse
from fhirstore.fhir.xml.long_values import LongValues, set_apart
from fhirstore.fhir.xml.narrative import DIV, XHTML, as_json, cut
from fhirstore.fhir.xml.open_elements import OpenElement, add_primitives, add_value, count_of
from fhirstore.fhir.xml.values import json_value

FHIR = "http://hl7.org/fhir"

_XSI = "http://www.w3.org/2001/XMLSchema-instance "
_ANY_RESOURCE = frozenset({"Resource", "DomainResource"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_MOST_NAMESPACES = 64
_UTF_8 = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})


def read(body: bytes, definitions: Definitions, *, max_values: int = MAX_VALUES) -> JsonObject:
    """Returns the resource in `body`, as `fhirstore.fhir.json.parse` would have returned it from JSON.

    Raises MalformedContent (not well-formed, not UTF-8, a DTD, nested too deep), InvalidResource (an element or
    attribute that the definitions do not have at this point), ContentTooLarge (more than `max_values` elements and
    attributes, a tag with too many attributes).
    """
    long = set_apart(body)
    resource = _Reader(long, definitions, max_values).resource()
    if long.values:  # one was in a narrative or a comment, which is no value
        return _Reader(LongValues(body), definitions, max_values).resource()
    return resource


class _Reader:
    """Reads one body. expat calls the methods that start with `_on`, in document order."""

    def __init__(self, long: LongValues, definitions: Definitions, max_values: int) -> None:
        self._body = long.document
        self._long = long
        self._max_values = self._left = max_values
        self._definitions = definitions
        self._stack: list[OpenElement] = []
        self._result: JsonObject = {}
        self._scope: list[tuple[str | None, str]] = []
        self._div_start = self._div_depth = 0
        self._parser = parser = expat.ParserCreate("utf-8", namespace_separator=" ")
        parser.buffer_text = True
        parser.XmlDeclHandler = self._on_declaration
        parser.StartDoctypeDeclHandler = self._on_doctype
        parser.StartNamespaceDeclHandler = self._on_namespace
        parser.EndNamespaceDeclHandler = self._on_namespace_end
        self._listen()

    def resource(self) -> JsonObject:
        head = self._body[:4]
        if not self._body.strip():
            raise MalformedContent("The body is empty", offset=0)
        if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head:
            raise MalformedContent("The body is UTF-16 or UTF-32; FHIR XML must be UTF-8", offset=0)
        try:
            parse(self._parser, self._body, most=MOST_TAG)
        except expat.ExpatError as error:
            reason, at = expat.ErrorString(error.code), self._parser.ErrorByteIndex
            where = f"line {error.lineno}" if self._long.cuts else f"line {error.lineno}, column {error.offset + 1}"
            raise MalformedContent(f"Not well-formed XML: {reason} at {where}", offset=self._long.at(at)) from None
        return self._result

    def _listen(self) -> None:
        self._parser.StartElementHandler = self._on_start
        self._parser.EndElementHandler = self._on_end
        self._parser.CharacterDataHandler = self._on_text

    # --- the prolog and namespaces --------------------------------------------------------------------------

    def _on_declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.lower() not in _UTF_8:
            raise MalformedContent("The XML declares an encoding that is not UTF-8; FHIR XML must be UTF-8", offset=0)

    def _on_doctype(self, *_: object) -> None:
        at = self._long.at(self._parser.CurrentByteIndex)
        raise MalformedContent("FHIR XML must not have a document type declaration (<!DOCTYPE …>)", offset=at)

    def _on_namespace(self, prefix: str | None, uri: str) -> None:
        self._scope.append((prefix, uri or ""))
        if len(self._scope) > _MOST_NAMESPACES:  # every narrative that uses a prefix goes through all of them
            raise MalformedContent(f"The XML declares more than {_MOST_NAMESPACES} namespaces for one element")

    def _on_namespace_end(self, prefix: str | None) -> None:
        self._scope.pop()

    # --- elements -------------------------------------------------------------------------------------------

    def _on_start(self, tag: str, attributes: dict[str, str]) -> None:
        self._left -= 1 + len(attributes)
        if self._left < 0:
            raise ContentTooLarge(
                f"The XML has more than {self._max_values:,} elements and attributes; send it in parts"
            )
        namespace, _, name = tag.rpartition(" ")
        parent = self._stack[-1] if self._stack else None
        if tag == DIV and parent is not None and not parent.holder:
            self._start_div(self._next_child(parent, name), attributes)
            return
        if namespace != FHIR:
            said = "no namespace" if not namespace else "another namespace"
            raise self._refused(f"{_named(name)} is in {said}; FHIR elements are in {FHIR}")
        if parent is None or parent.holder:
            self._start_resource(parent, name, attributes)
        else:
            self._start_element(parent, self._next_child(parent, name), attributes)

    def _start_resource(self, holder: OpenElement | None, name: str, attributes: dict[str, str]) -> None:
        if name not in self._definitions.resources:
            raise self._refused(f"{_named(name)} is not a resource type", code="value")
        if holder is not None and holder.members:
            raise self._refused("A second resource; this element can hold one only")
        type_ = self._definitions.types[name]
        depth = 1 if holder is None else holder.depth
        self._push(OpenElement(None, type_, depth, iter(type_.elements), {"resourceType": name}))
        for attribute in attributes:
            # The root may have xsi:schemaLocation, a hint for schema processors.
            if not attribute.startswith(_XSI) or len(self._stack) > 1:
                raise self._refused(f"{_named(attribute, 'attribute')} is not defined in FHIR at this point")

    def _start_element(self, parent: OpenElement, element: Element, attributes: dict[str, str]) -> None:
        if element.type == "xhtml":
            raise self._refused(f"The narrative's div is not in the namespace {XHTML}", element)
        depth = parent.depth + (2 if element.repeats else 1)  # an array is a level, as in JSON
        if element.type in _ANY_RESOURCE:
            opened = OpenElement(element, self._definitions.types["Element"], depth, iter(()), holder=True)
        elif element.type in self._definitions.primitives:
            type_ = self._definitions.types["Element"]
            opened = OpenElement(element, type_, depth, iter(type_.elements), primitive=True)
        else:
            type_ = self._definitions.types[element.type]
            opened = OpenElement(element, type_, depth, iter(type_.elements))
        self._push(opened)
        for name, value in attributes.items():
            known = opened.type.elements.get(name)
            if opened.primitive and name == "value":
                opened.value = json_value(self._long.take(value), self._definitions.primitives[element.type])
            elif known is not None and known.attribute and not opened.holder:
                opened.members[name] = value
            else:
                raise self._refused(f"{_named(name, 'attribute')} is not defined in FHIR at this point")

    def _next_child(self, parent: OpenElement, name: str) -> Element:
        """Returns the definition of the child `name`. Raises InvalidResource if it may not come next."""
        element = parent.type.elements.get(name)
        if element is None or element.attribute:
            raise self._refused(f"{_named(name)} is not defined in FHIR at this point", unknown=name)
        if name == parent.last:
            if not element.repeats:
                raise self._refused(f"{_named(name)} occurs twice, and may occur once", element)
        elif name not in parent.ahead:  # `in` advances the iterator up to this name
            after = f" after {parent.last}" if parent.last else ""
            raise self._refused(f"{_named(name)} is out of order{after}; FHIR XML has one order of elements", element)
        parent.last = name
        return element

    def _push(self, opened: OpenElement) -> None:
        if opened.depth > MAX_DEPTH:
            raise MalformedContent(f"The XML nests deeper than {MAX_DEPTH} levels", expression=(self._expression(),))
        self._stack.append(opened)

    def _on_end(self, tag: str) -> None:
        opened = self._stack[-1]
        element = opened.element
        if element is None:
            self._end_resource(opened)
            return
        for name, values in opened.lists.items():
            add_primitives(opened.members, name, values)
        if opened.value is None and not opened.members:
            what = "holds no resource" if opened.holder else "has neither a value nor content"
            raise self._refused(f"{_named(element.name)} {what}")
        self._stack.pop()
        parent = self._stack[-1]
        if not opened.primitive:
            add_value(parent, element, opened.members)
        elif element.repeats:
            parent.lists.setdefault(element.name, []).append((opened.value, opened.members))
            parent.members.setdefault(element.name, [])  # keeps the order of members
        else:
            if opened.value is not None:
                parent.members[element.name] = opened.value
            if opened.members:
                parent.members[f"_{element.name}"] = opened.members

    def _end_resource(self, opened: OpenElement) -> None:
        for name, values in opened.lists.items():
            add_primitives(opened.members, name, values)
        self._stack.pop()
        if self._stack:
            self._stack[-1].members = opened.members
        else:
            self._result = opened.members

    def _on_text(self, text: str) -> None:
        if not text.isspace():
            raise self._refused("Text between elements; values are in the attribute 'value'")

    # --- the narrative --------------------------------------------------------------------------------------

    def _start_div(self, element: Element, attributes: dict[str, str]) -> None:
        if element.type != "xhtml":
            raise self._refused(f"{_named(element.name)} is in the namespace of XHTML", element)
        self._div_start = self._parser.CurrentByteIndex
        self._div_depth = 0
        self._parser.StartElementHandler = self._on_div_start
        self._parser.EndElementHandler = self._on_div_end
        self._parser.CharacterDataHandler = None

    def _on_div_start(self, tag: str, attributes: dict[str, str]) -> None:
        self._div_depth += 1

    def _on_div_end(self, tag: str) -> None:
        if self._div_depth:
            self._div_depth -= 1
            return
        div = cut(self._body, self._div_start, self._parser.CurrentByteIndex)
        self._stack[-1].members["div"] = as_json(div, self._scope)
        self._listen()

    # --- errors ---------------------------------------------------------------------------------------------

    def _refused(
        self, diagnostics: str, element: Element | None = None, *, unknown: str = "", code: str = "structure"
    ) -> InvalidResource:
        expression = self._expression()
        name = (element.choice or element.name) if element is not None else unknown
        if name and _NAME.fullmatch(name):
            expression = f"{expression}.{step(name)}" if expression else name
        at = f"line {self._parser.CurrentLineNumber}"
        return InvalidResource(f"{diagnostics} ({at})", expression=(expression,) if expression else (), code=code)

    def _expression(self) -> str:
        """Returns the FHIRPath expression of the innermost open element."""
        path: list[str] = []
        parent: OpenElement | None = None
        for opened in self._stack:
            element = opened.element
            if element is None:
                path += () if path else (opened.type.name,)
            else:
                name = step(element.choice or element.name)
                path.append(f"{name}[{count_of(parent, element.name)}]" if element.repeats and parent else name)
            parent = opened
        return ".".join(path)


def _named(name: str, kind: str = "element") -> str:
    """Returns words for an element or attribute, with its name if it looks like a FHIR name: others may be patient
    data.
    """
    return f"The {kind} '{name}'" if _NAME.fullmatch(name) else f"An {kind}"
