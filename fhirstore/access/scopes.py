"""SMART scopes: `system/Patient.read` (version 1) and `patient/Observation.rs?category=laboratory` (version 2).

| version 1 | version 2 | rights |
|---|---|---|
| `.read` | `.rs` | read, search |
| `.write` | `.cud` | create, update, delete |
| `.*` | `.cruds` | all |

The letters are in this order: "create, read, update, delete, search". A scope that cannot be enforced as it is written
is refused: an unknown type, other letters, criteria that `fhirstore.search.matching` does not evaluate. A part of it is
never ignored, since the rest could grant more than was meant.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias, cast

from fhirstore.errors import FhirError, Unsupported
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.definitions.load import definitions
from fhirstore.search.criteria.query import parse_query
from fhirstore.search.criteria.token import split
from fhirstore.search.matching import ResourceFilter, parse_filter

Context: TypeAlias = Literal["system", "user", "patient"]
Right: TypeAlias = Literal["c", "r", "u", "d", "s"]

ADMIN = "system/fhirstore.admin"
METRICS = "system/fhirstore.metrics"
BULK_SUBMIT = "system/bulk-submit"
OTHERS = frozenset(
    (
        *(ADMIN, METRICS, BULK_SUBMIT, "openid", "profile", "fhirUser", "launch", "launch/patient"),
        *("launch/encounter", "offline_access", "online_access"),
    )
)
"""Scopes that are not about resource types."""

MOST_SCOPES = 200
MOST_CHARACTERS = 8_192  # of all scopes together

_SCOPE = re.compile(
    r"(?P<context>system|user|patient)/(?P<type>\*|[A-Za-z]{1,64})\.(?P<rights>read|write|\*|c?r?u?d?s?)(?:\?(?P<criteria>.+))?"
)
_VERSION_1 = {"read": "rs", "write": "cud", "*": "cruds"}
_WORD = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # scope-token of RFC 6749


@dataclass(frozen=True, slots=True, repr=False)
class Scope:
    """Rights on the resources of a type ("*": of all types). `criteria`: a query that they must meet, without the `?`.

    `context`: `system`: of the tenant; `patient`: in the compartment of one patient; `user`: those of the user.
    """

    context: Context
    type: str
    rights: frozenset[str]
    criteria: str | None = None

    def __str__(self) -> str:
        rights = "".join(right for right in "cruds" if right in self.rights)
        return f"{self.context}/{self.type}.{rights}{'' if self.criteria is None else f'?{self.criteria}'}"

    def __repr__(self) -> str:
        rights = "".join(right for right in "cruds" if right in self.rights)
        return f"<Scope {self.context}/{self.type}.{rights}{'' if self.criteria is None else '?…'}>"

    def grants(self, right: str, type: str) -> bool:
        """Whether it grants this right on resources of this type, or on some of them."""
        return right in self.rights and self.type in ("*", type)


def parse_scopes(text: str, *, release: str = "4.0") -> tuple[tuple[Scope, ...], frozenset[str], tuple[str, ...]]:
    """Returns the scopes of a space-separated list, those that are not about types, and those that are refused.

    `release`: of FHIR, whose types and search parameters count. A list that is too long, or has characters that no
    scope may have, is refused as a whole. Never raises.
    """
    words = text.split()
    if len(text) > MOST_CHARACTERS or len(words) > MOST_SCOPES:
        return (), frozenset(), ("a list that is too long",)
    facts = definitions(release)
    scopes: dict[Scope, None] = {}
    others: set[str] = set()
    refused: list[str] = []
    for word in words:
        if word in OTHERS:
            others.add(word)
        elif (scope := _scope(word, facts)) is not None:
            scopes[scope] = None
        else:
            refused.append(word if _WORD.fullmatch(word) else "a scope with characters that no scope has")
    return tuple(scopes), frozenset(others), tuple(refused)


def _scope(word: str, facts: Definitions) -> Scope | None:
    """Returns the scope; None for what is none, or cannot be enforced."""
    found = _SCOPE.fullmatch(word)
    if found is None or not _WORD.fullmatch(word):
        return None
    type_, rights, criteria = found["type"], found["rights"], found["criteria"]
    rights = _VERSION_1.get(rights, rights)
    if not rights or (type_ != "*" and type_ not in facts.resources):
        return None
    if criteria is not None:
        if found["rights"] in _VERSION_1:  # version 1 has no criteria
            return None
        try:
            for one in sorted(facts.resources) if type_ == "*" else (type_,):
                filter_of(facts.release, one, criteria)
        except FhirError:
            return None
    return Scope(cast(Context, found["context"]), type_, frozenset(rights), criteria)


@lru_cache(maxsize=4_096)
def filter_of(release: str, type: str, criteria: str) -> ResourceFilter:
    """Returns the filter of a scope's criteria. Raises FhirError for criteria that are not evaluated, also by a search
    (a modifier of `_id`), or that depend on the time: `ap` of a date, `_lastUpdated`."""
    facts = definitions(release)
    found = parse_filter(facts, type, criteria, now=0)
    for name, value in parse_query(criteria.replace("+", "%2B")):
        code = name.partition(":")[0]
        approximate = any(one.startswith("ap") for one in split(value, ","))
        if code == "_lastUpdated" or (approximate and facts.search_parameters[type][code].type == "date"):
            raise Unsupported("The criteria of a scope do not depend on the time")
        if name.startswith("_id:"):
            raise Unsupported("The criteria of a scope name ids, without a modifier")
    return found
