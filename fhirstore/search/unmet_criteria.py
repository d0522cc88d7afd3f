"""Refuses a conditional create whose resource does not meet its own criteria: each repetition would make another one.

The check uses the resource's identifiers and the id under which it is written. The usual reason is that the criteria
were read differently than the client meant, so the error says how they were read, without repeating them, because they
may identify a patient.

https://hl7.org/fhir/R4/http.html#ccreate · https://hl7.org/fhir/R4/http.html#cond-update
"""

from __future__ import annotations

from collections.abc import Sequence

from fhirstore.errors import InvalidResource
from fhirstore.index.names import identifiers
from fhirstore.search.criteria import Criteria
from fhirstore.search.token import Token


def refuse_unmet(criteria: Criteria, type: str, id: str, content: bytes) -> None:
    """Raises InvalidResource where a resource with this content, written under this id, does not meet the criteria."""
    if not all(id in ids for ids in criteria.ids):
        raise InvalidResource(
            "Nothing matches, and what would be created does not meet the criteria: its id is another one than _id"
            f" names. To create {type}/[id] or change it, PUT it there",
            code="invalid",
            expression=(f"{type}.id",),
        )
    carried = identifiers(type, content, release=criteria.release) if criteria.identifiers else ()
    missed = [some for some in criteria.identifiers if not any(one.matches(it) for one in some for it in carried)]
    if missed:
        raise InvalidResource(
            f"The resource does not meet the criteria, so each repetition would make another one; {how_read(missed)}",
            code="invalid",
            expression=(f"{type}.identifier",),
        )


def how_read(criteria: Sequence[Sequence[Token]]) -> str:
    """Returns in words how values of `identifier` were read, without repeating them."""
    told = dict.fromkeys(_read(tokens) for tokens in criteria)
    return "; ".join(told) if told else "by _id alone"


def _read(tokens: Sequence[Token]) -> str:
    kinds = " or ".join(dict.fromkeys(_kind(token) for token in tokens))
    text = f"identifier was read as {kinds}"
    if len(tokens) > 1:
        text = f"identifier was read as {len(tokens)} alternatives, {kinds}: a comma in a value is written \\,"
    if any(" " in part for token in tokens for part in (token.system or "", token.value or "")):
        text += "; it has a space, which is what + means in a URL: a plus sign is written %2B"
    return text


def _kind(token: Token) -> str:
    value = "" if token.value is None else f"a value of {len(token.value)} characters"
    if token.any_system:
        return f"{value} in any system"
    if token.system is None:
        return f"{value} without a system"
    return f"a system of {len(token.system)} characters with {value or 'any value'}"
