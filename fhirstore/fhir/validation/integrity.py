"""Reference integrity: the resources of this tenant that a written resource refers to must exist when it is written.

The targets are read before the write, with one GET for each distinct target, in parallel. Nothing is locked: a target
that is deleted at the same moment, or later, leaves a dangling reference. Absolute URLs, `urn:` references, logical
references and references to contained resources are not followed. Off by default.

https://hl7.org/fhir/R4/http.html#integrity
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Set
from typing import TypeAlias

from fhirstore.errors import Issue, RulesBroken
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.references import literal, target
from fhirstore.fhir.validation.nodes import typed_nodes

Target: TypeAlias = tuple[str, str]
"""Type and id of a resource."""

Exists: TypeAlias = Callable[[str, str], Awaitable[bool]]

_AT_ONCE = 32  # GETs


def relative_references(definitions: Definitions, resource: JsonObject) -> dict[Target, str]:
    """Returns each resource of this server that the resource refers to -> the expression of the first such reference.

    A reference to the resource itself is left out.
    """
    found: dict[Target, str] = {}
    for node in typed_nodes(definitions, resource):
        parsed = target(literal(node.members)) if node.type == "Reference" else None
        if parsed and not parsed[0] and parsed[1] in definitions.resources:
            found.setdefault(parsed[1:], f"{node.path}.reference")
    found.pop((str(resource.get("resourceType")), str(resource.get("id"))), None)
    return found


async def not_there(targets: Iterable[Target], exists: Exists) -> frozenset[Target]:
    """Returns those of the targets that do not exist. 1 GET for each, 32 at a time."""
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


async def follow(references: Mapping[Target, str], exists: Exists) -> None:
    """Looks for every target. Raises RulesBroken with the expression of every reference whose target is missing."""
    refuse_dangling(references, await not_there(references, exists))
