"""Strings, compared without regard to case, accents, punctuation and repeated white space.

A value matches if it begins with what is searched for; with `:contains` if it has it anywhere; with `:exact` if it is
the same, character by character. A HumanName or an Address matches if one of its parts does. A name also matches from
any of its words: `Quinones` finds the family name "Carreño Quinones". A hyphen may be left out or be a space.

https://hl7.org/fhir/R4/search.html#string
"""

from __future__ import annotations

from collections.abc import Callable

from fhirstore.fhir.search_parameters.values import normalized, texts_of, words_of


def string_test(text: str, modifier: str, *, name: bool) -> Callable[[object], bool]:
    """Returns the test of an element for one value searched for. `modifier`: exact, contains or empty. `name`: the
    element is a name of a person, or a part of one. Raises ValueError.
    """
    if modifier == "exact":
        return lambda value: text in texts_of(value)
    sought = normalized(text)
    if not sought:
        raise ValueError("it has neither letters nor digits")
    if modifier == "contains":
        return lambda value: any(sought in normalized(part) for part in texts_of(value))
    at_word, words = f" {sought}", words_of(text)
    if name:
        return lambda value: any(
            at_word in f" {normalized(part)}" or words in words_of(part) for part in texts_of(value)
        )

    def test(value: object) -> bool:
        texts = texts_of(value)
        return any(normalized(part).startswith(sought) or words_of(part).startswith(words) for part in texts)

    return test
