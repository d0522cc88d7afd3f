"""What `_text` and `_content` ask for: words, with `AND`, `OR`, `NOT` and parentheses, as in
`(bone OR liver) and metastases`.

Words beside each other must all be there. AND and OR have no case, and AND binds more strongly; NOT is written in
capitals, since texts and questions have the word, too. A term that has several words, like `x-ray`, is all of them.

https://hl7.org/fhir/R4/search.html#content
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from fhirstore.errors import Unsupported
from fhirstore.fhir.search_parameters.words import LONGEST, words_in

MOST_WORDS = 100
"""Words of one value, each a test of its own."""
MOST_NESTED = 10

_TOKEN = re.compile(r'"[^"]*+"|[()]|[^\s()"]++|"')
_OPERATORS = frozenset(("and", "or"))


@dataclass(frozen=True, slots=True, repr=False)
class Word:
    """A text has the word, or lacks it if `negated`."""

    text: str
    negated: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class AllOf:
    """All parts are met."""

    parts: tuple[Sought, ...]


@dataclass(frozen=True, slots=True, repr=False)
class OneOf:
    """Any part is met."""

    parts: tuple[Sought, ...]


Sought: TypeAlias = Word | AllOf | OneOf


def sought_words(text: str) -> Sought:
    """Returns what an unescaped value asks for.

    Raises ValueError for a malformed one, Unsupported for phrases and parts of words.
    """
    reading = _Reading(_TOKEN.findall(text))
    found = reading.alternatives(0)
    if reading.tokens:
        raise ValueError("a parenthesis is closed that was not opened")
    return found


class _Reading:
    """Reads tokens from left to right."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens[::-1]  # the next one at the end
        self._words = 0

    def alternatives(self, depth: int) -> Sought:
        """Reads up to the end, or to a closing parenthesis."""
        if depth > MOST_NESTED:
            raise ValueError(f"more than {MOST_NESTED} parentheses are open at once")
        parts = [self._together(depth)]
        while self._is_next("or"):
            self.tokens.pop()
            parts.append(self._together(depth))
        return parts[0] if len(parts) == 1 else OneOf(tuple(parts))

    def _together(self, depth: int) -> Sought:
        parts = [self._one(depth)]
        while self.tokens and self.tokens[-1] != ")" and not self._is_next("or"):
            if self._is_next("and"):
                self.tokens.pop()
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _one(self, depth: int) -> Sought:
        negated = False
        while self.tokens and self.tokens[-1] == "NOT":
            self.tokens.pop()
            negated = not negated
        if not self.tokens or self.tokens[-1] == ")" or self.tokens[-1].lower() in _OPERATORS:
            raise ValueError("a word is missing")
        term = self.tokens.pop()
        if term != "(":
            found = self._term(term)
        else:
            found = self.alternatives(depth + 1)
            if not self.tokens:
                raise ValueError("a parenthesis is not closed")
            self.tokens.pop()
        return _negated(found) if negated else found

    def _term(self, term: str) -> Sought:
        if term == '"':
            raise ValueError("a quotation mark is not closed")
        if "*" in term or term[0] in "+-~":
            raise Unsupported("Words are searched whole, with AND, OR and NOT: *, and +, - or ~ before a word, are not")
        words = words_in(term)
        if len(words) > 1 and term.startswith('"'):
            raise Unsupported("Phrases are not searched; leave out the quotation marks to find all of the words")
        if not words:
            raise ValueError(f"a term has no word of up to {LONGEST} letters and digits")
        self._words += len(words)
        if self._words > MOST_WORDS:
            raise ValueError(f"it has more than {MOST_WORDS} words")
        return Word(words[0]) if len(words) == 1 else AllOf(tuple(map(Word, words)))

    def _is_next(self, operator: str) -> bool:
        return bool(self.tokens) and self.tokens[-1].lower() == operator


def _negated(sought: Sought) -> Sought:
    match sought:
        case Word(text, negated):
            return Word(text, not negated)
        case AllOf(parts):
            return OneOf(tuple(map(_negated, parts)))
        case OneOf(parts):
            return AllOf(tuple(map(_negated, parts)))
