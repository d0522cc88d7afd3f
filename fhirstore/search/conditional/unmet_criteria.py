"""Refuses a conditional create whose resource does not meet its own criteria: each repetition would make another one.

The check uses the resource's content and the id under which it is written. The usual reason is that the criteria were
read differently than the client meant, so the error says how they were read, without repeating them, because they may
identify a patient.

https://hl7.org/fhir/R4/http.html#ccreate · https://hl7.org/fhir/R4/http.html#cond-update
"""

from __future__ import annotations

from collections.abc import Sequence

from fhirstore.errors import InvalidResource
from fhirstore.fhir import json
from fhirstore.fhir.json import JsonObject
from fhirstore.index.names import identifiers
from fhirstore.search.conditional.identifying import Criteria
from fhirstore.search.criteria.query import shown
from fhirstore.search.criteria.token import Token


def refuse_unmet(criteria: Criteria, type: str, id: str, content: bytes) -> None:
    """Raises InvalidResource where a resource with this content, written under this id, does not meet the criteria."""
    refuse_unmet_names(criteria, type, id, content)
    if criteria.also:
        refuse_unmet_content(criteria, type, json.parse(content, max_values=None))


def refuse_unmet_names(criteria: Criteria, type: str, id: str, content: bytes) -> None:
    """As `refuse_unmet`, of its id and identifiers alone, which no link between resources changes."""
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
            f"The resource does not meet the criteria, so each repetition would make another one; {_all_read(missed)}",
            code="invalid",
            expression=(f"{type}.identifier",),
        )


def refuse_unmet_content(criteria: Criteria, type: str, resource: JsonObject) -> None:
    """Raises InvalidResource where a resource does not meet the criteria about other parameters than identifiers."""
    missed = [name for name, meets in criteria.also if not meets(resource)]
    if missed:
        raise InvalidResource(
            "The resource does not meet the criteria, so each repetition would make another one: it does not match"
            f" {_named(missed)}",
            code="invalid",
            expression=(type,),
        )


def refuse_undecided(criteria: Criteria) -> None:
    """Raises InvalidResource for criteria of which the content of a new resource does not tell whether it meets them.

    They can be met by what is stored only, such as chains, or not by what is written, such as `_lastUpdated`.
    """
    undecided = [*criteria.beyond, *(["_lastUpdated"] if criteria.updated else [])]
    if undecided:
        raise InvalidResource(
            f"Nothing matches, and nothing is created on {_named(undecided)}: whether a new resource meets that is not"
            " known, so each repetition could make another one",
            code="not-supported",
        )


def how_read(criteria: Criteria) -> str:
    """Returns in words how criteria were read, without repeating their values."""
    others = [name for name, _ in criteria.used if name not in ("identifier", "_id")]
    if criteria.identifiers:
        return _all_read(criteria.identifiers) + (f"; and by {_named(others)}" if others else "")
    return f"by {_named(others)}" if others else "by _id alone"


def _named(parameters: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(shown(name) for name in parameters))


def _all_read(identifiers: Sequence[Sequence[Token]]) -> str:
    return "; ".join(dict.fromkeys(_read(tokens) for tokens in identifiers))


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
