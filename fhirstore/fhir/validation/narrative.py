"""XHTML in a Narrative: one `div`, well-formed, made of basic elements, without active content.

The specification: "The XHTML content SHALL NOT contain a head, a body element, external stylesheet references,
deprecated elements, scripts, forms, base/link/xlink, frames, iframes, objects or event related attributes (e.g.
onClick)." The check is a list of what is allowed (txt-1), because narratives are shown in browsers. Constructs that
HTML reads differently from XML (CDATA, comments that start with > or ->), DOCTYPE and processing instructions are
refused too. Whether the div has any text (txt-2) is checked by full validation.

https://hl7.org/fhir/R4/narrative.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pyexpat import ExpatError, ParserCreate

from fhirstore.errors import ContentTooLarge
from fhirstore.fhir.xml.expat import parse

NAMESPACE = "http://www.w3.org/1999/xhtml"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ELEMENTS = _words(
    """a abbr acronym address area b bdo big blockquote br caption center cite code col colgroup dd del dfn div dl dt em
    font h1 h2 h3 h4 h5 h6 hr i img ins kbd li map ol p pre q s samp small span strike strong sub sup table tbody td
    tfoot th thead tr tt u ul var"""
)
ATTRIBUTES = _words(
    """abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff charset
    cite class clear color colspan compact coords datetime dir face frame headers height href hreflang hspace id lang
    longdesc name nohref noshade nowrap rel rev rowspan rules scope shape size span src start style summary tabindex
    title type usemap valign value vspace width xml:lang xml:space xmlns"""
)
_ADDRESSES = frozenset({"href", "src", "cite", "longdesc", "usemap"})
_ACTIVE = re.compile(r"(?:javascript|vbscript|livescript|data):", re.IGNORECASE)
_IGNORED_IN_ADDRESSES = re.compile(r"[\x00-\x20\x7f]+")
_WORTH_NAMING = _words(
    "script style form input button iframe frame frameset object embed applet base link meta head body html"
)

# One pattern accepts most narratives, faster than a parser (see docs/performance.md). Its groups are numbered by depth,
# so that an end tag matches its start tag. Repetitions that contain such a group are not possessive, because of a bug
# in CPython's `re`; a wrong end tag fails at once wherever it is tried, so the time is still linear. Paragraphs and
# table rows without attributes are written out at the depths where they are frequent: they are faster without groups.
_MOST_FOR_PATTERN = 128 * 1024  # characters; a match blocks all other threads, the parser does not
_DEPTH = 6
_NAME = (
    "[abipqsu]|t[dhr]|h[1-6]|[dou]l|li|d[dt]|div|span|table|tbody|thead|pre|em|strong|code|blockquote|caption|small"
    "|su[bp]|tt"
)
_FIRST = r"(?:class|title|id|border|lang|xml:lang|name|alt|colspan)=\"[^\"<]*+\"|href=\"(?:https?:[^\"<]*+|[^\":<]*+)\""
_SECOND = r"(?:style|rowspan|valign|align|width)=\"[^\"<]*+\""
_ATTRIBUTES = rf"(?: (?:(?:{_FIRST})(?: {_SECOND})?+|{_SECOND}))?+"  # two of one name would not be well-formed


def _any_of(*names: str, inner: str = "") -> str:
    """Returns a pattern for any number of these elements, each with the text after it. `inner`: what they may
    contain.
    """
    return rf"(?:<(?:{'|'.join(rf'{name}>[^<]*+{inner}</{name}>' for name in names)})[^<]*+)*+"


_PARAGRAPHS = _any_of("p", inner=_any_of("b", "span", "i", "a"))
_ROWS = _any_of("tr", inner=_any_of("td", inner=_any_of("b")))
_FREQUENT = {1: _PARAGRAPHS, 2: _PARAGRAPHS, 3: _ROWS}


def _content(depth: int) -> str:
    frequent = _FREQUENT.get(depth, "")
    return rf"[^<]*+{frequent}(?:{_element(depth)}[^<]*+{frequent})*" if depth <= _DEPTH else "[^<]*+"


def _element(depth: int) -> str:
    return rf"<(?:({_NAME}){_ATTRIBUTES}>{_content(depth + 1)}</\{depth}>|[bh]r{_ATTRIBUTES} ?/>)"


_PLAIN = re.compile(rf'<div xmlns="{NAMESPACE}"{_ATTRIBUTES}>{_content(1)}</div>')
_OTHER_REFERENCE = re.compile(r"&(?!(?:lt|gt|amp|quot|apos|#[1-9][0-9]{2});)")
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r"))
_CONTENT = re.compile(r">[^<]*?[^\s<]|<img", re.ASCII)


def is_narrative(value: object) -> bool:
    """Returns whether `value` is a valid div of a narrative."""
    if not isinstance(value, str):
        return False
    is_plain = len(value) <= _MOST_FOR_PATTERN and bool(_PLAIN.fullmatch(value) and _is_xml_text(value))
    return is_plain or not faults(value)


def _is_xml_text(text: str) -> bool:
    """Returns whether a narrative that the pattern accepts has only characters and references that XML has."""
    if ("&" in text and _OTHER_REFERENCE.search(text)) or ("]" in text and "]]>" in text):
        return False
    if not text.isascii() and ("\ufffe" in text or "\uffff" in text):
        return False
    utf8 = text.encode()
    return len(utf8.translate(None, _CONTROLS)) == len(utf8)


def has_content(text: str) -> bool:
    """Returns whether a narrative's div shows anything (txt-2)."""
    return bool(_CONTENT.search(text))


def faults(text: str) -> tuple[str, ...]:
    """Returns everything that is wrong with a narrative's div, in words that repeat nothing but names of HTML."""
    if not text.lstrip(" \t\r\n").startswith("<div"):
        return ("the narrative must be one XHTML element, <div>",)
    if "<!D" in text or "<?" in text or "<![" in text:
        return ("the narrative must not have DOCTYPE, CDATA or processing instructions",)
    reading = _Reading()
    parser = ParserCreate("utf-8", namespace_separator=" ")
    parser.StartElementHandler = reading.start
    parser.CommentHandler = reading.comment
    try:
        parse(parser, text.encode())
    except ContentTooLarge as crowded:
        reading.found[str(crowded)] = None
    except ExpatError:
        reading.found[f"the narrative is not well-formed XML near its byte {parser.ErrorByteIndex}"] = None
    return tuple(reading.found)


@dataclass(slots=True)
class _Reading:
    found: dict[str, None] = field(default_factory=dict)
    depth: int = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        if namespace != NAMESPACE or local not in ELEMENTS:
            known = f"<{local}> is" if local in _WORTH_NAMING else "an element is"
            self._fault(f"{known} not allowed in a narrative; basic XHTML only")
        for attribute, value in attributes.items():
            plain = attribute.replace("http://www.w3.org/XML/1998/namespace ", "xml:")
            if plain not in ATTRIBUTES:
                self._fault("an attribute is not allowed in a narrative; no events, basic XHTML only")
            elif plain in _ADDRESSES and self._is_active(local, _IGNORED_IN_ADDRESSES.sub("", value)):
                self._fault("a link in a narrative must not be a script or data")

    def comment(self, text: str) -> None:
        if text.startswith((">", "->")):
            self._fault("a comment in a narrative must not start with > or ->")

    def _is_active(self, element: str, address: str) -> bool:
        return bool(_ACTIVE.match(address)) and not (element == "img" and address.startswith("data:image/"))

    def _fault(self, text: str) -> None:
        self.found[text] = None
