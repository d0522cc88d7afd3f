"""Strings, compared without regard to case, accents, punctuation and repeated white space.

A value matches if it begins with what is searched for; with `:contains` if it has it anywhere; with `:exact` if it is
the same, character by character. A HumanName or an Address matches if one of its parts does. A name also matches from
any of its words: `Quinones` finds the family name "Carreño Quinones".

https://hl7.org/fhir/R4/search.html#string
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Iterator

_PARTS = (
    *("family", "given", "prefix", "suffix"),
    *("line", "city", "district", "state", "country", "postalCode"),
    *("text", "display", "value"),
)
"""The members of a HumanName, an Address and other types that are text."""
_HYPHENS = re.compile("[-\u2010-\u2015]")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def string_test(text: str, modifier: str, *, name: bool) -> Callable[[object], bool]:
    """Returns the test of an element for one value searched for. `modifier`: exact, contains or empty. `name`: the
    element is a part of a name. Raises ValueError.
    """
    if modifier == "exact":
        return lambda value: any(part == text for part, _ in _texts(value, name))
    sought = normalized(text)
    if not sought:
        raise ValueError("it has neither letters nor digits")
    if modifier == "contains":
        return lambda value: any(sought in normalized(part) for part, _ in _texts(value, name))
    at_word, spaced = f" {sought}", normalized(_HYPHENS.sub(" ", text))

    def test(value: object) -> bool:
        for part, is_name in _texts(value, name):
            found = normalized(part)
            if found.startswith(sought):
                return True
            if is_name and (at_word in f" {found}" or f" {spaced}" in f" {normalized(_HYPHENS.sub(' ', part))}"):
                return True
        return False

    return test


def normalized(text: str) -> str:
    """Returns a text in lower case, without accents and punctuation, with single spaces."""
    if text.isascii():
        return " ".join(text.casefold().translate(_NO_PUNCTUATION).split())
    apart = unicodedata.normalize("NFKD", text.casefold())
    kept = "".join(char for char in apart if unicodedata.category(char) not in _LEFT_OUT)
    return " ".join(unicodedata.normalize("NFKC", kept).casefold().split())


_LEFT_OUT = frozenset(("Mn", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po"))


def _texts(value: object, name: bool) -> Iterator[tuple[str, bool]]:
    """Yields the texts of an element, and whether each is a part of a name."""
    if isinstance(value, str):
        yield value, name
    elif isinstance(value, dict):
        named = "family" in value or "given" in value or name
        for member in _PARTS:
            part = value.get(member)
            for one in part if isinstance(part, list) else (part,):
                if isinstance(one, str):
                    yield one, named
