"""`Narrative.div`: XHTML, a string in JSON and elements in XML. Its text passes unchanged in both directions.

The text is cut out of the XML as it is, not serialized from a tree, so that quotes, character references, comments and
white space stay as the author wrote them. Only a div that uses a prefix declared outside of it, or that holds something
a narrative in JSON must not (CDATA, processing instructions), is rewritten.

https://hl7.org/fhir/R4/narrative.html · https://hl7.org/fhir/R4/json.html#xhtml
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html.entities import html5
from xml.parsers import expat

from fhirstore.errors import ContentTooLarge, InvalidResource
from fhirstore.fhir.xml.expat import parse
from fhirstore.fhir.xml.values import escape

XHTML = "http://www.w3.org/1999/xhtml"
DIV = f"{XHTML} div"  # in expat's notation

_XML = "http://www.w3.org/XML/1998/namespace"
_TAG = re.compile(rb"<(?:[^<>\"']++|\"[^\"]*+\"|'[^']*+')*+>")
_BARE_DIV = re.compile(r"\s*<div(?=[\s/>])(?![^>]*\bxmlns\s*=)")
_NAMED_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]*;)")
_VOID = frozenset({"area", "br", "col", "hr", "img"})
_XML_ENTITIES = frozenset({"amp;", "lt;", "gt;", "quot;", "apos;"})


class _NotNarrative(Exception):
    """A document type declaration or an XML declaration, which a narrative must not have."""


def cut(body: bytes, start: int, end: int) -> bytes:
    """Returns the element whose start tag is at `start`; `end` is the offset that expat reports for its end tag."""
    tag = _TAG.match(body, start)
    if tag is None or tag[0].endswith(b"/>"):
        return tag[0] if tag else b""
    return body[start : body.index(b">", end) + 1]


def as_json(div: bytes, scope: Iterable[tuple[str | None, str]]) -> str:
    """Returns the JSON string for a div cut out of XML. `scope`: the prefixes and namespaces declared around it.

    Raises InvalidResource if the div has to be rewritten and has more than XHTML in it.
    """
    text = div.decode()
    as_it_is = text.startswith("<div") and "<![" not in text and "<?" not in text and is_div(text)
    return text if as_it_is else _rewritten(text, scope)


def as_xml(text: str) -> str | None:
    """Returns the XML for a div from JSON: the text itself if it is well-formed, None if it cannot be made well-formed.

    A missing namespace is added, and named entities of HTML, which XML does not have, become character references.
    """
    if is_div(text):
        return text
    text = _BARE_DIV.sub(f'<div xmlns="{XHTML}"', text, count=1)
    text = _NAMED_ENTITY.sub(_character, text)
    return text if is_div(text) else None


def is_div(text: str) -> bool:
    """Returns whether `text` is one well-formed XHTML div without entities of its own and without anything
    around it.
    """
    roots: list[str] = []

    def start(name: str, _: dict[str, str]) -> None:
        roots.append(name)
        parser.StartElementHandler = None

    parser = expat.ParserCreate("utf-8", namespace_separator=" ")
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = _refuse
    parser.XmlDeclHandler = _refuse
    try:
        parse(parser, text.encode())
    except (expat.ExpatError, _NotNarrative, ContentTooLarge):
        return False
    return roots == [DIV]


def _refuse(*_: object) -> None:
    raise _NotNarrative


def _character(match: re.Match[str]) -> str:
    name = match[1]
    if name in _XML_ENTITIES or name not in html5:
        return match[0]
    return "".join(f"&#{ord(character)};" for character in html5[name])


def _rewritten(div: str, scope: Iterable[tuple[str | None, str]]) -> str:
    """Returns `div` without prefixes. It is parsed inside an element with the declarations that surround it."""
    declared = "".join(f' xmlns{":" + prefix if prefix else ""}="{escape(uri)}"' for prefix, uri in dict(scope).items())
    writer = _Writer()
    parser = expat.ParserCreate("utf-8", namespace_separator=" ")
    parser.StartElementHandler = writer.start
    parser.EndElementHandler = writer.end
    parser.CharacterDataHandler = writer.text
    parser.CommentHandler = lambda data: writer.out.append(f"<!--{data}-->")
    parse(parser, f"<around{declared}>{div}</around>".encode())
    return "".join(writer.out)


class _Writer:
    """Writes XHTML from expat's events, without the outermost element."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self._depth = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1:
            return
        namespace, _, local = name.rpartition(" ")
        if namespace != XHTML:
            raise InvalidResource("The narrative has an element that is not XHTML", code="structure")
        tag = [f"<{local}" if self._depth > 2 else f'<{local} xmlns="{XHTML}"']
        for attribute, value in attributes.items():
            namespace, _, local = attribute.rpartition(" ")
            if namespace not in ("", _XML):
                raise InvalidResource("The narrative has an attribute that is not XHTML", code="structure")
            tag.append(f' {"xml:" if namespace else ""}{local}="{escape(value)}"')
        self.out += (*tag, ">")

    def end(self, name: str) -> None:
        self._depth -= 1
        local = name.rpartition(" ")[2]
        if local in _VOID:
            self.out[-1] = "/>"
        elif self._depth:
            self.out.append(f"</{local}>")

    def text(self, data: str) -> None:
        self.out.append(data.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
