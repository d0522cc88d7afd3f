"""Search parameters as callers of the library give them: keywords, a mapping, pairs, or the query of a URL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias, cast
from urllib.parse import urlencode

from fhirstore.errors import InvalidResource
from fhirstore.search.criteria.query import parse_query

Value: TypeAlias = str | int | Sequence[str | int]
"""The value of a parameter, unquoted; several values are several parameters of the same name, which are and-ed."""

Parameters: TypeAlias = str | Mapping[str, Value] | Iterable[tuple[str, Value]]
"""`{"_id": "1"}`, `[("_lastUpdated", "ge2026"), ("_lastUpdated", "lt2027")]`, or a query, quoted as in a URL."""

_MOST_DIGITS = 9
_BOOLEANS = {True: "true", False: "false"}
_FORM = "Search parameters are keywords, a mapping, pairs of a name and a value, or the query of a URL"


def pairs_of(parameters: Parameters, keywords: Mapping[str, Value] | None = None) -> list[tuple[str, str]]:
    """Returns names and values, in the order given. Raises InvalidResource."""
    if isinstance(parameters, str):
        pairs = parse_query(parameters)
    else:
        given = parameters.items() if isinstance(parameters, Mapping) else parameters
        try:
            pairs = [(name, text) for name, value in given for text in _texts(name, value)]
        except (TypeError, ValueError):
            raise InvalidResource(_FORM, code="value") from None
    return pairs + [(name, text) for name, value in (keywords or {}).items() for text in _texts(name, value)]


def query_of(parameters: Parameters) -> str:
    """Returns them as the query of a URL. Raises InvalidResource."""
    return parameters if isinstance(parameters, str) else urlencode(pairs_of(parameters))


def page_of(pairs: Iterable[tuple[str, str]]) -> tuple[list[tuple[str, str]], int | None, str | None]:
    """Takes `_count` and `_cursor` out: returns the other parameters, and these two. Raises InvalidResource."""
    criteria: list[tuple[str, str]] = []
    count: int | None = None
    cursor: str | None = None
    for name, value in pairs:
        if name == "_count":
            if not (value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS):
                raise InvalidResource("_count must be a whole number, 0 or more", code="value")
            count = int(value)
        elif name == "_cursor":
            cursor = value
        else:
            criteria.append((name, value))
    return criteria, count, cursor


def _texts(name: object, value: object) -> list[str]:
    """The values of one parameter as text."""
    if not isinstance(name, str):
        raise InvalidResource(_FORM, code="value")
    values = cast("Sequence[object]", value) if isinstance(value, list | tuple) else (value,)
    texts = [_BOOLEANS[one] if isinstance(one, bool) else str(one) if isinstance(one, int) else one for one in values]
    if not all(isinstance(text, str) for text in texts):
        raise InvalidResource(
            "The value of a search parameter is text, a whole number, true or false, or a list of these", code="value"
        )
    return cast("list[str]", texts)
