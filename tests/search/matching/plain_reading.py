"""A plain reading of search parameters, which shares no code with the filter but the values it is given.

For a value that is in a resource, `searches` makes up searches for it and for what is near it, each with a function
that tells of any other value whether it is found: by text and fractions, not by intervals. Where the plain reading has
no opinion (a time zone, a range), it says None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TypeAlias

from fhirstore.fhir.json import NumberLiteral

Naive: TypeAlias = Callable[[object], bool | None]
"""Whether a value is found; None where the plain reading does not know."""
Search: TypeAlias = tuple[str, Naive]
"""What follows the name of the parameter, `=x` or `:exact=x`, and what it finds."""

MOST_VALUES = 6  # of one parameter, so that the test is quick
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_LOCAL = re.compile(r"([A-Z]\w+)/([A-Za-z0-9.-]+)(/_history/.*)?")


def searches(kind: str, values: list[list[object]]) -> Iterator[Search]:
    """Yields searches of a parameter of this kind for some of the values that resources have for it."""
    seen: set[str] = set()
    for value in [value for carried in values for value in carried[:2]][:MOST_VALUES]:
        for query, naive in _KINDS[kind](value):
            if query not in seen:
                seen.add(query)
                yield query, naive


def _quoted(text: str) -> str:
    escaped = re.sub(r"([\\|,$])", r"\\\1", text)
    return re.sub(r"[%&+#=;]", lambda match: f"%{ord(match[0]):02X}", escaped)


# --- token --------------------------------------------------------------------------------------------------


def _tokens(value: object) -> Iterator[Search]:
    if isinstance(value, bool):
        yield f"={str(value).lower()}", lambda one: one is value
    elif isinstance(value, str) and value:
        yield f"={_quoted(value)}", lambda one: _same_code(one, value)
    elif not (isinstance(value, dict) and ("use" in value or value.get("system") in ("phone", "email", "fax", "url"))):
        for system, code in _pairs(value) or []:  # not of contact points, which have no system
            if isinstance(code, str) and code:
                yield from _of_pair(system, code)


def _of_pair(system: object, code: str) -> Iterator[Search]:
    def any_pair(test: Callable[[object, object], bool]) -> Naive:
        def naive(value: object) -> bool | None:
            pairs = _pairs(value)
            return None if pairs is None else any(test(*pair) for pair in pairs)

        return naive

    yield f"={_quoted(code)}", any_pair(lambda _, other: other == code)
    yield f"=|{_quoted(code)}", any_pair(lambda its, other: its is None and other == code)
    if isinstance(system, str):
        yield f"={_quoted(system)}|{_quoted(code)}", any_pair(lambda its, other: (its, other) == (system, code))
        yield f"={_quoted(system)}|", any_pair(lambda its, _: its == system)


def _pairs(value: object) -> list[tuple[object, object]] | None:
    """The (system, code) in a value; None for what has other rules."""
    if not isinstance(value, dict):
        return None
    if "coding" in value:
        return [(one.get("system"), one.get("code")) for one in value["coding"]]
    return [(value.get("system"), value.get("code", value.get("value")))]


def _same_code(one: object, other: str) -> bool | None:
    """Whether they are the same; not known where they differ in case, which counts for some types."""
    if not isinstance(one, str) or one.casefold() != other.casefold():
        return False
    return True if one == other else None


# --- string, reference, uri ---------------------------------------------------------------------------------


def _strings(value: object) -> Iterator[Search]:
    for text in _leaves(value)[:2]:
        word = re.search(r"[A-Za-z0-9]{2,}", text)
        if word:
            yield f":contains={word[0].upper()}", _containing(word[0].lower())
        if text == text.strip():
            yield f":exact={_quoted(text)}", _including(text)


def _containing(word: str) -> Naive:
    def naive(value: object) -> bool | None:
        texts = _leaves(value)
        if not all(text.isascii() for text in texts):
            return None
        return any(word in re.sub(r"[^a-z0-9\s]", "", text.lower()) for text in texts)

    return naive


def _including(text: str) -> Naive:
    return lambda value: text in _leaves(value)


def _leaves(value: object) -> list[str]:
    """The texts of a string, a HumanName or an Address, without its use, type and period."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [leaf for item in value for leaf in _leaves(item)]
    if isinstance(value, dict):
        inner = [item for name, item in value.items() if name not in ("use", "type", "period", "extension", "id")]
        return [leaf for item in inner if not isinstance(item, dict) for leaf in _leaves(item)]
    return []


def _references(value: object) -> Iterator[Search]:
    text = _reference(value)
    if local := _LOCAL.fullmatch(text):
        type_, id_ = local[1], local[2]
        yield f"={type_}/{id_}", lambda one: _reference(one).split("/_history/")[0] == f"{type_}/{id_}"
        yield f"={id_}", lambda one: bool((other := _LOCAL.fullmatch(_reference(one))) and other[2] == id_)
    elif ":" in text:
        yield f"={_quoted(text)}", lambda one: None if "|" in _reference(one) else _reference(one) == text


def _reference(value: object) -> str:
    text = value.get("reference", "") if isinstance(value, dict) else value
    return text if isinstance(text, str) else ""


def _uris(value: object) -> Iterator[Search]:
    if isinstance(value, str) and "|" not in value:
        yield f"={_quoted(value)}", lambda one: None if isinstance(one, str) and "|" in one else one == value


# --- date ---------------------------------------------------------------------------------------------------


def _dates(value: object) -> Iterator[Search]:
    for length in (4, 7, 10):
        stated = value[:length] if isinstance(value, str) else ""
        if re.fullmatch(r"\d{4}(-\d\d(-\d\d)?)?", stated) and len(stated) == length:
            yield f"={stated}", _compared(stated, lambda order: order == 0)
            yield f"=ne{stated}", _compared(stated, lambda order: order != 0)
            yield f"=gt{stated}", _compared(stated, lambda order: order > 0)
            yield f"=sa{stated}", _compared(stated, lambda order: order > 0)
            yield f"=ge{stated}", _compared(stated, lambda order: order >= 0)
            yield f"=lt{stated}", _compared(stated, lambda order: order < 0)
            yield f"=eb{stated}", _compared(stated, lambda order: order < 0)
            yield f"=le{stated}", _compared(stated, lambda order: order <= 0)


def _compared(stated: str, test: Callable[[int], bool]) -> Naive:
    """A day, or a time in UTC, is compared with a day, month or year as text."""

    def naive(value: object) -> bool | None:
        day = value[:10] if isinstance(value, str) and value.endswith("Z") else value
        if not isinstance(day, str) or not _DAY.fullmatch(day):
            return None
        found = day[: len(stated)]
        return test((found > stated) - (found < stated))

    return naive


# --- number, quantity ---------------------------------------------------------------------------------------


def _numbers(value: object, unit: str = "") -> Iterator[Search]:
    stated = _fraction(value)
    if stated is None:
        return
    literal = bytes(value).decode() if isinstance(value, NumberLiteral) else str(value)
    suffix = f"||{_quoted(unit)}" if unit else ""
    for prefix, test in _NUMBER_TESTS.items():
        yield f"={prefix}{literal}{suffix}", _measured(stated, unit, test)


_NUMBER_TESTS: dict[str, Callable[[Fraction, Fraction], bool | None]] = {
    "ge": lambda one, other: one >= other,
    "le": lambda one, other: one <= other,
    "gt": lambda one, other: one > other,
    "eb": lambda one, other: one < other,
    "ap": lambda one, other: True if one == other else None,
}


def _measured(stated: Fraction, unit: str, test: Callable[[Fraction, Fraction], bool | None]) -> Naive:
    def naive(value: object) -> bool | None:
        quantity = value if isinstance(value, dict) else {"value": value}
        carried = _fraction(quantity.get("value"))
        if carried is None or "comparator" in quantity:
            return None
        return test(carried, stated) if not unit or unit in (quantity.get("unit"), quantity.get("code")) else False

    return naive


def _quantities(value: object) -> Iterator[Search]:
    if isinstance(value, dict):
        yield from _numbers(value.get("value"))
        if isinstance(value.get("unit"), str):
            yield from _numbers(value.get("value"), value["unit"])


def _fraction(value: object) -> Fraction | None:
    if isinstance(value, NumberLiteral):
        return Fraction(bytes(value).decode())
    return Fraction(value) if isinstance(value, int) and not isinstance(value, bool) else None


_KINDS: dict[str, Callable[[object], Iterator[Search]]] = {
    "token": _tokens,
    "string": _strings,
    "reference": _references,
    "uri": _uris,
    "date": _dates,
    "number": _numbers,
    "quantity": _quantities,
}
