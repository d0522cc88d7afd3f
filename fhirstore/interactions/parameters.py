"""The parameters of a FHIR URL that say what an interaction returns, and the refusal of those that it does not have.

A parameter that is not known is refused by name and not ignored: a misspelt `_elments` would show everything, a
misspelt criterion would match everything.

https://hl7.org/fhir/R4/http.html#parameters · https://hl7.org/fhir/R4/searchparameter-registry.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from fhirstore.errors import InvalidResource
from fhirstore.fhir.subset import check

Pairs: TypeAlias = Sequence[tuple[str, str]]
"""Names and values of parameters, unquoted, in the order given."""

FORM_PARAMETERS = ("_format", "_pretty", "_summary", "_elements")
"""Parameters of every interaction: the form in which resources are returned."""
CURSOR = "_cursor"
"""This library's own parameter, in the links from page to page."""

_MOST_DIGITS = 9
_NAME = re.compile(r"[A-Za-z0-9_:.-]{1,64}")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class View:
    """The part of each resource that is wanted: a value of `_summary` (empty: all), or names in `_elements`.

    `FhirStore.part` returns that part of a resource.
    """

    summary: str = ""
    elements: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether all of each resource is wanted."""
        return not self.summary and not self.elements

    @classmethod
    def of(cls, given: Mapping[str, str]) -> View:
        """Returns what `_summary` and `_elements` ask for. Raises InvalidResource."""
        summary, names = given.get("_summary"), given.get("_elements")
        elements = tuple(name.strip() for name in names.split(",")) if names else ()
        check(summary, elements)
        return cls("" if summary in (None, "false") else str(summary), elements)


def refuse_unknown(pairs: Iterable[tuple[str, str]], known: Iterable[str]) -> None:
    """Raises InvalidResource for a parameter that is not in `known` and not a form parameter."""
    allowed = (*known, *FORM_PARAMETERS)
    unknown = sorted({name if _NAME.fullmatch(name) else "one with an odd name" for name, _ in pairs} - {*allowed})
    if unknown:
        raise InvalidResource(
            f"Unknown parameters: {', '.join(unknown)}; here there are {', '.join(allowed)}", code="not-supported"
        )


def count_of(given: Mapping[str, str]) -> int | None:
    """Returns `_count`; None if it is not given. Raises InvalidResource."""
    return read_value(given, "_count", _count, "a whole number, 0 or more")


def read_value(given: Mapping[str, str], name: str, parse: Callable[[str], _Value], form: str) -> _Value | None:
    """Returns one parameter's value; None if it is not given. Raises InvalidResource, which says it must be `form`."""
    if name not in given:
        return None
    try:
        return parse(given[name])
    except (ValueError, KeyError) as error:
        raise InvalidResource(f"{name} must be {form}", code="value") from error


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise ValueError("not a count")
    return int(text)
