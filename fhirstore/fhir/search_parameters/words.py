"""The words of narratives and of whole resources, as full text searches compare them.

A word is a run of letters and digits, without case and accents; all else separates words, so `120/80` are two.

https://hl7.org/fhir/R4/search.html#text · https://hl7.org/fhir/R4/narrative.html
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from html.entities import html5

from fhirstore.fhir.json import JsonObject

LONGEST = 100
"""Letters and digits of a word; a longer one is none: it is a key, or data."""

_ASCII_WORD = re.compile("[a-z0-9]+")
_WORD = re.compile(r"[^\W_]+")
_UNSEEN = dict.fromkeys(map(ord, "\u00ad\u200c\u200d\u2060\ufeff"))  # inside of words: soft hyphens, joiners
_TAG = re.compile(r"""</?([A-Za-z][^\s/<>"']*+)(?:[^<>"']++|"[^"]*+"|'[^']*+')*+>""")
_ENTITY = re.compile("&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_WITHIN_LINES = frozenset(
    (
        *("a", "abbr", "acronym", "b", "big", "cite", "code", "dfn", "em", "font", "i", "kbd", "q", "samp", "small"),
        *("span", "strong", "sub", "sup", "tt", "u", "var"),
    )
)
"""Elements of XHTML that may begin and end inside of a word."""
_NO_TEXT = frozenset(("resourceType", "valueBase64Binary"))
_WRITTEN_BY_SERVERS = ("versionId", "lastUpdated")


def words_in(text: str) -> list[str]:
    """Returns the words of a text, in its order."""
    if text.isascii():
        found = _ASCII_WORD.findall(text.lower())
    else:
        apart = unicodedata.normalize("NFKD", text.translate(_UNSEEN))
        kept = "".join(char for char in apart if unicodedata.category(char) != "Mn")
        found = _WORD.findall(unicodedata.normalize("NFC", kept.casefold()))
    return [word for word in found if len(word) <= LONGEST]


def text_of_div(div: str) -> str:
    """Returns the text of XHTML: without tags and comments, with the characters that entities stand for.

    From a `<` on that begins neither, all is text.
    """
    found: list[str] = []
    at = 0
    while (start := div.find("<", at)) >= 0:
        found.append(_plain(div[at:start]))
        if div.startswith("<!--", start) and (end := div.find("-->", start + 4)) >= 0:
            at = end + 3
        elif (tag := _TAG.match(div, start)) is not None:
            at = tag.end()
            if tag[1].lower() not in _WITHIN_LINES:
                found.append(" ")
        else:
            at = start
            break
    found.append(_plain(div[at:]))
    return "".join(found)


def _plain(text: str) -> str:
    return _ENTITY.sub(_character, text) if "&" in text else text


def _character(entity: re.Match[str]) -> str:
    name = entity[0][1:]
    return html.unescape(entity[0]) if name.startswith("#") else html5.get(name, entity[0])


def texts_of_narrative(narrative: object) -> Iterator[str]:
    """Yields the text of a Narrative, if it has one."""
    if isinstance(narrative, dict) and isinstance(div := narrative.get("div"), str):
        yield text_of_div(div)


def texts_of_resource(resource: JsonObject) -> Iterator[str]:
    """Yields all strings of a resource, of what is in it, and its narrative as text; not the names of types, data in
    base64, and what servers write into `meta`. In no order.
    """
    meta = resource.get("meta")
    left: list[object] = [{name: value for name, value in resource.items() if name != "meta"}]
    if isinstance(meta, dict):
        left.append({name: value for name, value in meta.items() if name not in _WRITTEN_BY_SERVERS})
    while left:
        node = left.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, list):
            left += node
        elif isinstance(node, dict):
            for name, value in node.items():
                if not isinstance(value, str):
                    left.append(value)
                elif name == "div":
                    yield text_of_div(value)
                elif name not in _NO_TEXT and (name != "data" or "origin" in node):  # SampledData has an origin
                    yield value
