"""Strings, compared without regard to case, accents, punctuation and repeated white space.

A value matches if it begins with what is searched for; with `:contains` if it has it anywhere; with `:exact` if it is
the same, character by character. A HumanName or an Address matches if one of its parts does. A name also matches from
any of its words: `Quinones` finds the family name "Carreño Quinones". A hyphen may be left out or be a space.

https://hl7.org/fhir/R4/search.html#string
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable

_PARTS = (
    *("family", "given", "prefix", "suffix", "text"),
    *("line", "city", "district", "state", "country", "postalCode"),
    *("display", "value"),
)
"""The members that are text of a HumanName, an Address, and of what else a string parameter may cover."""
_HYPHENS = re.compile("[-\u2010-\u2015]")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_LEFT_OUT = frozenset(("Mn", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po"))  # marks above and below letters; punctuation


def string_test(text: str, modifier: str, *, name: bool) -> Callable[[object], bool]:
    """Returns the test of an element for one value searched for. `modifier`: exact, contains or empty. `name`: the
    element is a name of a person, or a part of one. Raises ValueError.
    """
    if modifier == "exact":
        return lambda value: text in _texts(value)
    sought = normalized(text)
    if not sought:
        raise ValueError("it has neither letters nor digits")
    if modifier == "contains":
        return lambda value: any(sought in normalized(part) for part in _texts(value))
    at_word, words = f" {sought}", _words(text)
    if name:
        return lambda value: any(at_word in f" {normalized(part)}" or words in _words(part) for part in _texts(value))

    def test(value: object) -> bool:
        texts = _texts(value)
        return any(normalized(part).startswith(sought) or _words(part).startswith(words) for part in texts)

    return test


def normalized(text: str) -> str:
    """Returns a text without upper case, accents and punctuation, with single spaces."""
    if text.isascii():
        return " ".join(text.lower().translate(_NO_PUNCTUATION).split())
    apart = unicodedata.normalize("NFKD", text)
    kept = "".join(char for char in apart if unicodedata.category(char) not in _LEFT_OUT)
    return " ".join(unicodedata.normalize("NFC", kept.casefold()).translate(_NO_PUNCTUATION).split())


def _words(text: str) -> str:
    """Returns its words, normalized, with a space before each; a hyphen separates words."""
    return " " + normalized(_HYPHENS.sub(" ", text))


def _texts(value: object) -> list[str]:
    """Returns the texts of an element."""
    if isinstance(value, str):
        return [value]
    found: list[str] = []
    if isinstance(value, dict):
        for member in _PARTS:
            part = value.get(member)
            found += [one for one in (part if isinstance(part, list) else [part]) if isinstance(one, str)]
    return found
