"""Reference integrity: what a written resource refers to in this tenant must be there when it is written.

Looked at before the write, one GET for each distinct target, side by side; nothing is locked, so a target that is
deleted in the same moment leaves a reference to nothing, as a later delete does. Absolute URLs, urn:…, logical and
contained references are not this server's to follow. Off unless asked for.

https://hl7.org/fhir/R4/http.html#integrity
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Set
from typing import TypeAlias, TypeVar

from fhirstore.errors import Issue, RulesBroken
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.references import literal, target
from fhirstore.fhir.validation.places import places
from fhirstore.fhir.validation.validator import Validator

Target: TypeAlias = tuple[str, str]
"""Type and id of a resource."""

Exists: TypeAlias = Callable[[str, str], Awaitable[bool]]

_AT_ONCE = 32  # GETs
_Answer = TypeVar("_Answer")


def relative_references(definitions: Definitions, resource: JsonObject) -> dict[Target, str]:
    """What the resource refers to on this server -> where it does so first. Itself is not among it."""
    found: dict[Target, str] = {}
    for place in places(definitions, resource):
        parsed = target(literal(place.node)) if place.type == "Reference" else None
        if parsed and not parsed[0] and parsed[1] in definitions.resources:
            found.setdefault(parsed[1:], f"{place.path}.reference")
    found.pop((str(resource.get("resourceType")), str(resource.get("id"))), None)
    return found


async def not_there(targets: Iterable[Target], exists: Exists) -> frozenset[Target]:
    """Those of the targets that are not there; 1 GET for each, 32 at a time."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def is_there(at: Target) -> bool:
        async with gate:
            return await exists(*at)

    wanted = list(dict.fromkeys(targets))
    answers = await asyncio.gather(*(is_there(at) for at in wanted))
    return frozenset(at for at, there in zip(wanted, answers, strict=True) if not there)


def refuse_dangling(references: Mapping[Target, str], missing: Set[Target]) -> None:
    """Raises RulesBroken with the expression of every reference whose target is missing."""
    issues = [
        Issue("not-found", f"{where}: refers to a {at[0]} that is not on this server", (where,))
        for at, where in references.items()
        if at in missing
    ]
    if issues:
        raise RulesBroken(tuple(issues))


async def check_references(definitions: Definitions, resource: JsonObject, exists: Exists) -> None:
    """Raises RulesBroken with the expression of every reference whose target is not there."""
    references = relative_references(definitions, resource)
    refuse_dangling(references, await not_there(references, exists))


class Unverified(Exception):
    """A validator met references that nobody has followed yet."""

    def __init__(self, references: dict[Target, str]) -> None:
        super().__init__("references to follow")
        self.references = references


class ReferencesToo(Validator):
    """For writes whose content is made only when the stored version is known, by a decision that cannot wait.

    It raises Unverified where there are references to follow; `following` does that and lets the decision be made anew.
    """

    def __init__(self, validator: Validator) -> None:
        super().__init__(validator.definitions, validator.level)
        self._inner = validator
        self._verified: set[Target] = set()

    def check(self, resource: JsonObject) -> bool:
        """Raises RulesBroken, Unverified."""
        padded = self._inner.check(resource)
        found = relative_references(self.definitions, resource)
        fresh = {at: where for at, where in found.items() if at not in self._verified}
        if fresh:
            raise Unverified(fresh)
        return padded

    async def following(self, attempt: Callable[[], Awaitable[_Answer]], exists: Exists) -> _Answer:
        """What `attempt`, which writes by way of this validator, gives. Raises RulesBroken for a dangling reference."""
        while True:
            try:
                return await attempt()
            except Unverified as found:
                references = found.references
            refuse_dangling(references, await not_there(references, exists))
            self._verified.update(references)
